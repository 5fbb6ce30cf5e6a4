"""Records for tests: every field has a plausible value, a test names those it is about. Times are in seconds."""

from __future__ import annotations

from typing import Any

from ebtop.store.records import (
    Batch,
    ConnectRecord,
    ExecRecord,
    ExitRecord,
    Frame,
    Record,
    RetransmitRecord,
    StackRecord,
    TcpRecord,
    TcpScan,
)

SECOND = 1_000_000_000
EPOCH = 1_795_356_000 * SECOND
"""2026-11-22T14:00:00Z"""
NETNS = 4026531840


def at(seconds: float) -> int:
    """Wall clock so many seconds after EPOCH, in ns."""
    return EPOCH + round(seconds * SECOND)


class FakeClock:
    """Stands still until it is set."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __call__(self) -> int:
        return at(self.seconds)


def batch(*records: Record, time: float | None = None, **rest: Any) -> Batch:
    """A batch as of `time`, or of its latest record."""
    latest = max((record.time_ns for record in records), default=EPOCH)
    return Batch(latest if time is None else at(time), list(records), **rest)


def exec_(time: float, pid: int = 100, args: str = "prog", **fields: Any) -> ExecRecord:
    argv = tuple(args.split())
    base = ExecRecord(at(time), pid, argv[0] if argv else "prog", 1000, "/user.slice", 1, "sh", 0, "/bin/prog", argv, 0)
    return base._replace(**fields)


def miss(time: float, pid: int = 100, **fields: Any) -> ExecRecord:
    """An exec that fails with ENOENT."""
    return exec_(time, pid, **{"ret": -2, "comm": "sh", **fields})


def exit_(time: float, pid: int = 100, duration_s: float = 0.5, **fields: Any) -> ExitRecord:
    base = ExitRecord(at(time), pid, "prog", 1000, "/user.slice", 1, 0, 0, False, duration_s)
    return base._replace(**fields)


def unseen_end(time: float, pid: int = 100, **fields: Any) -> ExitRecord:
    """Of a process that was found gone."""
    base = ExitRecord(at(time), pid, "prog", 1000, "/user.slice", 1, None, None, None, None)
    return base._replace(**fields)


def tcp(event: str, time: float, key: int = 0xA0, **fields: Any) -> TcpRecord:
    base = TcpRecord(
        at(time),
        300,
        "curl",
        1000,
        "/user.slice",
        event,
        key,
        4,
        "10.0.0.1",
        40000,
        "10.0.0.2",
        443,
        "ESTABLISHED",
        0,
        0,
        0.0,
        "out",
        NETNS,
        "exact",
        None,
        None,
        0,
    )
    return base._replace(**fields)


def scan(time: float, *connections: TcpRecord, netns: tuple[int, ...] = (NETNS,), missed: int = 0) -> TcpScan:
    return TcpScan(at(time), connections, netns, missed)


def retransmit(time: float, segments: int = 1, kind: str = "rto", **fields: Any) -> RetransmitRecord:
    base = RetransmitRecord(
        at(time),
        300,
        "curl",
        1000,
        "/user.slice",
        4,
        "10.0.0.1",
        40000,
        "10.0.0.2",
        443,
        "ESTABLISHED",
        segments,
        kind,
        NETNS,
        "exact",
    )
    return base._replace(**fields)


def connect(
    time: float, result: str = "ok", latency_ms: float = 150.0, key: int = 0xA0, **fields: Any
) -> ConnectRecord:
    base = ConnectRecord(
        at(time),
        300,
        "curl",
        1000,
        "/user.slice",
        key,
        4,
        "10.0.0.1",
        40000,
        "10.0.0.2",
        443,
        latency_ms,
        result,
        None,
        NETNS,
    )
    return base._replace(**fields)


def stack(time: float, *names: str, samples: int = 1, **fields: Any) -> StackRecord:
    frames = tuple(Frame(name, "native", "prog") for name in names)
    return StackRecord(at(time), 100, "prog", 1000, None, "cpu", samples, frames, True)._replace(**fields)
