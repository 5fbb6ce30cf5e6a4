"""Names of users for `user:`."""

from __future__ import annotations

from functools import lru_cache

from ebtop.store.user_names import UserNames

_NAMES = UserNames()


def uid_of(name: str) -> int | None:
    """The uid of a user of this node; None when there is no such user."""
    return _NAMES.uid(name)


@lru_cache(maxsize=4096)
def name_of(uid: int) -> str:
    """The user's name, or the uid as text where there is none. Asked for every record: looked up once."""
    return _NAMES.name(uid) or str(uid)
