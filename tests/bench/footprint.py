"""What ebtop itself takes: time to start, to paint and to unload, memory, and its share of an idle and a busy node.

Usage: python -m tests.bench.footprint [--runs N] [--only screen]     (root; prints medians)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.terminal import EBTOP as _EBTOP
from tests.bench.terminal import Terminal, cpu_seconds
from tests.lab.cgroup import ChildCgroup
from tests.lab.execs import exec_storm
from tests.lab.tcp import tcp_storm

_ALL = "cpu,exec,tcp,retransmits,connects"
_SETTLE_S = 6.0
_EXECS_PER_SECOND, _CONNECTIONS_PER_SECOND = 1000, 5000


class Trace(NamedTuple):
    """One run of `trace` with everything loaded."""

    ready_s: float
    rss_mb: float
    map_mib: float
    node_percent: float
    """BPF run time and own CPU time, of all CPUs."""
    bpf_percent: float
    lost: int


class Screen(NamedTuple):
    """One run of the screen on a terminal of 200x50, a tick a second."""

    paint_s: float
    live_s: float
    rss_mb: float
    """The highest."""
    core_percent: float
    """Own CPU time, of one core, BPF not included."""
    kilobytes_per_s: float
    """To the terminal."""
    quit_s: float


def run_trace(seconds: float, load: contextlib.AbstractContextManager[object]) -> Trace:
    """Everything loaded for `seconds` after it is ready, output discarded but for the last lines."""
    began = time.perf_counter()
    command = [_EBTOP, "trace", _ALL, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        ready = time.perf_counter() - began
        tail: list[str] = []
        reader = threading.Thread(target=lambda: _keep_tail(child.stdout, tail))
        reader.start()
        # The kernel's symbol table is read at the first kernel stack, once: 0.2 s of CPU that are not part of a rate.
        time.sleep(_SETTLE_S)
        cpu, at = cpu_seconds(child.pid), time.perf_counter()
        with load:
            time.sleep(seconds)
        used, elapsed = cpu_seconds(child.pid) - cpu, time.perf_counter() - at
        rss = _status_kb(child.pid, "VmHWM") / 1024
        child.send_signal(signal.SIGINT)
        reader.join()
    stats = [line for line in map(json.loads, tail) if line["type"] == "stats"]
    cpus = os.cpu_count() or 1
    # BPF run time covers the whole run, a second or two more than the load: an upper bound.
    bpf = sum(line["run_ns"] for line in stats) / 1e9 / elapsed / cpus * 100
    return Trace(
        ready, rss, sum(line["map_bytes"] for line in stats) / (1 << 20), used / elapsed / cpus * 100 + bpf, bpf,
        sum(line["lost"] for line in stats),
    )  # fmt: skip


def run_screen(arguments: list[str], seconds: float, load: contextlib.AbstractContextManager[object]) -> Screen:
    """The screen from start to quit."""
    with Terminal([_EBTOP, *arguments]) as terminal:
        paint = terminal.wait(lambda screen: any("EXEC" in line for line in screen.lines)) - terminal.began
        live = terminal.wait(lambda screen: any("5/5" in line for line in screen.lines)) - terminal.began
        time.sleep(_SETTLE_S)
        before = terminal.usage()
        with load:
            time.sleep(seconds)
        after = terminal.usage()
        rss = terminal.status_kb("VmHWM") / 1024
        asked = time.monotonic()
    elapsed = after.at - before.at
    own = 100 * (after.cpu_s - before.cpu_s) / elapsed
    return Screen(paint, live, rss, own, (after.bytes - before.bytes) / elapsed / 1000, time.monotonic() - asked)


@contextlib.contextmanager
def busy(seconds: float) -> Iterator[None]:
    """Execs and connections at the rates above."""
    count_execs, count_connections = int(_EXECS_PER_SECOND * seconds), int(_CONNECTIONS_PER_SECOND * seconds)
    workloads = [
        threading.Thread(target=lambda: exec_storm(count_execs, per_second=_EXECS_PER_SECOND)),
        threading.Thread(target=lambda: tcp_storm(count_connections, per_second=_CONNECTIONS_PER_SECOND)),
    ]
    for thread in workloads:
        thread.start()
    yield
    for thread in workloads:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="What ebtop itself takes.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run that are measured")
    parser.add_argument("--only", choices=("trace", "screen"))
    args = parser.parse_args()
    seconds, rounds = args.seconds, range(args.runs)
    nothing = contextlib.nullcontext()
    storm = f"{_EXECS_PER_SECOND} execs/s and {_CONNECTIONS_PER_SECOND} connections/s"
    run_trace(0.5, nothing)  # builds and warms what the first start ever would
    if args.only != "screen":
        _report("trace, idle node", [run_trace(seconds, nothing) for _ in rounds])
        _report(f"trace, {storm}", [run_trace(seconds, busy(seconds)) for _ in rounds])
    if args.only != "trace":
        # Of a node that does nothing nothing is seen: so is it of a cgroup that is empty, whatever else runs here.
        with ChildCgroup() as empty:
            _report("screen, idle", [run_screen(["--cgroup", empty.path], seconds, nothing) for _ in rounds])
        _report("screen, demo", [run_screen(["demo"], seconds, nothing) for _ in rounds])
        _report(f"screen, {storm}", [run_screen([], seconds, busy(seconds)) for _ in rounds])


def _report(title: str, results: list[Trace] | list[Screen]) -> None:
    print(title)
    for field in results[0]._fields:
        values = [getattr(result, field) for result in results]
        print(f"  {field:14} {statistics.median(values):10.3f}   ({min(values):.3f} .. {max(values):.3f})")


def _keep_tail(stream: object, tail: list[str]) -> None:
    for line in stream:  # type: ignore[attr-defined]
        tail.append(line)
        if len(tail) > 50:
            del tail[0]


def _status_kb(pid: int, field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1])


if __name__ == "__main__":
    main()
