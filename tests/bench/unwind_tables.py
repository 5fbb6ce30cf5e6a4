"""What unwind tables cost: time to build and from the cache, memory, rows; and how they compare with readelf's.

python -m tests.bench.unwind_tables [--compare] [--everything DIRECTORY] [ELF file...]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from glob import glob
from multiprocessing import get_context
from pathlib import Path

from ebtop.process.elf import ElfError, ElfFile, FileReader
from ebtop.unwind.table import UnwindTable, build
from ebtop.unwind.table_cache import TableCache
from tests.lab import readelf
from tests.lab.rule_words import agrees

USUAL = (
    "/usr/lib/*/libc.so.6",
    "/usr/lib/*/libcrypto.so.3",
    "/usr/bin/python3",
    "/usr/lib/jvm/*/lib/server/libjvm.so",
    "/usr/lib/*/libLLVM-*.so.1",
)


def build_of(path: str) -> UnwindTable:
    fd = os.open(path, os.O_RDONLY)
    try:
        return build(ElfFile(FileReader(fd)))
    finally:
        os.close(fd)


class Wakeups:
    """A thread that wants to run every 5 ms: how late it gets to."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._stop = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop:
            began = time.perf_counter()
            time.sleep(0.005)
            self.late.append(time.perf_counter() - began - 0.005)

    def stop(self) -> float:
        """The lateness that 95 % stay below, in ms."""
        self._stop = True
        self._thread.join()
        return 1000 * sorted(self.late)[int(0.95 * len(self.late))]


def one(path: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wakeups = Wakeups()
    began, cpu = time.perf_counter(), time.thread_time()
    table = build_of(path)
    seconds, cpu = time.perf_counter() - began, time.thread_time() - cpu
    late = wakeups.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    with tempfile.TemporaryDirectory() as directory:
        cache = TableCache(Path(directory) / "unwind")
        fd = os.open(path, os.O_RDONLY)
        cache.table(fd)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            cache.table(fd)
            times.append(time.perf_counter() - began)
        os.close(fd)
    print(
        f"{path[-44:]:<44}{os.stat(path).st_size / 1e6:>8.1f}{len(table.rows) // 4:>10,}{table.nbytes / 1e6:>8.2f}"
        f"{seconds:>8.3f}{cpu:>8.3f}{min(times) * 1e3:>9.1f}{peak / 1024:>8.1f}{late:>8.1f}{table.left_out:>6}",
        flush=True,
    )


def compare(path: str) -> None:
    table = build_of(path)
    same = differ = 0
    for row in readelf.rows(Path(path)):
        for address in {row.start, row.end - 1}:
            if agrees(table.rule(address), row):
                same += 1
            else:
                differ += 1
                if differ <= 3:
                    print(f"    {address:#x}: {row} {table.rule(address)}")
    print(f"{path[-44:]:<44}{same:>10,} same as readelf,{differ:>6,} not", flush=True)


def elf_files(directory: str) -> Iterator[str]:
    for parent, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            if os.path.isfile(path) and not os.path.islink(path):
                try:
                    with open(path, "rb") as file:
                        if file.read(4) == b"\x7fELF":
                            yield path
                except OSError:
                    continue


def everything(directory: str) -> None:
    count = nbytes = left_out = 0
    refused: dict[str, int] = {}
    slowest = (0.0, "")
    began = time.process_time()
    for path in elf_files(directory):
        start = time.process_time()
        try:
            table = build_of(path)
        except ElfError as error:
            refused[str(error)] = refused.get(str(error), 0) + 1
            continue
        count += 1
        nbytes += table.nbytes
        left_out += table.left_out
        slowest = max(slowest, (time.process_time() - start, path))
    print(f"{directory}: {count:,} files, {nbytes / 1e6:.1f} MB, {time.process_time() - began:.1f} s of CPU,", end=" ")
    print(f"slowest {slowest[1]} {slowest[0]:.2f} s; {left_out} functions left out; refused: {refused or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of unwind tables.")
    parser.add_argument("--compare", action="store_true", help="with readelf, row by row")
    parser.add_argument("--everything", metavar="DIRECTORY", help="all ELF files below a directory")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    files = options.files
    if not files:
        found = [path for pattern in USUAL for path in sorted(glob(pattern))]
        largest = max(elf_files("/usr"), key=lambda path: os.stat(path).st_size, default=None)
        files = [os.path.realpath(path) for path in (*found, shutil.which("node"), largest) if path]
    heads = ("MB", "rows", "MB kept", "s", "CPU s", "cached ms", "peak MB", "late ms", "out")
    widths = (8, 10, 8, 8, 8, 10, 8, 8, 5)
    print(" " * 44 + "".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)), flush=True)
    jobs = [(one, path) for path in dict.fromkeys(files)]
    if options.compare:
        jobs += [(compare, path) for path in dict.fromkeys(files)]
    if options.everything:
        jobs.append((everything, options.everything))
    for work, path in jobs:  # each in a process of its own, so that peaks do not hide behind earlier ones
        child = get_context("fork").Process(target=work, args=(path,))
        child.start()
        child.join()


if __name__ == "__main__":
    main()
