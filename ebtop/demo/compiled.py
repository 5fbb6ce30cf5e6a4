"""The image service in C, where this node has a compiler."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_SOURCE = Path(__file__).with_name("img_service.c")
_FLAGS = ("-O1", "-fno-omit-frame-pointer")
_LEAF_FLAGS = ("-mno-omit-leaf-frame-pointer",)
"""Not on every architecture."""
_COMPILERS = ("cc", "gcc", "clang")
_TIMEOUT_S = 30.0


def compile_service() -> int | None:
    """A descriptor of the program, which lives in memory alone; None where it can't be built.

    With frame pointers, as a distribution that cares for profiling builds its programs.
    """
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        return None
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory() as directory:
        program = f"{directory}/img-service"
        for flags in ((*_FLAGS, *_LEAF_FLAGS), _FLAGS):
            with contextlib.suppress(subprocess.SubprocessError):
                _compile([compiler, *flags, "-o", program, str(_SOURCE)])
                return _in_memory(program)
    return None


def _compile(command: list[str]) -> None:
    subprocess.run(
        command, check=True, timeout=_TIMEOUT_S,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _in_memory(program: str) -> int:
    memory = os.memfd_create("img-service")
    os.write(memory, Path(program).read_bytes())
    return memory
