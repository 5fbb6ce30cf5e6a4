"""What Python functions by name cost in the kernel for each sample, and how right they are. As root; prints a table.

python -m tests.bench.python_cost [INTERPRETER...]
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import NamedTuple

from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import StackRecord
from tests.lab.collect import Collector
from tests.lab.interpreters import HotPython, builds

HZ, SAMPLES = 997, 3000


class Measured(NamedTuple):
    us: float
    """Of BPF for each sample of the program."""
    records: list[StackRecord]
    truth: dict[str, float]


def measure(interpreter: str, *, walked: bool) -> Measured:
    """A program's samples, after those in which its tables were not there yet."""
    with HotPython([interpreter]) as program:
        only = FilterSpec(pids=frozenset([program.pid]))
        collected = Collector(["cpu"], Settings(hertz=HZ), only)
        if not walked:
            collected.source._interpreters.put = lambda changes: None  # type: ignore[method-assign]
        with collected:
            collected.wait_until(lambda c: any(r.complete for r in c.of(StackRecord, [program.pid])))
            collected.wait_until(lambda c: total(c.of(StackRecord, [program.pid])) > SAMPLES / 3)
            warm, before = len(collected.of(StackRecord, [program.pid])), cost(collected)
            collected.wait_until(lambda c: total(c.of(StackRecord, [program.pid])[warm:]) > SAMPLES)
            after = cost(collected)
            records = collected.of(StackRecord, [program.pid])[warm:]
            truth = program.end()
    run_ns, events = after[0] - before[0], after[1] - before[1]
    return Measured(run_ns / 1e3 / events, records, truth)


def cost(collected: Collector) -> tuple[int, int]:
    """Nanoseconds in our programs, and samples, as of the last poll."""
    probe = collected.probe("cpu")
    return sum(program.run_ns for program in probe.programs), probe.events


def total(records: list[StackRecord]) -> int:
    return sum(record.samples for record in records)


def hot(record: StackRecord) -> str:
    names = [f.name.rpartition(".")[2] for f in reversed(record.frames) if f.kind == "interpreted"]
    return next((name for name in names if name.startswith("hot_")), "")


def worst_error(measured: Measured) -> float:
    """Points between a function's share of the samples and of the time that the program measured."""
    seen: Counter[str] = Counter()
    for record in measured.records:
        seen[hot(record)] += record.samples
    seen.pop("", None)
    spent = sum(measured.truth.values())
    return max(100 * abs(seen[name] / seen.total() - s / spent) for name, s in measured.truth.items())


def main() -> None:
    columns = ("interpreter", "native us", "with Python us", "added us", "with Python %", "whole %", "worst points")
    print(f"{columns[0]:<44}" + "".join(f"{name:>16}" for name in columns[1:]))
    for interpreter in sys.argv[1:] or [path for path, version in builds().items() if version >= (3, 8)]:
        without, with_python = measure(interpreter, walked=False), measure(interpreter, walked=True)
        records = with_python.records
        named = total([r for r in records if any(f.kind == "interpreted" for f in r.frames)])
        whole = total([r for r in records if r.complete])
        print(
            f"{interpreter:<44}{without.us:>16.2f}{with_python.us:>16.2f}{with_python.us - without.us:>16.2f}"
            f"{100 * named / total(records):>16.1f}{100 * whole / total(records):>16.1f}"
            f"{worst_error(with_python):>16.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
