"""What keeping evidence costs: a snapshot of a busy ten minutes, an hour's recording, opening a large file.

Run: python -m tests.bench.evidence_cost [--snapshot] [--hour] [--large MB] [--formats]. Prints figures; judges nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ebtop.export.formats import FORMATS
from ebtop.store.containers import Container
from ebtop.store.evidence import CollectionFacts, HostFacts
from ebtop.store.file.reader import SnapshotFile
from ebtop.store.file.recorder import Recorder
from ebtop.store.file.rotation import Rotation
from ebtop.store.records import Batch, ExecRecord, ExitRecord, Frame, Record, StackRecord
from ebtop.store.redact import Redactor, Rules
from ebtop.store.source import Health, MapUse, NodeLoad, ProbeHealth, ProgramCost
from ebtop.store.timeline import Tick, Timeline
from ebtop.ui.freezing import Freezer
from tests.bench.export_cost import HEADING, measure
from tests.bench.history_cost import LOADS, Clock, Node

SECOND = 1_000_000_000
SNAPSHOT_S = 600
STACKS, EVENTS = 50_000, 100_000
HOST = HostFacts("bench", "6.1.0", "x86_64", "Debian", 2, 8 << 30, 0, "tsc", "UTC", 0)
COLLECTION = CollectionFacts("0.1.0", ("cpu", "exec"), 49, 100.0, "", "")


class BenchSource:
    """As far as a recorder and a freezer ask."""

    host, collection, hertz = HOST, COLLECTION, 49

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def health(self) -> Health:
        probes = tuple(
            ProbeHealth(
                name, "on", "", "", tuple(ProgramCost(f"{name}_{n}", n, 1000, 10**6) for n in range(3)),
                tuple(MapUse(f"{name}_{n}", n, 1 << 20) for n in range(5)), 0.01, 1000, {}, (),
            )
            for name in ("cpu", "exec", "tcp", "retransmits", "connects")
        )  # fmt: skip
        node = NodeLoad(40.0, (1.0, 1.0, 1.0), 1 << 30, 4 << 30, None)
        return Health(self._clock(), probes, self._clock() // 100, 50 << 20, 2, True, (), node)

    def containers(self, cgroup: str | None) -> Container | None:
        return Container("systemd", "server.service", "server.service", None, None) if cgroup else None


def distinct(rnd: random.Random, frames: list[Frame], number: int) -> tuple[Frame, ...]:
    base = frames[:12]
    return (*base, *rnd.choices(frames, k=18), Frame(f"leaf_{number}", "native", "server"))


def busy_minutes(clock: Clock) -> Iterator[Batch]:
    """STACKS distinct stacks and EVENTS events, evenly over SNAPSHOT_S."""
    rnd = random.Random(1)
    frames = [Frame(f"some_function_name_{n}", "native", "libserver.so.1") for n in range(3000)]
    begin, pid, number = clock.now, 1000, 0
    for second in range(SNAPSHOT_S):
        end = begin + (second + 1) * SECOND
        records: list[Record] = []
        for _ in range(EVENTS // SNAPSHOT_S // 2 + 1):
            pid = pid % 4_000_000 + 1
            at = end - rnd.randrange(SECOND)
            args = ("curl", "-s", f"--user=u{pid % 7}", f"http://10.0.0.{pid % 200}/path/{pid % 5000}")
            records.append(ExecRecord(at, pid, "curl", 1000, "/system.slice/a", 9, "sh", 0, "/bin/curl", args, 0))
            records.append(ExitRecord(at + 9_000_000, pid, "curl", 1000, "/system.slice/a", 9, 0, 0, False, 0.009))
        clock.now = end
        yield Batch(end, records)
        stacks: list[Record] = []
        for _ in range(STACKS // SNAPSHOT_S + 1):
            number += 1
            path = distinct(rnd, frames, number)
            stacks.append(StackRecord(end, 300, "server", 33, "/system.slice/b", "cpu", 2, path, True, "w", 20_408_163))
        yield Batch(end, stacks, sampled_s=1.0)


class Pauses(threading.Thread):
    """How long a thread that wants to run every 5 ms, as a screen does, was kept from it at most."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        before = time.monotonic()
        while not self.over.is_set():
            time.sleep(0.005)
            now = time.monotonic()
            self.longest, before = max(self.longest, now - before - 0.005), now


