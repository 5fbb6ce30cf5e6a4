"""Whole stacks through hand-written assembler that nothing describes."""

from __future__ import annotations

import time
from subprocess import Popen

import pytest

from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import StackRecord
from ebtop.unwind import UnwindTables
from tests.lab import build, unwind
from tests.lab.collect import Collector

pytestmark = pytest.mark.usefixtures("root")

FAST_HZ = 997
CHAIN = (
    *("by_pushes", "by_moves", "by_alignment", "by_arguments", "by_frame_pointer", "by_pushes"),
    *("by_alignment", "by_moves", "by_pushes", "by_frame_pointer", "by_arguments", "spin"),
)
"""Functions of c/undescribed.S, as they call each other."""


def test_through_assembler_that_nothing_describes(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ebtop.unwind.table_cache.cache_directory", lambda: tmp_path_factory.getbasetemp() / "tables" / "bpf"
    )
    program = build.binary("undescribed", "ebt-asm", build.NO_FRAME_POINTERS)
    process = Popen([program, "spin", "100"])
    try:
        pids = frozenset([process.pid])
        settings = Settings(hertz=FAST_HZ, user_stacks=UnwindTables())
        with Collector(["cpu"], settings, FilterSpec(pids)) as collected:
            collected.wait_until(lambda c: unwind.samples(r for r in c.of(StackRecord, pids) if r.complete) > 250)
            warm_at = time.time_ns()

            def records() -> list[StackRecord]:
                return [r for r in collected.of(StackRecord, pids) if r.time_ns > warm_at]

            collected.wait_until(lambda _: unwind.samples(records()) > 1500)
            found = records()
    finally:
        process.kill()
        process.wait()
    assert unwind.complete(found) >= 0.99, unwind.cut_by(found)
    names = [(r.samples, tuple(f.name for f in r.frames if f.kind != "kernel")) for r in found]
    in_spin = [(samples, stack) for samples, stack in names if "spin" in stack]
    through_all = sum(samples for samples, stack in in_spin if stack[-len(CHAIN) :] == CHAIN and "main" in stack)
    every = sum(samples for samples, _ in names)
    assert sum(samples for samples, _ in in_spin) > 0.9 * every
    assert through_all >= 0.99 * sum(samples for samples, _ in in_spin)
