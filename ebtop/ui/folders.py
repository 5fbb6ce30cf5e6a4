"""Where this user's own files are: configuration, state, what was copied.

Root never takes a folder that belongs to somebody else: under sudo HOME and XDG_* may still be those of the
person who called it, who could then choose where root writes.
"""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path


def config_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """$EBTOP_CONFIG_DIR, else ebtop in $XDG_CONFIG_HOME or ~/.config. It need not exist."""
    if chosen := environ.get("EBTOP_CONFIG_DIR"):
        return Path(chosen)
    return _xdg(environ, "XDG_CONFIG_HOME", ".config") / "ebtop"


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """ebtop in $XDG_STATE_HOME or ~/.local/state. It need not exist."""
    return _xdg(environ, "XDG_STATE_HOME", ".local/state") / "ebtop"


def baselines_folder() -> Path:
    """Where this user's baselines are; root has its own."""
    return state_folder() / "baselines"


def runtime_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """ebtop in $XDG_RUNTIME_DIR; None without one of our own."""
    given = environ.get("XDG_RUNTIME_DIR", "")
    return Path(given) / "ebtop" if given.startswith("/") and _is_ours(Path(given)) else None


def open_private(folder: Path) -> int:
    """A descriptor of a folder that is ours and closed to others; it is made where it is missing.

    Raises OSError, also where the folder is a symbolic link or belongs to somebody else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise PermissionError(f"{folder} belongs to somebody else")
        if stat.S_IMODE(found.st_mode) & 0o077:
            os.fchmod(descriptor, 0o700)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_private(folder: Path, name: str, data: bytes) -> Path:
    """A file of ours, mode 0600, whole or not at all; what was there is replaced, never followed. Raises OSError."""
    directory = open_private(folder)
    temporary = f".{name}.{os.getpid()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
        except FileExistsError:
            os.unlink(temporary, dir_fd=directory)
            descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            os.unlink(temporary, dir_fd=directory)
            raise
    finally:
        os.close(directory)
    return folder / name


@lru_cache(1)
def temporary_folder() -> Path:
    """A new private folder, the same one for the life of the program. Raises OSError."""
    return Path(tempfile.mkdtemp(prefix="ebtop-"))


def _xdg(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    given = environ.get(variable, "")
    if given.startswith("/") and _is_ours(Path(given)):
        return Path(given)
    home = environ.get("HOME", "")
    if not home.startswith("/") or not _is_ours(Path(home)):
        home = _home()
    return Path(home) / below_home


def _home() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:  # a user id without a name, as in containers
        return "/"


def _is_ours(path: Path) -> bool:
    """Whether the folder, or the nearest one above it that exists, is ours."""
    for folder in (path, *path.parents):
        try:
            return folder.stat().st_uid == os.geteuid()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return False
