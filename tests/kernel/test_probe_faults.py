"""Stacks of page faults against a program that causes a known number of them in a known function."""

from __future__ import annotations

import sys
import time

import pytest

from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import StackRecord
from tests.lab import cpu
from tests.lab.collect import Collector
from tests.lab.process import Workload

pytestmark = pytest.mark.usefixtures("root")

BOTTOM = "touch_bottom"


def faults_in(records: list[StackRecord], function: str) -> int:
    return sum(r.amount for r in records if any(frame.name == function for frame in r.frames))


def ways_down(record: StackRecord) -> tuple[str, ...]:
    names = tuple(frame.name for frame in record.frames)
    return names[names.index("main") :]


@pytest.mark.parametrize(("period", "tolerance"), [(1, 0.0), (61, 0.05)])
def test_known_faults_are_in_the_function_that_causes_them(period: int, tolerance: float) -> None:
    with cpu.Stacks(6, 2048) as stacks:
        settings, mine = Settings(fault_period=period), FilterSpec(frozenset([stacks.pid]))
        with Collector(["faults"], settings, mine) as collected:
            truth = stacks.go()
    assert truth.minor_faults == truth.stacks * truth.times
    records = collected.of(StackRecord)
    assert faults_in(records, BOTTOM) == pytest.approx(truth.minor_faults, rel=tolerance)
    found = [r for r in records if any(frame.name == BOTTOM for frame in r.frames)]
    assert {(r.kind, r.state, r.complete, r.pid) for r in found} == {("faults", "minor", True, stacks.pid)}
    # Every way down has its share, whether libc's part above it was walked by frame pointers at first or by tables.
    assert len({ways_down(record) for record in found}) == truth.stacks
    assert collected.probe("faults").lost == {}


TOUCHER = """
import json, mmap, os, resource
PAGES = 2000
def touch(memory):
    for at in range(0, len(memory), mmap.PAGESIZE):
        memory[at] = 1
def warm_up():
    touch_anew()
def touch_anew():
    memory = mmap.mmap(-1, PAGES * mmap.PAGESIZE, mmap.MAP_PRIVATE)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    touch(memory)
    memory.close()
print(json.dumps({"pid": os.getpid()}), flush=True)
while line := input():
    warm_up() if line == "warm" else touch_anew()
    print(json.dumps({"pages": PAGES}), flush=True)
"""


LED = ["<module>", "touch_anew", "touch"]


def python_functions(record: StackRecord) -> list[str]:
    return [frame.name for frame in record.frames if frame.kind == "interpreted"]


def test_new_memory_touched_by_python_functions() -> None:
    """Once the interpreter is known and its tables are there, every fault is below the functions that led to it."""
    with Workload([sys.executable, "-c", TOUCHER]) as program:
        pid = program.read()["pid"]
        with Collector(["faults"], Settings(fault_period=1), FilterSpec(frozenset([pid]))) as collected:
            known = False
            while not known:
                time.sleep(0.2)
                program.tell("warm")
                program.read()
                known = any("warm_up" in python_functions(r) and r.complete for r in collected.of(StackRecord))
            program.tell("touch")
            pages = program.read()["pages"]
    touched = [r for r in collected.of(StackRecord) if python_functions(r) == LED]
    assert sum(r.amount for r in touched) == pytest.approx(pages, abs=5)
    assert {(r.state, r.complete) for r in touched} == {("minor", True)}
