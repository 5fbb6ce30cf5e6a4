"""Compare the names of what a JVM compiled, read from its code cache, with what the JVM itself says. Needs a JDK.

Usage: python -m tests.bench.java_names

A small Java program runs until it is compiled; `jcmd PID Compiler.perfmap` (JDK 17 and newer) is the truth.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ebtop.symbols.symbolizer import Symbolizer

_WARM_UP_S = 4.0
PROGRAM = """
import java.util.*;
public class Busy {
    interface Work { long run(int n); }
    static class Strings implements Work { public long run(int n) {
        StringBuilder b = new StringBuilder(); for (int i = 0; i < n; i++) b.append(i);
        return b.toString().hashCode(); } }
    static class Maps implements Work { public long run(int n) {
        Map<Integer, Integer> m = new HashMap<>(); for (int i = 0; i < n; i++) m.merge(i % 97, 1, Integer::sum);
        return m.size(); } }
    public static void main(String[] a) {
        Work[] works = { new Strings(), new Maps(), n -> n * 31L }; long sum = 0;
        System.out.println("ready");
        while (sum != 1) for (Work w : works) sum += w.run(2000); } }
"""


def simple(name: str) -> str:
    """package.Class.method of "type package.Class.method(types)", without what differs from run to run."""
    return re.sub(r"[/+]0x[0-9a-f]+", "", name.partition("(")[0].split(" ")[-1])


def timed_us(work: Callable[[], object], count: int) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e6 / max(1, count)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "Busy.java"
        source.write_text(PROGRAM)
        subprocess.run(["javac", "-d", directory, source], check=True)
        java = subprocess.Popen(["java", "-cp", directory, "Busy"], stdout=subprocess.PIPE)
        perf_map = Path(f"/tmp/perf-{java.pid}.map")
        try:
            assert java.stdout is not None
            java.stdout.readline()
            time.sleep(_WARM_UP_S)
            subprocess.run(["jcmd", str(java.pid), "Compiler.perfmap"], check=True, stdout=subprocess.DEVNULL)
            entries = [line.rstrip("\n").split(" ", 2) for line in perf_map.read_text().splitlines()]
            perf_map.unlink()
            compare(java.pid, [(int(at, 16) + int(size, 16) // 2, name) for at, size, name in entries])
        finally:
            java.kill()
            java.wait()
            perf_map.unlink(missing_ok=True)


def compare(pid: int, entries: list[tuple[int, str]]) -> None:
    symbolizer = Symbolizer()

    def name(address: int) -> str:
        return symbolizer.stack(pid, [address], [])[0][0].name

    symbolizer.knows(pid)
    first = timed_us(lambda: [name(address) for address, _ in entries], len(entries))
    again = timed_us(lambda: [name(address) for address, _ in entries], len(entries))
    methods = [(name(address), simple(truth)) for address, truth in entries if "(" in truth]
    stubs = [(name(address), truth) for address, truth in entries if "(" not in truth]
    print(f"{len(methods)} methods, {sum(ours == truth for ours, truth in methods)} called as the JVM calls them")
    print(f"{len(stubs)} stubs and adapters, {sum(not ours.startswith('[JIT ') for ours, _ in stubs)} with a name")
    print(f"{first:.0f} us a name the first time, the JVM's tables included, {again:.1f} us again")


if __name__ == "__main__":
    main()
