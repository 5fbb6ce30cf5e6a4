"""`bin/ebtop trace` as a process of its own, as people run it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tests.lab.process import TIMEOUT_S

EBTOP = Path(__file__).resolve().parents[2] / "bin" / "ebtop"


class Ended(NamedTuple):
    """What a run said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> list[str]:
        """Lines on standard error."""
        return self.err.splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Standard output, each line of which must be a JSON object."""
        found = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(line, dict) for line in found)
        return found


def ebtop(*arguments: str, before: Sequence[str] = (), env: Mapping[str, str] | None = None, **options: Any) -> Ended:
    """Run `ebtop ARGUMENTS` to its end. `before` is put in front of it, as ("setpriv", "--no-new-privs")."""
    done = subprocess.run(
        [*before, str(EBTOP), *arguments], capture_output=True, text=True, timeout=TIMEOUT_S,
        env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


class Trace:
    """A `trace --json` that runs beside the test; ended with the `with` block, which begins at its ready line."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [str(EBTOP), "trace", "--json", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, text=True, env={**os.environ, **(env or {})},
        )  # fmt: skip
        self.pid = self.process.pid
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline() or "null")

    def __enter__(self) -> Trace:
        assert self.ready is not None, self.end().err
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def end(self, signal: int = 0) -> Ended:
        """Send a signal if there is one, and wait; the ready line is not in what comes back."""
        if signal:
            self.process.send_signal(signal)
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return Ended(self.process.returncode, out, err)
