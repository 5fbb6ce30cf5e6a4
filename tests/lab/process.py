"""Start workloads, talk to them, end them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

Argument = str | bytes | Path

TIMEOUT_S = 60.0
"""How long a workload may keep silent before a test gives up on it. Not a measurement."""


def run(arguments: Sequence[Argument], enter: Callable[[], None] | None = None) -> Any:
    """Run a workload to its end and return the JSON it printed. `enter` is as for Workload."""
    done = subprocess.run(arguments, stdout=subprocess.PIPE, check=True, timeout=TIMEOUT_S, preexec_fn=enter)
    return json.loads(done.stdout)


class Workload:
    """A workload that runs beside the test, in a process group of its own; ended with the `with` block.

    `enter` is called in the child before it execs, to put it into a cgroup for example.
    """

    def __init__(self, arguments: Sequence[Argument], enter: Callable[[], None] | None = None) -> None:
        self._name = os.fsdecode(os.path.basename(os.fspath(arguments[0])))
        self._buffer = b""
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            preexec_fn=enter,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Workload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def tell(self, line: str) -> None:
        """Send one line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def read(self, timeout_s: float = TIMEOUT_S) -> Any:
        """The next line it prints, parsed. Raises EOFError when it ended, TimeoutError when it keeps silent."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise TimeoutError(f"{self._name} said nothing for {timeout_s:g} s")
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise EOFError(f"{self._name} ended with {self._process.wait()} instead of answering")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it and everything it started. Safe to call twice."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
