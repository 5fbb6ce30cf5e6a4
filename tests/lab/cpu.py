"""Processes that burn CPU in functions whose names and shares are known."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.lab import build
from tests.lab.process import Workload

COMM = "ebt-hot"
"""Compiled with frame pointers: every stack of its own code can be walked whole."""
NO_FRAME_POINTERS_COMM = "ebt-hot-nofp"
THREAD_COMM_PREFIX = "ebt-hot-"

SHARES = {"hot_a": 0.6, "hot_b": 0.3, "hot_c": 0.1}
"""Of the work. What each function really took is in the truth."""
SYSTEM_FUNCTIONS = ("read_zero", "read_iter_zero")
"""One of these is in every kernel stack of `system`; the name depends on the kernel."""
STACK_FUNCTIONS = ("walk_stacks", "step_left", "step_right", "touch_bottom", "spin_bottom")


@dataclass(frozen=True)
class ThreadTime:
    """CPU seconds of one thread, in all and per hot function. Source: CLOCK_THREAD_CPUTIME_ID."""

    tid: int
    cpu_s: float
    functions: dict[str, float]


@dataclass(frozen=True)
class SystemTime:
    """CPU seconds in user and kernel mode. Source: getrusage."""

    user_s: float
    system_s: float


@dataclass(frozen=True)
class StackTruth:
    """`stacks` different stacks, `times` times each; `minor_faults` is the kernel's count (getrusage)."""

    stacks: int
    times: int
    cpu_s: float
    minor_faults: int


class _Burner:
    def __init__(self, *arguments: object, frame_pointers: bool, enter: Callable[[], None] | None) -> None:
        if frame_pointers:
            program = build.binary("cpu_hot", COMM, build.FRAME_POINTERS)
        else:
            program = build.binary("cpu_hot", NO_FRAME_POINTERS_COMM, build.NO_FRAME_POINTERS)
        self.program = program
        self._workload = Workload([program, *map(str, arguments)], enter)
        self.pid: int = self._workload.read()["pid"]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workload.stop()

    def _last_line(self, early: bool) -> Any:
        if early:
            self._workload.signal(signal.SIGTERM)
        return self._workload.read()


class Hot(_Burner):
    """Burns `cpu_s` seconds in hot_a, hot_b and hot_c; with `threads`, that much in each of so many threads."""

    def __init__(
        self,
        cpu_s: float,
        threads: int = 0,
        *,
        frame_pointers: bool = True,
        enter: Callable[[], None] | None = None,
    ) -> None:
        mode = ("threads", cpu_s, threads) if threads else ("shares", cpu_s)
        super().__init__(*mode, frame_pointers=frame_pointers, enter=enter)

    def __enter__(self) -> Hot:
        return self

    def truth(self, early: bool = False) -> tuple[ThreadTime, ...]:
        """Waits for its end, or ends it now (`early`)."""
        said = self._last_line(early)
        return tuple(ThreadTime(t["tid"], t["cpu_s"], t["functions"]) for t in said["threads"])


class System(_Burner):
    """Burns `cpu_s` seconds, nearly all of them in the kernel's read of /dev/zero."""

    def __init__(self, cpu_s: float, *, frame_pointers: bool = True, enter: Callable[[], None] | None = None) -> None:
        super().__init__("system", cpu_s, frame_pointers=frame_pointers, enter=enter)

    def __enter__(self) -> System:
        return self

    def truth(self, early: bool = False) -> SystemTime:
        """Waits for its end, or ends it now (`early`)."""
        said = self._last_line(early)
        return SystemTime(said["user_s"], said["system_s"])


class Stacks(_Burner):
    """Goes down each of 2**depth ways `times` times, once told to `go`.

    With `touch` the function at the bottom, touch_bottom, causes exactly one minor page fault a time, so that
    PERF_COUNT_SW_PAGE_FAULTS with period 1 must deliver every stack `times` times; without, it burns CPU.
    """

    def __init__(
        self,
        depth: int,
        times: int,
        *,
        touch: bool = True,
        frame_pointers: bool = True,
        enter: Callable[[], None] | None = None,
    ) -> None:
        bottom = "touch" if touch else "spin"
        super().__init__("stacks", depth, times, bottom, frame_pointers=frame_pointers, enter=enter)
        self._workload.read()

    def __enter__(self) -> Stacks:
        return self

    def start(self) -> None:
        """Let it run."""
        self._workload.tell("")

    def stop(self) -> None:
        """Kill it; there is no truth then."""
        self._workload.stop()

    def go(self) -> StackTruth:
        """Let it run, and wait until it is done; it stays until the `with` block ends."""
        self.start()
        said = self._workload.read()
        return StackTruth(said["stacks"], said["times"], said["cpu_s"], said["minor_faults"])
