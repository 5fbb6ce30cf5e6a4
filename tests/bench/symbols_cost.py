"""What naming addresses costs: time to load, memory, and time per look-up. Run it by hand; prints a table.

python tests/bench/symbols_cost.py [ELF file...]
"""

from __future__ import annotations

import gc
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ebtop.process.elf import ElfFile, FileReader
from ebtop.process.mappings import read_mappings
from ebtop.symbols.binary import Binary
from ebtop.symbols.kernel import KernelSymbols
from ebtop.symbols.perf_map import PerfMap
from ebtop.symbols.symbolizer import Symbolizer

LIBRARIES = ("/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/python3")


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def report(what: str, count: int, seconds: float, nbytes: int, peak: int, look_up_us: float) -> None:
    print(f"{what:<44}{count:>9,}{seconds:>9.3f}{nbytes / 1e6:>9.2f}{peak / 1024:>9.1f}{look_up_us:>10.1f}", flush=True)


def kernel() -> None:
    symbols = KernelSymbols()
    before = peak_kib()
    seconds, _ = timed(lambda: symbols.frame(0))
    peak = peak_kib() - before
    with open("/proc/kallsyms") as file:
        addresses = [int(line.split()[0], 16) for line in file if line.split()[1] in "tT"]
    some = random.Random(1).sample(addresses, 1000)
    look_up, _ = timed(lambda: [symbols.frame(address) for address in some])
    report("/proc/kallsyms", len(addresses), seconds, symbols.memory_bytes, peak, look_up * 1e3)


def elf(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    before = peak_kib()
    seconds, binary = timed(lambda: Binary(ElfFile(FileReader(fd))))
    peak = peak_kib() - before
    os.close(fd)
    mapped = os.stat(path).st_size
    chance = random.Random(1)
    addresses = [a for a in (binary.address(chance.randrange(mapped)) for _ in range(20_000)) if a is not None][:1000]
    look_up, _ = timed(lambda: [binary.name(address) for address in addresses])
    report(path, len(binary), seconds, binary.nbytes, peak, look_up / max(len(addresses), 1) * 1e6)


def perf_map() -> None:
    lines = (
        b"%x 80 LazyCompile:*function%d /srv/app/file%d.js:1\n" % (0x10000 + i * 128, i, i % 99) for i in range(50_000)
    )
    data = b"".join(lines)
    entries = PerfMap()
    before = peak_kib()
    seconds, _ = timed(lambda: [entries.extend(data[at : at + 65536]) for at in range(0, len(data), 65536)])
    peak = peak_kib() - before
    some = random.Random(1).sample(range(0x10000, 0x10000 + 50_000 * 128), 1000)
    look_up, _ = timed(lambda: [entries.frame(address) for address in some])
    report("perf map, 50,000 entries", len(entries), seconds, entries.nbytes, peak, look_up * 1e3)


def stacks() -> None:
    """Stacks of 16 user and 8 kernel frames of this process, first and repeated."""
    symbolizer = Symbolizer()
    pid = os.getpid()
    with open("/proc/kallsyms") as file:
        kernel_addresses = [int(line.split()[0], 16) + 5 for line in file if line.split()[1] == "T"][:8]
    mappings = read_mappings(pid)
    spans = [(m.start, m.end) for m in mappings if m.file.on_disk]
    chance = random.Random(1)
    users = [[chance.randrange(*chance.choice(spans)) for _ in range(16)] for _ in range(50)]
    symbolizer.stack(pid, [], kernel_addresses)
    first, _ = timed(lambda: [symbolizer.stack(pid, user, kernel_addresses) for user in users])
    again, _ = timed(lambda: [symbolizer.stack(pid, user, kernel_addresses) for _ in range(20) for user in users])
    note, _ = timed(lambda: [symbolizer.note_process(pid) for _ in range(50)])
    print(f"\nstack of 24 frames: {first / 50 * 1e6:.0f} us new, {again / 1000 * 1e6:.1f} us again")
    print(f"note_process: {note / 50 * 1e6:.0f} us; memory of all: {symbolizer.memory_bytes / 1e6:.2f} MB")


def compiled_by_node() -> None:
    """Nothing of other processes is shown: a node started here compiles a loop."""
    node = shutil.which("node")
    if node is None:
        return
    hot = "function hot(n) { let s = 0; for (let i = 0; i < n; i++) s += i % 7; return s }"
    program = hot + " for (let i = 0; i < 300; i++) hot(1e5); setTimeout(() => 0, 9000)"
    process = subprocess.Popen([node, "--perf-basic-prof", "-e", program])
    path = Path(f"/tmp/perf-{process.pid}.map")
    try:
        time.sleep(1)
        entry = [line for line in path.read_text().splitlines() if "*hot" in line][-1]
        symbolizer = Symbolizer()
        seconds, (frames, _) = timed(lambda: symbolizer.stack(process.pid, [int(entry.split()[0], 16)], []))
        print(
            f"node {path.stat().st_size} bytes of perf map: {seconds * 1e3:.1f} ms, {frames[0].name} ({frames[0].kind})"
        )
    finally:
        process.kill()
        process.wait()
        path.unlink(missing_ok=True)


def main() -> None:
    files = sys.argv[1:] or [path for path in (shutil.which("node"), *LIBRARIES) if path and os.path.exists(path)]
    print(f"{'':<44}{'symbols':>9}{'load s':>9}{'MB kept':>9}{'peak MB':>9}{'us a name':>10}", flush=True)
    # Each in a process of its own, so that peaks do not hide behind earlier ones.
    context = get_context("fork")
    gc.collect()
    jobs: list[tuple[Callable[..., None], tuple[str, ...]]] = [(kernel, ())]
    jobs += [(elf, (path,)) for path in files]
    jobs += [(perf_map, ()), (stacks, ()), (compiled_by_node, ())]
    for work, arguments in jobs:
        child = context.Process(target=work, args=arguments)
        child.start()
        child.join()


if __name__ == "__main__":
    main()
