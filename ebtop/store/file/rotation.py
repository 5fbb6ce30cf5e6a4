"""How large a recording may become, and which files it is in."""

from __future__ import annotations

import os
from pathlib import Path

from ebtop.errors import EbtopError
from ebtop.store.file.making import remove


class Rotation:
    """The newest file has the name that was asked for, older ones have numbers: a.ebtop, a.1.ebtop, a.2.ebtop."""

    def __init__(self, path: Path, max_bytes: int, files: int = 1, *, force: bool = False) -> None:
        """All `files` together take no more than `max_bytes`, and what lies beside the newest, about 1 MiB.

        Raises EbtopError where one of them is in the way.
        """
        for other in (path.with_suffix(f".{number}{path.suffix}") for number in range(1, files)):
            if not force and os.path.lexists(other):
                raise EbtopError(f"{other} exists", "", "name another file, or add --force to replace it")
        self.path = path
        self.max_bytes = max_bytes
        self.force = force
        self._files = files

    @property
    def rotates(self) -> bool:
        return self._files > 1

    @property
    def bytes(self) -> int:
        """Of all files, with what lies beside them."""
        names = [f"{path}{end}" for path in map(self.numbered, range(self._files)) for end in ("", "-wal")]
        return sum(os.stat(name).st_size for name in names if os.path.exists(name))

    def is_full(self, size: int) -> bool:
        """Whether a file of so many bytes may not grow any more. What a second adds is left for the end."""
        return size >= self.max_bytes / self._files * 0.97

    def turn(self) -> None:
        """The file is complete: make room for the next one; the oldest goes. Raises EbtopError."""
        try:
            remove(self.numbered(self._files - 1))
            for number in range(self._files - 2, -1, -1):
                if self.numbered(number).exists():
                    os.replace(self.numbered(number), self.numbered(number + 1))
        except OSError as error:
            raise EbtopError(f"can't rotate {self.path}", error.strerror or str(error), "") from None

    def numbered(self, number: int) -> Path:
        """0 is the newest."""
        return self.path.with_suffix(f".{number}{self.path.suffix}") if number else self.path
