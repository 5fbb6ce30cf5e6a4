"""What keeping the last minutes costs, and what looking back does, on made-up records. Prints figures; judges nothing.

Run: python -m tests.bench.history_cost [--seconds N]
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ebtop.store.records import (
    Batch,
    ConnectHistogram,
    ConnectRecord,
    ExecRecord,
    ExitRecord,
    Frame,
    Record,
    StackRecord,
    TcpRecord,
    TcpScan,
)
from ebtop.store.selection import Predicate, Pushed
from ebtop.store.store import Store
from ebtop.store.timeline import Timeline

SECOND = 1_000_000_000
START = 1_795_356_000 * SECOND
DRAINS = 4
NETNS = 4026531840
CAP = 64 << 20
WARM_S = 10
"""Until then compressors and what waits to be packed have reached their size."""


class Load(NamedTuple):
    """What happens on a node in a second."""

    name: str
    execs: int
    connections: int
    """That end; both ends are on this node."""
    open: int
    moving: int
    """Open connections that moved bytes since the scan before."""
    stacks: int
    """Distinct ones."""


LOADS = (
    Load("quiet node", 1, 2, 100, 5, 20),
    Load("busy node", 50, 200, 2000, 300, 160),
    Load("storm", 1000, 5000, 2000, 500, 160),
    Load("many connections", 20, 500, 50_000, 5000, 160),
    Load("64 CPUs", 100, 500, 5000, 1000, 3000),
)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class ByPid:
    """As a drill-down on a process; the one that makes most of the load."""

    text = "pid:300"

    def predicate(self) -> Predicate:
        return lambda record: record.pid == 300

    def pushed(self) -> Pushed | None:
        return Pushed(pids=frozenset({300}))


class Learning(ByPid):
    """As a drill-down on a peer: nothing can be decided before a record is looked at."""

    text = "peer"

    def pushed(self) -> Pushed | None:
        return None


class Node:
    """Makes batches as the probes do: records of unchanged connections stay the same objects."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.random = random.Random(1)
        self.pid = 1000
        self.key = 0xFFFF888000000000
        self.open = [self.connection(START, self.random.randrange(1, 10**12)) for _ in range(load.open)]
        frames = [Frame(f"some_function_name_{i}", "native", "libserver.so.1") for i in range(3000)]
        base = tuple(self.random.choices(frames, k=15))
        self.stacks = [base + tuple(self.random.choices(frames, k=20)) for _ in range(4 * load.stacks)]
        self.histogram = [0] * 32

    def connection(self, at: int, age_ns: int) -> TcpRecord:
        rnd = self.random
        self.key += 2304 * rnd.randrange(1, 40)
        return TcpRecord(
            at, 300 + rnd.randrange(20), "server", 33, "/system.slice/server.service", "live", self.key, 4, "10.0.0.1",
            443, f"192.0.{rnd.randrange(4)}.{rnd.randrange(256)}", rnd.randrange(1024, 65536), "ESTABLISHED",
            rnd.randrange(10**6), rnd.randrange(10**5), age_ns / 1e9, "in", NETNS, "exact", None, None, 0,
        )  # fmt: skip

    def batches(self, second: int) -> Iterator[Batch]:
        begin = START + second * SECOND
        for drain in range(DRAINS):
            start, end = begin + drain * SECOND // DRAINS, begin + (drain + 1) * SECOND // DRAINS
            records = [*self.execs(start, end), *self.closes(start, end)]
            if records:
                yield Batch(end, records)
        yield self.poll(begin + SECOND)
        yield Batch(begin + SECOND, self.samples(begin + SECOND), sampled_s=1.0)

    def execs(self, start: int, end: int) -> list[Record]:
        rnd, count = self.random, self.share(self.load.execs)
        records: list[Record] = []
        exits: list[Record] = []
        for at in sorted(rnd.randrange(start, end) for _ in range(count)):
            self.pid = self.pid % 4_000_000 + rnd.randrange(1, 4)
            lives = rnd.randrange(300_000, 30_000_000)
            comm = rnd.choice(("true", "sh", "grep", "sed", "cat"))
            args = (comm, "--option", f"value-{rnd.randrange(1000)}", f"/tmp/file.{self.pid}")
            cgroup = "/system.slice/build.service"
            records.append(ExecRecord(at, self.pid, comm, 1000, cgroup, 999, "make", 0, f"/usr/bin/{comm}", args, 0))
            exits.append(ExitRecord(at + lives, self.pid, comm, 1000, cgroup, 999, 0, 0, False, (lives + 77) / 1e9))
        return records + exits

    def closes(self, start: int, end: int) -> list[Record]:
        rnd, count = self.random, self.share(self.load.connections)
        records: list[Record] = []
        for at in sorted(rnd.randrange(start, end) for _ in range(count)):
            age = rnd.randrange(50_000, 5_000_000)
            server = self.connection(at, age)._replace(event="close", state="LAST_ACK", tx_bytes=1024, rx_bytes=80)
            client = server._replace(
                time_ns=at + rnd.randrange(30_000), key=server.key + 1152, pid=900, comm="client", uid=1000,
                cgroup="/user.slice", saddr=server.daddr, sport=server.dport, daddr=server.saddr, dport=server.sport,
                state="FIN_WAIT2", tx_bytes=80, rx_bytes=1024, duration_s=(age + 40_000) / 1e9, direction="out",
            )  # fmt: skip
            records += (server, client)
        return records

    def poll(self, at: int) -> Batch:
        rnd = self.random
        for position in rnd.sample(range(self.load.open), self.load.moving):
            last = self.open[position]
            assert last.duration_s is not None
            self.open[position] = last._replace(
                time_ns=at, tx_bytes=last.tx_bytes + rnd.randrange(10**6), rx_bytes=last.rx_bytes + rnd.randrange(9000),
                duration_s=(round(last.duration_s * 1e9) + at - last.time_ns) / 1e9,
            )  # fmt: skip
        self.histogram[10] += self.load.connections
        waiting = tuple(
            ConnectRecord(
                at, 700 + i, "client", 0, "/user.slice", 0xFFFF888000000000 + i, 4, "", 0, "203.0.113.9", 443,
                100.0 + i, "pending", None, NETNS,
            )
            for i in range(3)
        )  # fmt: skip
        histogram = ConnectHistogram(tuple(self.histogram), (0,) * 32)
        return Batch(at, [], TcpScan(at, tuple(self.open), (NETNS,), 0), histogram, waiting)

    def samples(self, at: int) -> list[Record]:
        rnd = self.random
        return [
            StackRecord(
                at, 300 + rnd.randrange(40), "server", 33, "/system.slice/server.service", "cpu",
                rnd.randrange(1, 20), frames, True, "worker", 10_101_010,
            )
            for frames in rnd.sample(self.stacks, self.load.stacks)
        ]  # fmt: skip

    def share(self, a_second: int) -> int:
        count, rest = divmod(a_second, DRAINS)
        return count + (self.random.randrange(DRAINS) < rest)


