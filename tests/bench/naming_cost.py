"""What naming sampled stacks costs, and how long it keeps other threads from running. Needs root.

Usage: python -m tests.bench.naming_cost [--load build|demo|none] [--seconds 20] [--hertz 99] [--unwind tables]

The source runs without a screen. A thread beside it that wakes up 500 times a second notes how late it gets to run:
that is what a key press would meet. `build` compiles small files over and over on every CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from ebtop.demo.launch import Demo
from ebtop.probes.base import Settings
from ebtop.session import naming
from ebtop.session.live import LiveSource
from ebtop.store.records import Batch, StackRecord
from ebtop.symbols.symbolizer import Symbolizer
from ebtop.unwind import FramePointers, UnwindTables
from tests.bench.key_latency import quantile

_TICK_S = 0.002
_SOURCE = (
    '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint main(void) { return printf("%d", rand()); }\n'
)


class Steps:
    """CPU and wall time of each step of the naming thread, in ms."""

    def __init__(self) -> None:
        self.cpu_ms: list[float] = []
        self.wall_ms: list[float] = []
        self.stacks = self.frames = self.unnamed = self.memory = 0

    def around(self, work: Callable[..., None]) -> Callable[..., None]:
        def timed(thread: object, job: object, symbolizer: Symbolizer) -> None:
            wall, cpu = time.perf_counter(), time.thread_time()
            work(thread, job, symbolizer)
            self.cpu_ms.append((time.thread_time() - cpu) * 1e3)
            self.wall_ms.append((time.perf_counter() - wall) * 1e3)
            self.memory = symbolizer.memory_bytes

        return timed

    def take(self, batch: Batch) -> None:
        for record in batch.records:
            if type(record) is StackRecord:
                self.stacks += 1
                self.frames += len(record.frames)
                self.unnamed += sum([frame.kind == "unknown" for frame in record.frames])


@contextlib.contextmanager
def lateness() -> Iterator[list[float]]:
    """How late a thread wakes up, in ms."""
    late: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            begin = time.perf_counter()
            time.sleep(_TICK_S)
            late.append((time.perf_counter() - begin - _TICK_S) * 1e3)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield late
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Compile and link on every CPU: some 20 to 50 programs a second, each with libraries of its own."""
    with tempfile.TemporaryDirectory(prefix="ebtop-build-") as directory:
        (Path(directory) / "a.c").write_text(_SOURCE)
        loop = f"cd {directory}; while :; do gcc -O1 -o a$$ a.c; ./a$$ >/dev/null; done"
        running = [subprocess.Popen(["sh", "-c", loop], start_new_session=True) for _ in range(os.cpu_count() or 1)]
        try:
            yield
        finally:
            for process in running:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextlib.contextmanager
def loaded(load: str) -> Iterator[None]:
    if load == "build":
        assert shutil.which("gcc")
        with building():
            yield
    elif load == "demo":
        with Demo():
            yield
    else:
        yield


def row(what: str, values: list[float]) -> None:
    figures = " ".join([f"{quantile(values, q):9.2f}" for q in (0.5, 0.9, 0.99, 1.0)])
    print(f"{what:34}{len(values):8}{figures}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--load", default="build", choices=["build", "demo", "none"])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--hertz", type=int, default=99)
    parser.add_argument("--unwind", default="tables", choices=["tables", "frame-pointers"])
    options = parser.parse_args()
    steps = Steps()
    walker = UnwindTables() if options.unwind == "tables" else FramePointers()
    timed = mock.patch.object(naming.NamingThread, "_do", steps.around(naming.NamingThread._do))
    with timed, loaded(options.load):
        with lateness() as before:
            time.sleep(3)
        source = LiveSource(["exec", "cpu"], Settings(hertz=options.hertz, user_stacks=walker))
        began = time.perf_counter()
        with lateness() as late:
            source.start(steps.take)
            time.sleep(options.seconds)
        source.close()
        seconds = time.perf_counter() - began
    load = f"{options.load} load, {options.hertz} Hz, {options.unwind}, {seconds:.0f} s"
    cost = f"naming took {sum(steps.cpu_ms) / seconds / 10:.2f} % of a CPU and {steps.memory / 1e6:.1f} MB"
    stacks = f"{steps.stacks} stacks of {steps.frames / max(1, steps.stacks):.1f} frames"
    print(f"\n{load}: {cost}; {stacks}, {100 * steps.unnamed / max(1, steps.frames):.1f} % of them without a name")
    print(f"{'ms':34}{'n':>8}{'p50':>9} {'p90':>9} {'p99':>9} {'max':>9}")
    row("step of the naming thread, CPU", steps.cpu_ms)
    row("step of the naming thread, wall", steps.wall_ms)
    row("wake-up late, before", before)
    row("wake-up late, while collecting", late)


if __name__ == "__main__":
    main()
