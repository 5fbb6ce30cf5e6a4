"""What walking user stacks costs and how many it finds whole: by tables, by frame pointers, and perf's DWARF beside it.

Usage: python -m tests.bench.unwind_cost [--seconds N] [--hertz HZ] [--only NAME...] [--no-memory]

Needs root and gcc; perf for its column, and of the runtimes those that are there are measured. CPU is that of the
process that samples, of one CPU: after the first ten seconds, in which symbols and tables are read, and in all.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ebtop.kernel.compiler import source_directory
from ebtop.kernel.maps import Map
from ebtop.kernel.module import Attachment
from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import StackRecord
from ebtop.unwind import FramePointers, UnwindTables, UserStacks
from tests.bench.java_names import PROGRAM as JAVA
from tests.bench.naming_cost import building
from tests.lab import unwind
from tests.lab.collect import Collector

_START_S = 10.0
"""In which symbols and tables are read for the first time."""
_BUCKETS, _BUCKET_NS = 256, 500
_ROOTS = ("_start", "clone3", "__clone3")
_TIMED = """
#define walk_user_stack walk_untimed
#define hand_over_stack hand_over_untimed
%s
#undef walk_user_stack
#undef hand_over_stack

BPF_PERCPU_ARRAY(walk_began, u64, 1);
BPF_ARRAY(walk_times, u64, BUCKETS);

inlined void walk_user_stack(void *ctx, struct stack *stack)
{
	int first = 0;
	u64 *began = walk_began.lookup(&first);

	if (began)
		*began = bpf_ktime_get_ns();
	walk_untimed(ctx, stack);
}

