"""Compile the workloads under c/ on first use."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

SOURCES = Path(__file__).parent / "c"

OPTIMIZED = ("-O2", "-pthread")
FREESTANDING = ("-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector")
FRAME_POINTERS = (
    *("-O1", "-pthread", "-fno-inline", "-fno-optimize-sibling-calls"),
    # Without the second one a leaf function has none, and whoever walks the stack misses its caller.
    *("-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"),
)
NO_FRAME_POINTERS = ("-O2", "-pthread", "-fno-inline", "-fno-optimize-sibling-calls", "-fomit-frame-pointer")


@lru_cache
def binary(source: str, comm: str, flags: Sequence[str] = OPTIMIZED) -> Path:
    """The executable made of c/SOURCE.c, and SOURCE.S if there is one; its file name, and so its comm, is `comm`.

    A comm has at most 15 bytes.

    Kept under the user's cache directory, one directory per source and flags. Raises CalledProcessError
    when gcc rejects the source and FileNotFoundError when there is no gcc.
    """
    if len(comm) > 15:
        raise ValueError(f"comm {comm!r} is longer than the kernel keeps")
    texts = [path for path in (SOURCES / f"{source}.c", SOURCES / f"{source}.S") if path.exists()]
    digest = hashlib.sha256(repr((flags, os.uname().machine)).encode())
    for part in (*sorted(SOURCES.glob("*.h")), *texts):
        digest.update(part.read_bytes())
    directory = _cache() / f"{source}-{digest.hexdigest()[:16]}"
    target = directory / comm
    if not target.exists():
        directory.mkdir(parents=True, exist_ok=True)
        # Compiled aside and renamed, so that two test runs may do this at once.
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            made = Path(scratch) / comm
            warnings = ("-Wall", "-Wextra")
            subprocess.run(["gcc", "-std=gnu11", *warnings, *flags, "-o", made, *texts], check=True)
            made.rename(target)
    return target


@lru_cache
def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(home) / "ebtop-lab"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="ebtop-lab-"))
    return path