def timed(action: Callable[[], object]) -> float:
    """Seconds of CPU time of this process."""
    begin = time.process_time()
    action()
    return time.process_time() - begin


def measure(load: Load, seconds: int) -> Iterator[str]:
    clock, node = Clock(), Node(load)
    timeline, store = Timeline(clock, cap_bytes=CAP), Store(clock, keep_stacks=False)
    view = timeline.view()
    first = timeline.kept
    total = alone = worst = 0.0
    for second in range(seconds):
        for batch in node.batches(second):
            clock.now = batch.time_ns + 1_000_000
            spent = timed(lambda: timeline.ingest(batch))  # noqa: B023
            total, worst = total + spent, max(worst, spent)
            alone += timed(lambda: store.ingest(batch))  # noqa: B023
        view.snapshot()
        store.snapshot()
        if second == WARM_S:
            first = timeline.kept
    kept = timeline.kept
    grown_s = (kept.newest_ns - first.newest_ns) / SECOND
    a_second = (kept.bytes - first.bytes) / grown_s
    reach_s = (CAP - first.bytes) / a_second + WARM_S
    yield f"{load.name}: {load.execs} execs, {load.connections} ends, {load.open} open, {load.stacks} stacks a second"
    yield (
        f"  keeping {(total - alone) / seconds:.2%} of one CPU, the tables {alone / seconds:.2%}; "
        f"slowest batch {worst * 1e3:.0f} ms"
    )
    yield (
        f"  {a_second / 1024:.1f} KiB a second, of which 64 MiB hold {min(reach_s / 60, 10):.1f} minutes; "
        f"{first.bytes / 2**20:.1f} MiB after {WARM_S} s"
    )
    newest = kept.newest_ns
    yield "  " + "; ".join(
        f"{what} {timed(action) * 1e3:.0f} ms"
        for what, action in (
            ("back to a moment", lambda: timeline.at(newest - 10 * SECOND)),
            ("a second on", lambda: timeline.at(newest - 9 * SECOND)),
            ("stacks of 60 s", lambda: timeline.spans(60)),
            ("view of a process", lambda: timeline.view(ByPid())),
            ("of what learns", lambda: timeline.view(Learning())),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of keeping the last minutes.")
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--load", default="", help="only those whose name has this in it")
    args = parser.parse_args()
    gc.set_threshold(20_000, 20, 20)  # as in the program
    for load in LOADS:
        if args.load in load.name:
            for line in measure(load, args.seconds):
                print(line, flush=True)


if __name__ == "__main__":
    main()
