"""What each export of a ten-minute snapshot takes: 50,000 distinct stacks, 100,000 events. Prints figures.

Run: python -m tests.bench.export_cost [FILE.ebtop]
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ebtop.export.formats import FORMATS
from ebtop.store.records import Batch, Frame, Record, StackRecord
from tests.unit.file_makers import Recording
from tests.unit.record_makers import EPOCH, SECOND, connect, exec_, exit_, retransmit, tcp

STACKS, EVENTS, SECONDS = 50_000, 100_000, 600
FUNCTIONS, DEPTH = 6_000, (8, 40)
PERIOD_NS = 20_408_163
HEADING = f"{'format':<12}{'wall s':>8}{'CPU s':>8}{'RSS MiB':>9}{'MiB':>8}"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ebtop-bench-") as folder:
        given = sys.argv[1:]
        path = Path(given[0]) if given else Path(folder, "bench.ebtop")
        if not given:
            recording = Recording(path)
            for number, batch in enumerate(batches()):
                recording.take(number + 1, batch)
            recording.close()
        size, load = path.stat().st_size / 2**20, os.getloadavg()[0]
        print(f"{path.name}: {size:.1f} MiB; {os.cpu_count()} CPUs, load {load:.1f}")
        print(HEADING)
        for name, each in FORMATS.items():
            measure(name, ["export", str(path), "-o", str(Path(folder, f"x{each.endings[0]}"))])
        for ending in ("md", "json", "svg", "html"):
            measure(f"diff {ending}", ["diff", str(path), str(path), "-o", str(Path(folder, f"d.{ending}"))])


def measure(name: str, arguments: list[str]) -> None:
    """One run of the program, as somebody would start it."""
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "ebtop", *arguments], stderr=subprocess.PIPE, text=True) as process:
        said = process.stderr.read() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode:
        sys.exit(said)
    size = os.path.getsize(arguments[-1]) / 2**20
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{name:<12}{wall:>8.2f}{cpu:>8.2f}{usage.ru_maxrss / 1024:>9.0f}{size:>8.1f}")


def batches() -> Iterator[Batch]:
    """A second each."""
    chance = random.Random(1)
    functions = [
        Frame(f"function_{n}", chance.choice(("kernel", "native", "native", "interpreted", "jit")), f"lib{n % 30}.so")
        for n in range(FUNCTIONS)
    ]
    for second in range(SECONDS):
        begin = second * SECOND
        records: list[Record] = [_event(second, n) for n in range(EVENTS // SECONDS + 1)]
        records += [_stack(chance, functions, EPOCH + begin + n, second * 84 + n) for n in range(STACKS // SECONDS + 1)]
        yield Batch(EPOCH + begin + SECOND, records, sampled_s=1.0)


def _stack(chance: random.Random, functions: list[Frame], time_ns: int, number: int) -> StackRecord:
    """Each with a path of its own; the outer frames are few, the inner ones many."""
    thread = number % 97
    frames = [functions[thread * 7 + depth * 13] for depth in range(chance.randint(*DEPTH) // 2)]
    frames += [functions[(chance.randrange(40) * 151 + depth * 17) % FUNCTIONS] for depth in range(len(frames))]
    pid = 100 + thread
    return StackRecord(
        time_ns, pid, f"service-{thread % 20}", 0, f"/system.slice/s{thread % 20}.service", "cpu",
        chance.randint(1, 4), tuple(frames), chance.random() < 0.95, "", PERIOD_NS,
    )  # fmt: skip


def _event(second: int, n: int) -> Record:
    at_s, number = second + n / 200, second * 200 + n
    kind, pid = n % 5, 1000 + number // 2
    if kind == 0:
        return exec_(at_s, pid, f"job-{number % 60} --run {number} --token secret{number}")
    if kind == 1:
        return exit_(at_s, pid, 0.1, comm=f"job-{number % 60}", exit_code=int(number % 7 == 0))
    remote = {"daddr": f"10.0.{number % 8}.{number % 200}", "comm": f"service-{number % 20}"}
    if kind == 2:
        return tcp("connect", at_s, number, **remote, sport=1024 + number % 60_000)
    if kind == 3:
        ended = {"tx_bytes": number, "rx_bytes": 3 * number, "duration_s": 0.5}
        return tcp("close", at_s, number - 1, **remote, sport=1024 + (number - 1) % 60_000, **ended)
    return retransmit(at_s, 1, **remote) if number % 2 else connect(at_s, "timeout", 1000.0, **remote)


if __name__ == "__main__":
    main()