def snapshot(folder: Path, formats: bool) -> None:
    clock = Clock()
    source, timeline = BenchSource(clock), Timeline(clock, cap_bytes=256 << 20)
    for batch in busy_minutes(clock):
        timeline.ingest(batch)
        if batch.sampled_s:
            timeline.mark(Tick(clock.now, timeline.rates(), source.health()))
    print(f"ten minutes, {STACKS} distinct stacks, {EVENTS} events: {timeline.kept.bytes / 2**20:.1f} MiB kept")
    os.chdir(folder)
    quiet, pauses = Pauses(), Pauses()
    quiet.start()
    time.sleep(2)
    quiet.over.set()
    pauses.start()
    seen: list[tuple[float, str]] = []
    begin = time.monotonic()
    done = Freezer(source, timeline, Rules()).freeze(  # type: ignore[arg-type]
        "bench", "", lambda text: seen.append((time.monotonic() - begin, text))
    )
    took = time.monotonic() - begin
    pauses.over.set()
    written = next((at for at, text in seen if "bundle" in text), took)
    print(f"  file written after {written:.2f} s, with its bundle after {took:.2f} s")
    print(f"  longest pause of another thread {1e3 * pauses.longest:.0f} ms ({1e3 * quiet.longest:.0f} before)")
    assert sqlite3.connect(done.file).execute("SELECT count(*) FROM stack_paths").fetchone()[0] >= STACKS
    opened(done.file)
    if formats:
        print(HEADING)
        each_format(done.file)


def each_format(path: Path) -> None:
    """As somebody would have it: by the program, into a file."""
    for name, each in FORMATS.items():
        measure(name, ["export", str(path), "-o", str(path.with_name(f"x{each.endings[0]}"))])


def opened(path: Path) -> None:
    begin = time.monotonic()
    file = SnapshotFile(path)
    ready = time.monotonic()
    file.at(file.until_ns)
    shown = time.monotonic()
    middle = (file.from_ns + file.until_ns) // 2
    file.at(middle)
    there = time.monotonic()
    file.spans(60, middle)
    stacks = time.monotonic()
    file.ticks()
    print(
        f"  {path.stat().st_size / 2**20:.0f} MiB opened in {ready - begin:.3f} s, the end shown in "
        f"{shown - ready:.3f} s, the middle in {there - shown:.3f} s, 60 s of stacks in {stacks - there:.3f} s, charts "
        f"in {time.monotonic() - stacks:.3f} s; {(file.until_ns - file.from_ns) / SECOND / 3600:.1f} h, "
        f"{file.seen} records"
    )


def recorded(path: Path, load_name: str, *, seconds: int = 0, megabytes: int = 0) -> None:
    """Record a made-up load as fast as it goes; the share is that of the seconds it stands for."""
    load = next(load for load in LOADS if load.name == load_name)
    clock, node = Clock(), Node(load)
    source = BenchSource(clock)
    recorder = Recorder(
        Rotation(path, 64 << 30),
        source,
        HOST,
        COLLECTION,
        redactor=Redactor(),
        clock=clock,  # type: ignore[arg-type]
    )
    made = 0.0
    begin, second, peak = time.process_time(), 0, 0
    while (seconds and second < seconds) or (megabytes and recorder.progress.bytes < megabytes << 20):
        for _ in range(60):
            started = time.process_time()
            batches = list(node.batches(second))
            made += time.process_time() - started
            for batch in batches:
                clock.now = batch.time_ns + 1_000_000
                recorder.take(batch)
            second += 1
        while recorder._waiting > 5000:
            time.sleep(0.002)
        peak = max(peak, rss())
    recorder.close()
    used = time.process_time() - begin - made
    progress = recorder.progress
    print(
        f"{load.name}, {second / 60:.0f} minutes: {progress.bytes / 2**20:.1f} MiB "
        f"({progress.bytes / 2**20 * 3600 / second:.0f} MiB an hour), {progress.records} records, "
        f"{progress.lost} lost; writing takes {used / second / 2:.2%} of a node of 2 CPUs; RSS {peak >> 20} MiB"
    )


def rss() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of keeping evidence.")
    parser.add_argument("--snapshot", action="store_true", help="a busy ten minutes into a file")
    parser.add_argument("--formats", action="store_true", help="and every format of it")
    parser.add_argument("--record", metavar="SECONDS", type=int, default=0, help="made-up loads into a file")
    parser.add_argument("--large", metavar="MB", type=int, default=0, help="a file of so many MB, and opening it")
    args = parser.parse_args()
    everything = not (args.snapshot or args.formats or args.record or args.large)
    with tempfile.TemporaryDirectory(dir=os.environ.get("EBTOP_BENCH_DIR")) as name:
        folder = Path(name)
        if args.snapshot or args.formats or everything:
            snapshot(folder, args.formats or everything)
        for number, load in enumerate(LOADS[:3] if args.record or everything else ()):
            recorded(folder / f"{number}.ebtop", load.name, seconds=args.record or 300)
        if args.large or everything:
            path = folder / "large.ebtop"
            recorded(path, "storm", megabytes=args.large or 1024)
            opened(path)


if __name__ == "__main__":
    main()
