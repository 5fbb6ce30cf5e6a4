"""What recording the demo's workload costs: share of the node, memory over time, growth of the file.

Run: python -m tests.bench.record_cost [--seconds S] [--rounds N] [--peer]     (root). Prints figures; judges nothing.

With --peer each round also traces the same workload for as long, its lines going nowhere: what recording adds to that
is the price of the file.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ebtop.demo.launch import Demo
from ebtop.store.file.making import BESIDE
from tests.bench.measure import Usage, usage
from tests.bench.terminal import EBTOP

_PROBES = "cpu,exec,tcp,retransmits,connects"
_ATTACHED_S = 60.0
_SETTLE_S = 6.0
"""Symbol tables are read at the first stacks, once: that is no part of a rate."""
_WARM_S = 60.0
"""Memory is looked at from then on."""
_SAMPLE_S = 10.0


class Sample(NamedTuple):
    """A look at a process."""

    at_s: float
    """After it was attached and had settled."""
    rss_kib: int
    file_bytes: int
    """With what lies beside it."""
    usage: Usage


class Run(NamedTuple):
    """One command from its settling to just before its end."""

    samples: Sequence[Sample]

    @property
    def elapsed_s(self) -> float:
        return self.samples[-1].at_s - self.samples[0].at_s

    @property
    def own_percent(self) -> float:
        """CPU time of its own, of all CPUs."""
        return self._percent(self.samples[-1].usage.cpu_s - self.samples[0].usage.cpu_s)

    @property
    def bpf_percent(self) -> float:
        """Time its BPF programs ran, of all CPUs."""
        return self._percent((self.samples[-1].usage.bpf_ns - self.samples[0].usage.bpf_ns) / 1e9)

    @property
    def node_percent(self) -> float:
        return self.own_percent + self.bpf_percent

    @property
    def bytes_an_hour(self) -> float:
        return 3600 * (self.samples[-1].file_bytes - self.samples[0].file_bytes) / self.elapsed_s

    def _percent(self, seconds: float) -> float:
        return 100 * seconds / self.elapsed_s / (os.cpu_count() or 1)


def follow(command: Sequence[str], seconds: float, path: Path | None, tell: bool = False) -> Run:
    """Start it, look at it for so many seconds after it has settled, end it as its user would."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        try:
            _wait_until_attached(child)
            time.sleep(_SETTLE_S)
            began = time.monotonic()
            samples = [_look(child.pid, 0.0, path)]
            while (passed := time.monotonic() - began) < seconds:
                time.sleep(min(_SAMPLE_S, seconds - passed))
                samples.append(_look(child.pid, time.monotonic() - began, path))
                if tell:
                    at_s, rss, size, _ = samples[-1]
                    print(f"    {at_s:7.0f} s  RSS {rss / 1024:6.1f} MiB  file {size / 2**20:8.2f} MiB", flush=True)
        finally:
            child.send_signal(signal.SIGINT)
            said = child.stderr.read() if child.stderr else ""
    if tell:
        print(said.strip().rpartition("\n")[2])
    return Run(samples)


def memory(samples: Sequence[Sample]) -> str:
    """At the first minute's end, at the end, and the trend in between."""
    warm = [sample for sample in samples if sample.at_s >= _WARM_S]
    if len(warm) < 2:
        return f"{samples[0].rss_kib / 1024:.1f} MiB at first, {samples[-1].rss_kib / 1024:.1f} MiB at the end"
    slope, _ = statistics.linear_regression([each.at_s / 3600 for each in warm], [each.rss_kib for each in warm])
    highest = max(sample.rss_kib for sample in samples)
    return (
        f"{warm[0].rss_kib / 1024:.1f} MiB after a minute, {warm[-1].rss_kib / 1024:.1f} MiB at the end, "
        f"{highest / 1024:.1f} MiB at most; {slope / 1024:+.2f} MiB an hour"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="What recording the demo's workload costs.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run that are measured")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peer", action="store_true", help="trace the same workload for as long, in turn")
    parser.add_argument("--tell", action="store_true", help="print each look at the recording")
    args = parser.parse_args()
    recorded: list[Run] = []
    traced: list[Run] = []
    with Demo() as demo, tempfile.TemporaryDirectory(dir=os.environ.get("EBTOP_BENCH_DIR")) as folder:
        if not demo.cgroup:
            sys.exit("no cgroup can be made here")
        only = ["--cgroup", demo.cgroup]
        for number in range(args.rounds):
            if args.peer:
                traced.append(follow([EBTOP, "trace", _PROBES, "--json", *only], args.seconds, None))
            path = Path(folder, f"{number}.ebtop")
            command = [EBTOP, "record", "-o", str(path), "--probes", _PROBES, *only]
            recorded.append(follow(command, args.seconds, path, tell=args.tell))
    print(f"{args.rounds} x {args.seconds:.0f} s of the demo's workload, {os.cpu_count()} CPUs")
    _report("record", recorded)
    for run in recorded:
        print(f"    RSS {memory(run.samples)}; file {run.bytes_an_hour / 2**20:.1f} MiB an hour")
    if traced:
        _report("trace --json", traced)
        added = [mine.node_percent - theirs.node_percent for mine, theirs in zip(recorded, traced, strict=True)]
        own = [mine.own_percent - theirs.own_percent for mine, theirs in zip(recorded, traced, strict=True)]
        print(f"  recording adds {_spread(added)} of the node ({_spread(own)} without BPF)")


def _report(name: str, runs: Sequence[Run]) -> None:
    node, own = _spread([run.node_percent for run in runs]), _spread([run.own_percent for run in runs])
    print(f"  {name:<14} {node} of the node: {own} its own, {_spread([run.bpf_percent for run in runs])} BPF")


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.2f} %"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f} to {max(values):.2f})"


def _look(pid: int, at_s: float, path: Path | None) -> Sample:
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    names = [] if path is None else [f"{path}{end}" for end in ("", *BESIDE)]
    return Sample(at_s, int(found[1]), sum(os.path.getsize(n) for n in names if os.path.exists(n)), usage(pid))


def _wait_until_attached(child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _ATTACHED_S
    while usage(child.pid).bpf_runs == 0:
        if child.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"it did not start: {child.stderr.read() if child.stderr else ''}")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
