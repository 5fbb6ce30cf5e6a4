"""What the store and the writers cost, on made-up records. Prints figures; judges nothing.

Run: python -m tests.bench.store_cost
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from ebtop.export.columns import Columns
from ebtop.export.ndjson import to_json
from ebtop.store.command_table import CommandTable
from ebtop.store.recent import Window
from ebtop.store.records import Batch, ExecRecord, ExitRecord, Frame, Record, StackRecord, TcpRecord, TcpScan
from ebtop.store.store import Store
from ebtop.store.traffic import Traffic

SECOND = 1_000_000_000
START = 1_795_356_000 * SECOND

STORM_PAIRS_PER_SECOND = 14_000
STORM_SECONDS = 5
BATCHES_PER_SECOND = 10
CONNECTIONS = 50_000
SCANS = 6
STACKS = 5_000
KEYS = 2_000


def storm_batch(number: int) -> Batch:
    """A tenth of a second of short processes: all execs, then all exits, as two ring buffers hand them over."""
    pairs = STORM_PAIRS_PER_SECOND // BATCHES_PER_SECOND
    begin = START + number * SECOND // BATCHES_PER_SECOND
    step = SECOND // STORM_PAIRS_PER_SECOND
    first_pid = 1000 + number * pairs
    records: list[Record] = [exec_record(begin + i * step, first_pid + i) for i in range(pairs)]
    records += [
        ExitRecord(begin + i * step + step // 2, first_pid + i, "true", 0, "/user.slice", 999, 0, 0, False, 3e-5)
        for i in range(pairs)
    ]
    return Batch(begin + SECOND // BATCHES_PER_SECOND, records)


def exec_record(time_ns: int, pid: int) -> ExecRecord:
    args = ("/bin/true", "--option", "a value with blanks", str(pid))
    return ExecRecord(time_ns, pid, "true", 0, "/user.slice", 999, "sh", 0, "/bin/true", args, 0)


def scan_batch(number: int) -> Batch:
    """A scan of many connections, a tenth of which moved bytes since the scan before."""
    time_ns = START + (number + 1) * SECOND
    connections = tuple(
        TcpRecord(
            time_ns, 100 + i % 50, "server", 0, "/system.slice", "live", 0xFFFF888000000000 + i * 2304, 4,
            f"10.0.{i >> 8 & 255}.{i & 255}", 443, "192.0.2.1", 1024 + i, "ESTABLISHED",
            1000 + (number * 5000 if i % 10 == 0 else 0), 500, 12.5 + number, "in", 4026531840, "exact", None, None, 0,
        )
        for i in range(CONNECTIONS)
    )  # fmt: skip
    return Batch(time_ns, [], TcpScan(time_ns, connections, (4026531840,), 0))


def stack_batch(number: int) -> Batch:
    """One drain of the sampler with distinct deep stacks."""
    time_ns = START + (number + 1) * SECOND
    frames = [Frame(f"function_{i}", "native", "server") for i in range(200)]
    stacks: list[Record] = [
        StackRecord(
            time_ns, i % 40, "server", 0, None, "cpu", 1, (*frames[:40], frames[i % 200], frames[i // 200]), True
        )
        for i in range(STACKS)
    ]
    return Batch(time_ns, stacks, sampled_s=1.0)


def timed(action: Callable[[], object]) -> float:
    """Seconds of CPU time."""
    begin = time.process_time()
    action()
    return time.process_time() - begin


def storm() -> Iterator[str]:
    now = START
    store = Store(lambda: now)
    ingest: list[float] = []
    snapshots: list[float] = []
    for number in range(STORM_SECONDS * BATCHES_PER_SECOND):
        batch = storm_batch(number)
        now = batch.time_ns
        ingest.append(timed(lambda: store.ingest(batch)) / len(batch.records))  # noqa: B023
        if number % BATCHES_PER_SECOND == 0:
            snapshots.append(timed(store.snapshot))
    median = statistics.median(ingest)
    yield f"storm of {STORM_PAIRS_PER_SECOND} exec+exit pairs/s: ingest {median * 1e6:.2f} us a record (median)"
    yield f"  = {median * 2 * STORM_PAIRS_PER_SECOND:.1%} of one CPU; worst batch {max(ingest) * 1e6:.2f} us a record"
    yield f"  snapshot {statistics.median(snapshots) * 1e3:.1f} ms (median)"


def scans() -> Iterator[str]:
    now = START
    store = Store(lambda: now)
    ingest: list[float] = []
    snapshots: list[float] = []
    for number in range(SCANS):
        batch = scan_batch(number)
        now = batch.time_ns
        ingest.append(timed(lambda: store.ingest(batch)))  # noqa: B023
        snapshots.append(timed(store.snapshot))
    first, *later = ingest
    yield f"scan of {CONNECTIONS} connections: first {first * 1e3:.0f} ms, then {statistics.median(later) * 1e3:.0f} ms"
    yield f"  snapshot {statistics.median(snapshots) * 1e3:.1f} ms (median)"


def stacks() -> Iterator[str]:
    store = Store(lambda: START)
    batches = [stack_batch(number) for number in range(4)]
    taken: list[float] = []
    for batch in batches:
        taken.append(timed(lambda: store.ingest(batch)))  # noqa: B023
        store.snapshot()
    stalled = [timed(lambda: store.ingest(batch)) for batch in batches]  # noqa: B023
    yield f"drain of {STACKS} distinct stacks: {statistics.median(taken) * 1e3:.1f} ms when each is taken"
    yield f"  {stalled[-1] * 1e3:.1f} ms when the reader stalls and they are merged"


def aggregates() -> Iterator[str]:
    """What adding up costs apart from the tables of rows."""
    commands, traffic = CommandTable(KEYS), Traffic(KEYS, KEYS)
    execs = [exec_record(START + i * SECOND // 40_000, 1000 + i)._replace(comm=f"cmd{i % KEYS}") for i in range(40_000)]
    exits = [ExitRecord(r.time_ns, r.pid, r.comm, 0, "/user.slice", 999, 0, 0, False, 3e-5) for r in execs]
    closes = [record._replace(event="close") for record in scan_batch(0).tcp_scan.connections[:40_000]]  # type: ignore[union-attr]
    closes = [r._replace(pid=i % KEYS, daddr=f"10.1.{i % KEYS >> 8}.{i & 255}") for i, r in enumerate(closes)]

    def short_processes() -> None:
        for record, end in zip(execs, exits, strict=True):
            commands.started(record)
            commands.ended(end)

    def short_connections() -> None:
        for record in closes:
            traffic.count(record, record.time_ns, opened=1, ended=1, tx_bytes=10, rx_bytes=20)

    for name, count, each in (
        ("exec with its exit", short_processes, len(execs)),
        ("connection", short_connections, len(closes)),
    ):
        yield f"adding up: {statistics.median(timed(count) for _ in range(5)) / each * 1e6:.2f} us a {name}"
    moments = [timed(lambda: commands.rows(Window(START + n * SECOND))) for n in range(3, 8)]  # noqa: B023
    yield f"  {KEYS} commands, all with a rate: {statistics.median(moments) * 1e3:.1f} ms a snapshot"
    for title, rows in (("peers", traffic.peers), ("processes", traffic.talkers)):
        moments = [timed(lambda: rows(Window(START + n * SECOND))) for n in range(3, 8)]  # noqa: B023
        yield f"  {KEYS} {title}: {statistics.median(moments) * 1e3:.1f} ms a snapshot"


def writers() -> Iterator[str]:
    records = [exec_record(START + i * 71_429, 1000 + i) for i in range(STORM_PAIRS_PER_SECOND)]
    columns = Columns(["exec"])
    for name, write in (("NDJSON", to_json), ("columns", columns.line)):
        rounds = [timed(lambda: [write(record) for record in records]) for _ in range(5)]  # noqa: B023
        yield f"{name}: {statistics.median(rounds) / len(records) * 1e6:.2f} us an exec record (median)"


def main() -> None:
    for part in (storm, scans, aggregates, stacks, writers):
        for line in part():
            print(line)


if __name__ == "__main__":
    main()
