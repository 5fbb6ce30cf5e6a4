"""Users by number, from the node's own list."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ebtop.text import printable

_MAX_BYTES = 4 << 20
_MAX_KNOWN = 4096


class UserNames:
    """Names in /etc/passwd, read again when it has changed.

    Directory servers are not asked: the one that does not answer may be why somebody looks at this node.
    """

    def __init__(self, path: str = "/etc/passwd") -> None:
        self._path = path
        self._version: tuple[int, int] | None = None
        self._names: dict[int, str] = {}
        self._homes: dict[int, str] = {}

    def name(self, uid: int) -> str | None:
        """Printable; None for a user that is not listed."""
        self._refresh()
        return self._names.get(uid)

    def uid(self, name: str) -> int | None:
        """The number of the user whose printable name it is; None for one that is not listed."""
        self._refresh()
        return next((uid for uid, known in self._names.items() if known == name), None)

    def home(self, uid: int) -> str | None:
        """The home folder as it is listed, for opening; not for people."""
        self._refresh()
        return self._homes.get(uid)

    def _refresh(self) -> None:
        try:
            with open(self._path, "rb") as file:
                status = os.fstat(file.fileno())
                version = status.st_mtime_ns, status.st_size
                if version == self._version:
                    return
                lines = file.read(_MAX_BYTES).split(b"\n")
        except OSError:
            return
        names: dict[int, str] = {}
        homes: dict[int, str] = {}
        for line in lines:
            fields = line.split(b":")
            if len(fields) >= 6 and fields[2].isdigit() and fields[0]:
                uid = int(fields[2])
                names.setdefault(uid, printable(fields[0]))
                homes.setdefault(uid, os.fsdecode(fields[5]))
        self._names, self._homes, self._version = names, homes, version


class ShownUsers:
    """The users of the node that this process is about: its own, or that of a file."""

    def __init__(self) -> None:
        self._node = UserNames()
        self._other: Mapping[int, str] | None = None
        self._known: dict[int, str] = {}

    def show(self, users: Mapping[int, str]) -> None:
        """Those of another node from now on, by uid."""
        self._other = users
        self._known = {}

    def name(self, uid: int) -> str:
        """The user's name, or the uid as text where there is none. Asked for every record: looked up once."""
        known = self._known.get(uid)
        if known is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._node.name(uid) if self._other is None else self._other.get(uid)
            known = self._known[uid] = found or str(uid)
        return known

    def uid(self, name: str) -> int | None:
        """The number of a user; None when there is no such user, or it is not known."""
        if self._other is None:
            return self._node.uid(name)
        return next((uid for uid, known in self._other.items() if known == name), None)


SHOWN = ShownUsers()
