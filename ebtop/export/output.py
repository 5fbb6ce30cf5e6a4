"""Writes a file whole or not at all, closed to others, for whoever called sudo; or to standard output."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ebtop.errors import EbtopError
from ebtop.store.file.making import give_away

STANDARD_OUTPUT = "-"


def write(output: str, data: Iterable[bytes], *, force: bool = False) -> int:
    """Write to a file, or for "-" to standard output; returns how many bytes.

    An existing file stays as it is unless `force`; then it is replaced when all has been written. Raises EbtopError.
    """
    if output == STANDARD_OUTPUT:
        return _to_standard_output(data)
    path = Path(output)
    _refuse(path, force)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    except OSError as error:
        raise _failed(path, error) from None
    try:
        with open(descriptor, "wb") as file:  # mkstemp made it 0600
            written = 0
            for chunk in data:
                written += len(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
            give_away(file.fileno())
        _put(temporary, path, force)
    except OSError as error:
        raise _failed(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    return written


def refuse_existing(output: str, force: bool) -> None:
    """Before long work: raises EbtopError if `write` would not write there."""
    if output != STANDARD_OUTPUT:
        _refuse(Path(output), force)


def _refuse(path: Path, force: bool) -> None:
    if not os.path.lexists(path):
        if not path.parent.is_dir():
            raise EbtopError(f"can't write {path}", f"there is no folder {path.parent}", "name one that exists")
        return
    if path.is_dir():
        raise EbtopError(f"can't write {path}", "it is a folder", "name a file")
    if not path.is_file() and not path.is_symlink():
        raise EbtopError(f"can't write {path}", "it is not a file", "use -o - for pipes")
    if not force:
        raise EbtopError(f"{path} exists", "", "name another file, or add --force to replace it")


def _put(temporary: str, path: Path, force: bool) -> None:
    if force:
        os.replace(temporary, path)  # a link is replaced, not followed
        return
    try:
        os.link(temporary, path)  # fails where somebody made it meanwhile
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise
        # A file system without links.
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "it came to be meanwhile") from None
        os.rename(temporary, path)


def _to_standard_output(data: Iterable[bytes]) -> int:
    written = 0
    try:
        output = sys.stdout.buffer
        for chunk in data:
            written += len(chunk)
            output.write(chunk)
        output.flush()
    except BrokenPipeError:
        # Whoever read has enough; what is buffered may go nowhere.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
    except OSError as error:
        raise EbtopError("can't write to standard output", error.strerror or str(error)) from None
    return written


def _failed(path: Path, error: OSError) -> EbtopError:
    return EbtopError(f"can't write {path}", error.strerror or str(error), "name another file")
