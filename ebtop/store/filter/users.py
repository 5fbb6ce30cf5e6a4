"""Names of users, looked up once each."""

from __future__ import annotations

import pwd
from functools import lru_cache


@lru_cache(maxsize=1024)
def uid_of(name: str) -> int | None:
    """The uid of a user of this node; None when there is no such user."""
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, OSError, ValueError):
        return None


@lru_cache(maxsize=4096)
def name_of(uid: int) -> str:
    """The user's name, or the uid as text where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OSError, OverflowError):
        return str(uid)
