"""Execs with known truth: a storm at full speed, and one of each odd kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.lab import build
from tests.lab.process import TIMEOUT_S, Workload, run

STORM_COMM = "ebt-exec-storm"
LEAF_COMM = "ebt-leaf"
CROWD_COMM = "ebt-crowd"


class Leaf(Enum):
    """What a storm execs; the names say what has to be loaded."""

    BARE = build.FREESTANDING
    STATIC = ("-O2", "-static")
    DYNAMIC = ("-O2",)

    @property
    def path(self) -> Path:
        """The compiled program; its comm is LEAF_COMM."""
        return build.binary("exec_leaf", LEAF_COMM, self.value)


@dataclass(frozen=True)
class Exec:
    """One successful exec of a storm and how the process ended (0 where it did not end that way)."""

    pid: int
    ppid: int
    args: tuple[bytes, ...]
    exit_code: int
    signal: int


@dataclass(frozen=True)
class ExecStorm:
    """What a storm did. No two execs have equal `args`."""

    elapsed_s: float
    execs: tuple[Exec, ...]

    @property
    def per_second(self) -> float:
        return len(self.execs) / self.elapsed_s


def exec_storm(
    count: int,
    *,
    processes: int = 2,
    per_second: int = 0,
    leaf: Leaf = Leaf.BARE,
    enter: Callable[[], None] | None = None,
) -> ExecStorm:
    """`count` times vfork and exec by `processes` processes (comm STORM_COMM); `per_second` 0 = at full speed.

    `enter` is as for Workload.
    """
    storm = build.binary("exec_storm", STORM_COMM)
    said = run([storm, str(count), str(processes), str(per_second), leaf.path], enter)
    execs = tuple(
        Exec(e["pid"], e["ppid"], _byte_strings(e["args"]), e["exit_code"], e["signal"]) for e in said["execs"]
    )
    return ExecStorm(said["elapsed_s"], execs)


class Crowd(Workload):
    """`count` processes (comm LEAF_COMM) that do nothing, and the one that started them (comm CROWD_COMM).

    `enter` is as for Workload. Inside the `with` block all have exec'd.
    """

    def __init__(self, count: int, enter: Callable[[], None] | None = None) -> None:
        super().__init__([build.binary("crowd", CROWD_COMM), str(count), Leaf.BARE.path], enter)

    def __enter__(self) -> Crowd:
        try:
            assert self.read() is True
        except BaseException:
            self.stop()
            raise
        return self

    def end(self) -> None:
        """Kill all of them, as fast as one process can, and wait until nothing is left of them."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(TIMEOUT_S) == 0


CASES = (
    "path-search",
    "enoent",
    "eacces",
    "enoexec",
    "e2big",
    "empty-path",
    "shebang",
    "huge-argv",
    "hostile-name",
    "empty-argv",
    "thread-exec",
    "leader-exits-first",
    "leader-exits-first-quietly",
    "killed-by-thread",
    "segfault",
)


@dataclass(frozen=True)
class FailedExec:
    """A call of execve that failed; `errno` is positive."""

    filename: bytes
    errno: int


@dataclass(frozen=True)
class ExecCase:
    """One process that failed `failures` execs, then did one that succeeded (if `args` is not empty), then ended."""

    pid: int
    ppid: int
    tid: int
    """The thread that called exec or ended the process; `pid` where that was the leader."""
    filename: bytes
    args: tuple[bytes, ...]
    """At most the first four, and 255 bytes of each."""
    args_bytes: int
    """Length of all of argv, with a NUL after each."""
    failures: tuple[FailedExec, ...]
    exit_code: int
    signal: int
    core_dumped: bool


def exec_case(name: str) -> ExecCase:
    """Do one of CASES in a process of its own (comm of the caller: "ebt-exec-cases")."""
    said = run([build.binary("exec_cases", "ebt-exec-cases"), name, Leaf.BARE.path])
    return ExecCase(
        pid=said["pid"],
        ppid=said["ppid"],
        tid=said["tid"],
        filename=said["filename"].encode("latin-1"),
        args=_byte_strings(said["args"]),
        args_bytes=said["args_bytes"],
        failures=tuple(FailedExec(f["filename"].encode("latin-1"), f["errno"]) for f in said["failures"]),
        exit_code=said["exit_code"],
        signal=said["signal"],
        core_dumped=said["core_dumped"],
    )


def _byte_strings(texts: list[str]) -> tuple[bytes, ...]:
    return tuple(text.encode("latin-1") for text in texts)
