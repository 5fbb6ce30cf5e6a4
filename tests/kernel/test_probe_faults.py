"""Stacks of page faults against a program that causes a known number of them in a known function."""

from __future__ import annotations

import pytest

from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import StackRecord
from tests.lab import cpu
from tests.lab.collect import Collector

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
