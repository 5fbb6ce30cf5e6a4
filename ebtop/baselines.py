"""`ebtop baseline`: recordings of how a node is when all is well, kept by name, to compare incidents with."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ebtop.errors import EbtopError, UsageError
from ebtop.store.file.making import remove
from ebtop.store.file.named import NAME, named
from ebtop.units import duration, size

DURATION = "60s"
"""Of a baseline that says nothing else."""
_USAGE = "as in: ebtop baseline save NAME, ebtop baseline list, ebtop baseline rm NAME"


def as_record(folder: Path, arguments: Sequence[str]) -> list[str]:
    """`NAME [OPTIONS of record]` as arguments of `ebtop record`. Makes the folder. Raises EbtopError."""
    if not arguments:
        raise UsageError("which name shall the baseline have?", "", _USAGE)
    name, *rest = arguments
    path = _path(folder, name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EbtopError(f"can't write to {folder}", error.strerror or str(error)) from None
    given = {argument.partition("=")[0] for argument in rest}
    if given & {"-o", "--output", "--format", "--rotate"}:
        raise UsageError("a baseline is a file of its own", "", "use ebtop record for other outputs")
    defaults = [] if "--duration" in given else ["--duration", DURATION]
    title = [] if "--title" in given else ["--title", f"baseline {name}"]
    return ["record", "-o", str(path), *defaults, *title, *rest]


def find(folder: Path, text: str) -> Path:
    """The file that is meant: one of that path, or the baseline of that name. Raises EbtopError."""
    path = Path(text)
    if path.suffix == ".ebtop" or os.path.lexists(path) or not NAME.fullmatch(text):
        return path
    kept = _path(folder, text)
    if not kept.exists():
        names = ", ".join(sorted(each.name for each in named(folder))) or "none"
        raise EbtopError(f"there is no file and no baseline {text}", f"baselines: {names}", "see ebtop baseline list")
    return kept


def show(folder: Path) -> int:
    """Print them, a line each, the oldest first; returns the exit code."""
    found = named(folder)
    for each in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.from_ns // 10**9))
        about = each.error or f"{when}  {duration(each.seconds):>6}  {each.host}"
        print(f"{each.name:<20} {about}  {size(each.bytes)}B")
    if not found:
        print(f"ebtop: there is no baseline in {folder}; ebtop baseline save NAME makes one", file=sys.stderr)
    return 0


def forget(folder: Path, name: str) -> int:
    """Remove one; returns the exit code. Raises EbtopError."""
    path = _path(folder, name)
    if not path.exists():
        raise EbtopError(f"there is no baseline {name}", f"in {folder}", "see ebtop baseline list")
    try:
        remove(path)
    except OSError as error:
        raise EbtopError(f"can't remove {path}", error.strerror or str(error)) from None
    return 0


def _path(folder: Path, name: str) -> Path:
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name", "it has letters, digits, dots, - and _, at most 64", _USAGE)
    return folder / f"{name}.ebtop"
