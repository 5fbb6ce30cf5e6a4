"""What offcpu and faults cost at a storm: python -m tests.bench.offcpu_cost [COUNT]. Prints; asserts nothing; root.

The switches are those of two processes on one CPU that send each other a byte; faults those of a program that touches
pages.
"""

from __future__ import annotations

import os
import sys

from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.store.source import ProbeHealth
from ebtop.unwind import FramePointers, UserStacks, default_user_stacks
from tests.lab import blocking, cpu
from tests.lab.collect import Collector

ROUNDS = 3


def switch_us(count: int) -> float:
    """Wall time of one switch, the least of some rounds."""
    with blocking.switches(count) as pair:
        truths = [pair.go() for _ in range(ROUNDS)]
    return min(float(truth["seconds"]) / truth["switches"] for truth in truths) * 1e6


def fault_us() -> float:
    """CPU time of one page fault, the least of some rounds."""
    found = []
    for _ in range(ROUNDS):
        with cpu.Stacks(10, 100) as stacks:
            truth = stacks.go()
        found.append(truth.cpu_s / truth.minor_faults * 1e6)
    return min(found)


def told(what: str, us: float, alone_us: float, probe: ProbeHealth) -> None:
    programs = ", ".join(f"{p.name} {p.run_ns / max(p.runs, 1):.0f} ns x {p.runs}" for p in probe.programs if p.runs)
    more = us - alone_us
    print(f"  {what:44} {us:6.2f} us  {more:+6.2f} us  {100 * more / alone_us:+5.0f} %   {programs}")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    alone = switch_us(count)
    print(f"switches: {'no probe':36} {alone:6.2f} us")
    default = default_user_stacks()
    ways: list[UserStacks] = [FramePointers(), *([] if isinstance(default, FramePointers) else [default])]
    everything, others = FilterSpec(), FilterSpec(frozenset([os.getpid()]))
    for way in ways:
        for what, spec in (("everything", everything), ("another process only", others)):
            with Collector(["offcpu"], Settings(user_stacks=way), spec) as collected:
                us = switch_us(count)
            told(f"offcpu, {way.name}, {what}", us, alone, collected.probe("offcpu"))
    alone = fault_us()
    print(f"faults:   {'no probe':36} {alone:6.2f} us")
    for way in ways:
        for period in (61, 1):
            with Collector(["faults"], Settings(user_stacks=way, fault_period=period)) as collected:
                us = fault_us()
            told(f"faults, {way.name}, one in {period}", us, alone, collected.probe("faults"))


if __name__ == "__main__":
    main()
