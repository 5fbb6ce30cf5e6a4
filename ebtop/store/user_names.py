"""Users by number, from the node's own list."""

from __future__ import annotations

import os

from ebtop.text import printable

_MAX_BYTES = 4 << 20


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
