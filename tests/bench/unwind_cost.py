"""What walking user stacks costs and how many it finds whole: by tables, by frame pointers, and perf's DWARF beside it.

Usage: python -m tests.bench.unwind_cost [--seconds N] [--hertz HZ]      (root; needs gcc, and perf for its column)
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
from tests.lab import unwind
from tests.lab.collect import Collector

_WARM_S = 2.0
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
    depth: float
    mean_us: float
    p50_us: float
    p99_us: float
    all_us: float
    """The whole sample: kernel stack, hashing and storing too."""
    daemon: float
    """CPU of the process that samples, of one CPU."""


TARGETS = {
    "C, no frame pointers": [str(unwind.shapes_program()), "600"],
    "system python3": [
        "/usr/bin/python3", "-c",
        "import json, zlib\n"
        "while True: zlib.compress(json.dumps([{'a': i, 'b': 'x' * i} for i in range(90)]).encode())",
    ],
    "xz": ["xz", "-T1", "-6", "-c", "/dev/zero"],
    "openssl sha256": ["openssl", "speed", "-seconds", "600", "sha256"],
    "node": ["node", "-e", "for (;;) JSON.parse(JSON.stringify(Array.from({length: 999}, (_, i) => ({i}))))"],
}  # fmt: skip


@contextlib.contextmanager
def running(command: list[str], copies: int = 1) -> Iterator[list[int]]:
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(copies)]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(way: UserStacks, command: list[str], hertz: int, seconds: float, directory: Path) -> Walked:
    """Two copies, for two busy CPUs."""
    with (
        running(command, 2) as pids,
        Collector(["cpu"], Settings(hertz=hertz, user_stacks=_Timed(directory, way)), FilterSpec(frozenset(pids))) as c,
    ):
        time.sleep(_WARM_S)
        times: Map = c.source._set.loaded["cpu"].module.maps["walk_times"]
        before, begun, cpu, since = _read(times), c.probe("cpu"), time.process_time(), time.time_ns()
        time.sleep(seconds)
        daemon = (time.process_time() - cpu) / seconds
        after = _read(times)
        ended = c.probe("cpu")
    records = [r for r in c.of(StackRecord, pids) if r.time_ns > since]
    every = unwind.samples(records)
    histogram = [b - a for a, b in zip(before, after, strict=True)]
    spent = sum(p.run_ns for p in ended.programs) - sum(p.run_ns for p in begun.programs)
    taken = max(1, ended.events - begun.events)
    mean = sum(n * (i + 0.5) for i, n in enumerate(histogram)) / sum(histogram) * _BUCKET_NS / 1000
    return Walked(
        unwind.complete(records),
        sum(len(r.frames) * r.samples for r in records) / every,
        mean, _quantile(histogram, 0.5), _quantile(histogram, 0.99), spent / taken / 1000, daemon,
    )  # fmt: skip


def _read(times: Map) -> list[int]:
    return [struct.unpack("=Q", times.lookup(struct.pack("=I", i)) or bytes(8))[0] for i in range(_BUCKETS)]


def _quantile(histogram: list[int], share: float) -> float:
    left = share * sum(histogram)
    for bucket, n in enumerate(histogram):
        left -= n
        if left <= 0:
            return (bucket + 1) * _BUCKET_NS / 1000
    return float("inf")


def perf_dwarf(command: list[str], hertz: int, seconds: float, directory: Path) -> tuple[float, float] | None:
    """Share of whole stacks and their depth, of perf record --call-graph dwarf with its 8 KiB of stack."""
    if shutil.which("perf") is None:
        return None
    data = directory / "perf.data"
    with running(command) as (pid,):
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


def memory(hertz: int) -> tuple[float, float, int]:
    """MB that this process grew by while all targets ran, kernel MiB of tables, and how many there are."""
    with contextlib.ExitStack() as stack:
        for command in TARGETS.values():
            if shutil.which(command[0]):
                stack.enter_context(running(command))
        grown: list[float] = []
        for way in (FramePointers(), UnwindTables()):
            with Collector(["cpu"], Settings(hertz=hertz, user_stacks=way)) as collected:
                time.sleep(8)
                grown.append(_rss_mb())
                unwinder = collected.source._set.unwinder
                tables = (unwinder.table_bytes / 2**20, unwinder.table_count) if unwinder else (0.0, 0)
    return grown[1] - grown[0], *tables


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--hertz", type=int, default=99)
    options = parser.parse_args()
    print(f"{options.hertz} Hz, two copies of each, {options.seconds:g} s; microseconds; daemon: of one CPU")
    print(f"{'':22}{'':16}{'whole':>8}{'depth':>7}{'mean':>8}{'p50':>7}{'p99':>7}{'sample':>8}{'daemon':>12}")
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for name, command in TARGETS.items():
            if shutil.which(command[0]) is None:
                continue
            for way in (UnwindTables(), FramePointers()):
                w = measure(way, command, options.hertz, options.seconds, directory)
                figures = f"{w.mean_us:8.1f}{w.p50_us:7.1f}{w.p99_us:7.1f}{w.all_us:8.1f}   {w.daemon:9.1%}"
                print(f"{name:22}{way.name:16}{w.complete:8.1%}{w.depth:7.1f}{figures}", flush=True)
            dwarf = perf_dwarf(command, options.hertz, options.seconds, directory)
            if dwarf is not None:
                print(f"{name:22}{'perf dwarf':16}{dwarf[0]:8.1%}{dwarf[1]:7.1f}", flush=True)
    grown, tables_mib, count = memory(options.hertz)
    print(f"all at once: {grown:.0f} MB more than frame pointers take; {count} tables of {tables_mib:.1f} MiB")


if __name__ == "__main__":
    main()
