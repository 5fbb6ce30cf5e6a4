"""A made-up node, second by second: everything a source can hand over, from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

from ebtop.store.records import (
    Batch,
    ConnectHistogram,
    ConnectRecord,
    EventRecord,
    ExecRecord,
    ExitRecord,
    Frame,
    Record,
    RetransmitRecord,
    StackRecord,
    TcpRecord,
    TcpScan,
)
from tests.unit.record_makers import EPOCH, NETNS, SECOND

_COMMS = ("sh", "curl", "nginx", "postgres", "make")
_FRAMES = [Frame(f"function_{i}", ("kernel", "native")[i % 2], ("", "libc.so.6")[i % 2]) for i in range(60)]


class Node:
    """Times are ns since EPOCH plus whole seconds; nothing depends on anything but the seed."""

    def __init__(self, seed: int, *, execs: int = 20, connections: int = 15, stacks: int = 12) -> None:
        self.random = random.Random(seed)
        self._execs, self._connections, self._stacks = execs, connections, stacks
        self._pid = 1000
        self._key = 0xFFFF888000000000
        self._running: list[ExecRecord] = []
        self._open: dict[int, tuple[int, TcpRecord]] = {}
        self._waiting: list[ConnectRecord] = []
        self._ok = [0] * 32
        self._known_stacks = [tuple(self.random.choices(_FRAMES, k=self.random.randint(1, 20))) for _ in range(30)]

    def second(self, number: int) -> Iterator[tuple[int, Batch]]:
        """Batches of one second with the moment each comes in, in that order."""
        begin = EPOCH + number * SECOND
        drains = 4
        for drain in range(drains):
            end = begin + (drain + 1) * SECOND // drains
            start = end - SECOND // drains
            records: list[Record] = []
            for _ in range(self._execs // drains):
                records += self._exec(start, end)
            for _ in range(self._connections // drains):
                records += self._connection(start, end)
            self.random.shuffle(records)
            yield end + self.random.randrange(1000), Batch(end, records)
        yield end + 2_000_000, self._poll(begin + SECOND)
        yield end + 3_000_000, self._drain(begin + SECOND)

    def _time(self, start: int, end: int) -> int:
        return self.random.randrange(start, end)

    def _exec(self, start: int, end: int) -> list[Record]:
        rnd, at = self.random, self._time(start, end)
        self._pid += rnd.randint(1, 3)
        pid, comm = self._pid, rnd.choice(_COMMS)
        args = (f"/usr/bin/{comm}", "--number", str(rnd.randrange(50)), "a b")
        record = ExecRecord(at, pid, comm, rnd.choice((0, 1000)), "/system.slice", 1, "sh", 0, args[0], args, 0)
        kind = rnd.random()
        if kind < 0.1:
            return [record._replace(ret=-2, comm="sh", filename=f"/sbin/{comm}"), record._replace(time_ns=at + 1000)]
        if kind < 0.2:
            return [record._replace(ret=-13, args=(), args_truncated=17)]
        if kind < 0.6:
            return [record, self._exit(record, at + 50_000)]
        self._running.append(record)
        if len(self._running) > 40:
            return [record, self._exit(self._running.pop(rnd.randrange(40)), at)]
        return [record]

    def _exit(self, record: ExecRecord, at: int) -> ExitRecord:
        rnd = self.random
        signal = rnd.choice((0, 0, 0, 9))
        duration_s = max(at - record.time_ns + 1000, 1000) / 1e9
        end = ExitRecord(
            at, record.pid, record.comm, record.uid, record.cgroup, 1, rnd.choice((0, 0, 1)), signal, False, duration_s
        )
        if record.pid % 9:
            return end
        # It was lost, and the process found gone.
        return end._replace(exit_code=None, signal=None, core_dumped=None, duration_s=None)

    def _connection(self, start: int, end: int) -> list[Record]:
        rnd, at = self.random, self._time(start, end)
        self._key += rnd.choice((1, 2, 5)) * 2304
        comm, direction = rnd.choice(_COMMS), rnd.choice(("in", "out", None))
        record = TcpRecord(
            at, rnd.randrange(100, 120), comm, rnd.choice((0, 1000, None)), "/system.slice", "connect", self._key, 4,
            "10.0.0.1", rnd.randrange(1024, 65536), f"192.0.2.{rnd.randrange(20)}", rnd.choice((80, 443)),
            "ESTABLISHED", 0, 0, 0.0, direction, NETNS, "exact", None, None, 0,
        )  # fmt: skip
        kind = rnd.random()
        if kind < 0.3:
            self._open[record.key] = at, record._replace(event="live")
            return [record] if kind < 0.15 else []
        if kind < 0.6 and self._open:
            key = rnd.choice(list(self._open))
            begun, last = self._open.pop(key)
            return [self._closed(last, at, begun)]
        if kind < 0.75:
            return [RetransmitRecord(*record[:5], *record[7:13], rnd.randint(1, 5), "rto", NETNS, "exact")]
        if kind < 0.9:
            result, error = rnd.choice((("ok", None), ("refused", "ECONNREFUSED"), ("timeout", "ETIMEDOUT")))
            return [self._connect(record, rnd.uniform(100, 5000), result, error)]
        if kind < 0.95:
            waiting = self._connect(record, 150.0, "pending", None)
            self._waiting = [*self._waiting[-5:], waiting]
            return [EventRecord(*record[:5], "signal", (("signal", 9), ("share", 0.5), ("to", None), ("who", "x")))]
        return [record, self._closed(record, at + 3_000_000, at)]

    def _closed(self, last: TcpRecord, at: int, begun: int) -> TcpRecord:
        rnd = self.random
        return last._replace(
            time_ns=at, event="close", tx_bytes=last.tx_bytes + rnd.randrange(9000), duration_s=(at - begun) / 1e9,
            error=rnd.choice((None, None, "ECONNRESET")), reset=rnd.choice((None, "peer")),
        )  # fmt: skip

    def _connect(self, record: TcpRecord, latency_ms: float, result: str, error: str | None) -> ConnectRecord:
        return ConnectRecord(*record[:5], *record[6:12], latency_ms, result, error, NETNS)

    def _poll(self, at: int) -> Batch:
        rnd = self.random
        for key in rnd.sample(list(self._open), len(self._open) // 4):
            begun, last = self._open[key]
            self._open[key] = begun, last._replace(
                time_ns=at, tx_bytes=last.tx_bytes + rnd.randrange(5000), rx_bytes=last.rx_bytes + 10,
                duration_s=(at - begun) / 1e9, state=rnd.choice(("ESTABLISHED", "CLOSE_WAIT")),
            )  # fmt: skip
        self._ok[rnd.randrange(20)] += rnd.choice((0, 1))
        waiting = tuple([w._replace(time_ns=at, latency_ms=w.latency_ms + 1000) for w in self._waiting])
        self._waiting = list(waiting[1:])
        scan = TcpScan(at, tuple([record for _, record in self._open.values()]), (NETNS,), rnd.choice((0, 0, 1)))
        pending = waiting if rnd.random() < 0.9 else None
        return Batch(at, [], scan, ConnectHistogram(tuple(self._ok), (0,) * 32), pending)

    def _drain(self, at: int) -> Batch:
        rnd = self.random
        records: list[Record] = [
            StackRecord(
                at, rnd.randrange(100, 110), rnd.choice(_COMMS), 0, None, "cpu", rnd.randint(1, 9),
                rnd.choice(self._known_stacks), rnd.random() < 0.9, "worker", 10_101_010,
            )
            for _ in range(self._stacks)
        ]  # fmt: skip
        return Batch(at, records, sampled_s=1.0)
