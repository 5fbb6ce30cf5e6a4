"""Names of users for `user:`."""

from __future__ import annotations

from ebtop.store.user_names import SHOWN


def uid_of(name: str) -> int | None:
    """The uid of a user of the node that is shown; None when no such user is known."""
    return SHOWN.uid(name)


def name_of(uid: int) -> str:
    """The user's name, or the uid as text where there is none."""
    return SHOWN.name(uid)
