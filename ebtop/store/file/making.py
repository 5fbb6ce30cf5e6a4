"""Makes the file that is written to: a new one, closed to others, that belongs to whoever called sudo."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ebtop.errors import EbtopError

BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file while it is written."""


def make(path: Path, *, force: bool = False, environ: Mapping[str, str] = os.environ) -> None:
    """An empty file, mode 0600. An existing one is replaced only with `force`, and never followed where it is a link.

    Raises EbtopError.
    """
    if not force and os.path.lexists(path):
        raise EbtopError(f"{path} exists", "", "name another file, or add --force to replace it")
    for name in (path, *(Path(f"{path}{end}") for end in BESIDE)):
        _clear(name, force=force)
    try:
        # Also those that SQLite would make itself: in a folder for all somebody else could put a link in their place.
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.fchmod(descriptor, 0o600)
                give_away(descriptor, environ)
            finally:
                os.close(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):
            remove(path)
        raise EbtopError(f"can't write {path}", error.strerror or str(error), _fix(path)) from None


def give_away(descriptor: int, environ: Mapping[str, str] = os.environ) -> None:
    """To the user behind sudo, if there is one."""
    if os.geteuid() == 0 and (user := owner(environ)) is not None:
        # A file system without owners is no reason to write nothing.
        with contextlib.suppress(OSError):
            os.fchown(descriptor, *user)


def owner(environ: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """uid and gid of the user behind sudo."""
    user, group = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    return (int(user), int(group)) if user.isdecimal() and group.isdecimal() else None


def remove(path: Path) -> None:
    """A file and what is beside it."""
    for name in (str(path), *(f"{path}{end}" for end in BESIDE)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _clear(path: Path, *, force: bool) -> None:
    try:
        found = os.lstat(path)
    except OSError:
        return
    if not force or not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        raise EbtopError(f"{path} is in the way", "it is not a file that ebtop writes", "name another file")
    try:
        os.unlink(path)
    except OSError as error:
        raise EbtopError(f"can't replace {path}", error.strerror or "", "name another file") from None


def _fix(path: Path) -> str:
    return "name a folder that exists and that you may write to" if not path.parent.is_dir() else "name another file"
