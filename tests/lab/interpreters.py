"""The CPython builds that this machine has, and a program of known hot functions to run on them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from tests.lab.process import Argument, Workload

HOT = Path(__file__).with_name("python") / "hot.py"
_PLACES = ("/usr/bin", "/usr/local/bin", *sorted(map(str, Path(os.path.expanduser("~/.pyenv/versions")).glob("*/bin"))))


@lru_cache
def builds() -> dict[str, tuple[int, int]]:
    """Path of each different interpreter of Python 3 -> its version; the one that runs the tests is among them."""
    found: dict[str, tuple[int, int]] = {}
    candidates = [sys.executable, *(f"{place}/{name}" for place in _PLACES for name in ("python3", "python3.14"))]
    for candidate in candidates:
        path = os.path.realpath(candidate)
        if path in found or not os.path.exists(path):
            continue
        asked = subprocess.run(
            [path, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=True
        )
        major, minor = map(int, asked.stdout.split())
        found[path] = major, minor
    return found


class HotPython:
    """Runs HOT on an interpreter. Whoever watches it has the CPUs first: what it does takes the same shares anyway."""

    def __init__(
        self,
        command: Sequence[Argument],
        threads: int = 0,
        seconds: float | None = None,
        enter: Callable[[], None] | None = None,
    ) -> None:
        """`command` starts the interpreter."""
        arguments = [str(threads), *([] if seconds is None else [str(seconds)])]
        self._workload = Workload(["nice", "-n", "19", *command, HOT, *arguments], enter)
        self.pid: int = self._workload.read()["pid"]

    def __enter__(self) -> HotPython:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workload.stop()

    def end(self) -> dict[str, float]:
        """End it; CPU seconds of each function."""
        self._workload.signal(signal.SIGTERM)
        return self.truth()

    def truth(self) -> dict[str, float]:
        """CPU seconds of each function, once it has ended."""
        functions: dict[str, float] = self._workload.read()["functions"]
        return functions