inlined u64 hand_over_stack(void *ctx, struct stack *stack)
{
	int first = 0;
	u64 *began = walk_began.lookup(&first), *times;
	u32 bucket;

	if (began) {
		bucket = (bpf_ktime_get_ns() - *began) / BUCKET_NS;
		if (bucket >= BUCKETS)
			bucket = BUCKETS - 1;
		times = walk_times.lookup(&bucket);
		if (times)
			__sync_fetch_and_add(times, 1);
	}
	return hand_over_untimed(ctx, stack);
}
"""


class _Timed:
    """A way to walk, with a histogram of how long it took."""

    def __init__(self, directory: Path, way: UserStacks) -> None:
        text = (source_directory() / way.header).read_text()
        text = (_TIMED % text).replace("BUCKETS", str(_BUCKETS)).replace("BUCKET_NS", str(_BUCKET_NS))
        path = directory / f"timed_{Path(way.header).name}"
        path.write_text(text)
        self.name = way.name
        self.header = str(path)
        self.hands_over = way.hands_over
        self.no_stack = way.no_stack
        self._way = way

    def chain(self, stores: str, prog_type: int) -> Sequence[Attachment]:
        return self._way.chain(stores, prog_type)


class Walked(NamedTuple):
    """One target under one way to walk."""

    complete: float
    mean_us: float
    p99_us: float
    all_us: float
    """The whole sample: Python functions, kernel stack, hashing and storing too."""
    steady: float
    """CPU of the process that samples, of one CPU."""
    with_start: float


class Target(NamedTuple):
    """A program that keeps one CPU busy; two copies of it run."""

    name: str
    command: list[str]
    warm_s: float = 1.0
    """Until it does what it will do from then on."""


BUILD = "build of many short processes"
_JSON = "import json, zlib\nwhile True: zlib.compress(json.dumps([{'a': i, 'b': 'x' * i} for i in range(90)]).encode())"
_NUMPY = (
    "import os\nos.environ['OPENBLAS_NUM_THREADS'] = '1'\nimport numpy\n"
    "a = numpy.random.rand(300, 300)\nwhile True: numpy.linalg.inv(a @ a)"
)
_NODE = "for (;;) JSON.parse(JSON.stringify(Array.from({length: 999}, (_, i) => ({i}))))"
_PERL = "while (1) { my %h; $h{$_} = join ',', $_ .. $_ + 9 for 1 .. 99; my @s = sort values %h }"
_RUST = """
use std::collections::BTreeMap;
fn fill(n: u64) -> BTreeMap<u64, String> { (0..n).map(|i| (i * 7919 % 1009, format!("{i:x}"))).collect() }
fn main() { let mut sum = 0; loop { sum += fill(500).values().map(|s| s.len()).sum::<usize>(); if sum == 1 { break } } }
"""


def targets(directory: Path) -> list[Target]:
    """Those that can run here."""
    found = [
        Target("C, no frame pointers", [str(unwind.shapes_program()), "600"]),
        Target("system python3", ["/usr/bin/python3", "-c", _JSON]),
        Target("xz", ["xz", "-T1", "-6", "-c", "/dev/zero"]),
        Target("openssl sha256", ["openssl", "speed", "-seconds", "600", "sha256"]),
        Target("node", ["node", "-e", _NODE], 4.0),
        Target("perl", ["perl", "-e", _PERL]),
    ]
    if shutil.which("java"):
        source = directory / "Busy.java"
        source.write_text(JAVA)
        found.append(Target("java", ["java", "-XX:+UseSerialGC", str(source)], 8.0))
    python = shutil.which("python3") or ""
    if python and not subprocess.run([python, "-c", "import numpy"], stderr=subprocess.DEVNULL).returncode:
        found.append(Target("numpy", [python, "-c", _NUMPY], 2.0))
    if shutil.which("rustc"):
        (directory / "busy.rs").write_text(_RUST)
        program = directory / "busy-rust"
        subprocess.run(["rustc", "-O", "--edition", "2021", "-o", program, directory / "busy.rs"], check=True)
        found.append(Target("rust", [str(program)]))
    return [target for target in found if shutil.which(target.command[0])]


@contextlib.contextmanager
def running(command: list[str], copies: int = 1) -> Iterator[list[int]]:
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(copies)]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(way: UserStacks, target: Target | None, hertz: int, seconds: float, directory: Path) -> Walked:
    """Two copies, for two busy CPUs; None is a build."""
    settings = Settings(hertz=hertz, user_stacks=_Timed(directory, way))
    with contextlib.ExitStack() as stack:
        pids: list[int] = []
        if target is None:
            stack.enter_context(building())
        else:
            pids = stack.enter_context(running(target.command, 2))
            time.sleep(target.warm_s)
        begun = time.process_time(), time.monotonic()
        c = stack.enter_context(Collector(["cpu"], settings, FilterSpec(frozenset(pids)) if pids else None))
        time.sleep(_START_S)
        times: Map = c.source._set.loaded["cpu"].module.maps["walk_times"]
        before, probe, cpu, since = _read(times), c.probe("cpu"), time.process_time(), time.time_ns()
        time.sleep(seconds)
        ended = time.process_time()
        steady, with_start = (ended - cpu) / seconds, (ended - begun[0]) / (time.monotonic() - begun[1])
        after, later = _read(times), c.probe("cpu")
    records = [r for r in c.of(StackRecord, pids or None) if r.time_ns > since and r.pid != os.getpid()]
    histogram = [b - a for a, b in zip(before, after, strict=True)]
    spent = sum(p.run_ns for p in later.programs) - sum(p.run_ns for p in probe.programs)
    taken = max(1, later.events - probe.events)
    mean = sum(n * (i + 0.5) for i, n in enumerate(histogram)) / max(1, sum(histogram)) * _BUCKET_NS / 1000
    whole = unwind.complete(records) if records else 0.0
    return Walked(whole, mean, _quantile(histogram, 0.99), spent / taken / 1000, steady, with_start)


def _read(times: Map) -> list[int]:
    return [struct.unpack("=Q", times.lookup(struct.pack("=I", i)) or bytes(8))[0] for i in range(_BUCKETS)]


def _quantile(histogram: list[int], share: float) -> float:
    left = share * sum(histogram)
    for bucket, n in enumerate(histogram):
        left -= n
        if left <= 0:
            return (bucket + 1) * _BUCKET_NS / 1000
    return float("inf")


def perf_dwarf(target: Target, hertz: int, seconds: float, directory: Path) -> tuple[float, float] | None:
    """Share of whole stacks and their depth, of perf record --call-graph dwarf with its 8 KiB of stack."""
    if shutil.which("perf") is None:
        return None
    data = directory / "perf.data"
    with running(target.command) as (pid,):
        time.sleep(target.warm_s)
        subprocess.run(
            ["perf", "record", "-q", "-e", "cpu-clock:u", "-F", str(hertz), "--call-graph", "dwarf", "-p", str(pid),
             "-o", str(data), "--", "sleep", str(seconds)],
            check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        text = subprocess.run(
            ["perf", "script", "-i", str(data), "-F", "ip,sym"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, errors="replace", check=True,
        ).stdout  # fmt: skip
    stacks = [block.splitlines() for block in text.split("\n\n") if block.strip()]
    if not stacks:
        return None
    whole = sum(any(root in stack[-1] for root in _ROOTS) for stack in stacks)
    return whole / len(stacks), sum(map(len, stacks)) / len(stacks)


def memory(every: list[Target], hertz: int) -> tuple[float, float, int]:
    """MB that this process grew by while all targets ran, kernel MiB of tables, and how many there are."""
    with contextlib.ExitStack() as stack:
        for target in every:
            stack.enter_context(running(target.command))
        time.sleep(max(target.warm_s for target in every))
        grown: list[float] = []
        for way in (FramePointers(), UnwindTables()):
            with Collector(["cpu"], Settings(hertz=hertz, user_stacks=way)) as collected:
                time.sleep(_START_S + 5)
                grown.append(_rss_mb())
                unwinder = collected.source._set.unwinder
                tables = (unwinder.table_bytes / 2**20, unwinder.table_count) if unwinder else (0.0, 0)
    return grown[1] - grown[0], *tables


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def row(target: Target | None, hertz: int, seconds: float, directory: Path) -> None:
    tables = measure(UnwindTables(), target, hertz, seconds, directory)
    pointers = measure(FramePointers(), target, hertz, seconds, directory)
    dwarf = perf_dwarf(target, hertz, seconds, directory) if target is not None else None
    by_perf = f"{dwarf[0]:8.1%}" if dwarf is not None else f"{'-':>8}"
    figures = (
        f"{tables.mean_us:8.1f}{tables.p99_us:7.1f}{tables.all_us:8.1f}{tables.steady:9.1%}{tables.with_start:9.1%}"
    )
    name = target.name if target is not None else BUILD
    print(f"{name:30}{tables.complete:8.1%}{pointers.complete:8.1%}{by_perf}{figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--hertz", type=int, default=99)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="rows that begin with one of these")
    parser.add_argument("--no-memory", action="store_true")
    options = parser.parse_args()
    print(f"{options.hertz} Hz, two copies of each, {options.seconds:g} s; microseconds; CPU: of one")
    print(f"{'':30}{'whole stacks':>24}{'walk':>15}{'sample':>8}{'CPU':>18}")
    print(
        f"{'':30}{'tables':>8}{'fp':>8}{'perf':>8}{'mean':>8}{'p99':>7}{'mean':>8}{'steady':>9}{'start':>9}", flush=True
    )
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        every = targets(directory)
        for target in (*every, None):
            name = target.name if target is not None else BUILD
            if options.only is None or name.startswith(tuple(options.only)):
                row(target, options.hertz, options.seconds, directory)
        if not options.no_memory:
            grown, tables_mib, count = memory(every, options.hertz)
            print(
                f"{len(every)} runtimes at once: {grown:.0f} MB more than frame pointers take; "
                f"{count} tables of {tables_mib:.1f} MiB"
            )


if __name__ == "__main__":
    main()
