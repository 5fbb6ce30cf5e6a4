"""What ebtop itself takes: time to start, to paint and to unload, memory, and its share of an idle and a busy node.

Usage: python -m tests.bench.footprint [RUNS]     (root; prints medians)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.lab.execs import exec_storm
from tests.lab.tcp import tcp_storm

_EBTOP = str(Path(__file__).resolve().parents[2] / "bin" / "ebtop")
_ALL = "cpu,exec,tcp,retransmits,connects"
_MEASURE_S, _SETTLE_S = 10.0, 4.0
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
    """One run of the TUI on a terminal of 200x50."""

    paint_s: float
    live_s: float
    rss_mb: float
    own_percent: float
    """Own CPU time, of all CPUs, BPF not included."""
    bytes_per_s: float
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
        cpu, at = _cpu_seconds(child.pid), time.perf_counter()
        with load:
            time.sleep(seconds)
        used, elapsed = _cpu_seconds(child.pid) - cpu, time.perf_counter() - at
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


def run_screen(seconds: float, load: contextlib.AbstractContextManager[object]) -> Screen:
    """The TUI from start to quit."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(_EBTOP, [_EBTOP])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    paint = _read_until(terminal, b"EXEC", began)
    live = _read_until(terminal, b"5/5", began)
    _count_bytes(terminal, _SETTLE_S)
    cpu, at = _cpu_seconds(pid), time.perf_counter()
    with load:
        written = _count_bytes(terminal, seconds)
    own = (_cpu_seconds(pid) - cpu) / (time.perf_counter() - at) / (os.cpu_count() or 1) * 100
    rss = _status_kb(pid, "VmHWM") / 1024
    os.write(terminal, b"q")
    asked = time.perf_counter()
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass
    os.waitpid(pid, 0)
    quit_s = time.perf_counter() - asked
    os.close(terminal)
    return Screen(paint, live, rss, own, written / seconds, quit_s)


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
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    run_trace(0.5, contextlib.nullcontext())  # builds and warms what the first start ever would
    _report("trace, idle node", [run_trace(_MEASURE_S, contextlib.nullcontext()) for _ in range(runs)])
    _report(
        f"trace, {_EXECS_PER_SECOND} execs/s and {_CONNECTIONS_PER_SECOND} connections/s",
        [run_trace(_MEASURE_S, busy(_MEASURE_S)) for _ in range(runs)],
    )
    _report("TUI 200x50, idle node", [run_screen(_MEASURE_S, contextlib.nullcontext()) for _ in range(runs)])
    _report("TUI 200x50, the same load", [run_screen(_MEASURE_S, busy(_MEASURE_S)) for _ in range(runs)])


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


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status_kb(pid: int, field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1])


def _read_until(terminal: int, wanted: bytes, began: float) -> float:
    seen = b""
    while wanted not in seen:
        seen = (seen + os.read(terminal, 65536))[-200_000:]
    return time.perf_counter() - began


def _count_bytes(terminal: int, seconds: float) -> int:
    end, total = time.perf_counter() + seconds, 0
    while (left := end - time.perf_counter()) > 0:
        if select.select([terminal], [], [], left)[0]:
            total += len(os.read(terminal, 65536))
    return total


if __name__ == "__main__":
    main()
