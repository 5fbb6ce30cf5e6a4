"""Off-CPU stacks against programs that know where they waited, and how long."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import StackRecord
from tests.lab import blocking, build
from tests.lab.collect import Collector
from tests.lab.process import Workload

pytestmark = pytest.mark.usefixtures("root")

TIMES, EACH_MS = 12, 20


def within(records: Iterable[StackRecord], function: str) -> list[StackRecord]:
    """Those with `function` in their stack."""
    return [r for r in records if any(frame.name == function for frame in r.frames)]


def blocked_s(records: Iterable[StackRecord]) -> float:
    return sum(record.amount for record in records) / 1e9


def only(pids: Iterable[int], settings: Settings | None = None) -> Collector:
    return Collector(["offcpu"], settings, FilterSpec(frozenset(pids)))


def test_waits_have_their_time_their_stack_and_their_waker() -> None:
    with blocking.waits(TIMES, EACH_MS) as blocker:
        with only([blocker.pid]) as collected:
            truth = blocker.go()
        records = collected.of(StackRecord)
    assert {record.pid for record in records} == {blocker.pid}
    for function, name in ((blocking.SLEEP, "sleep_s"), (blocking.FUTEX, "futex_s"), (blocking.READ, "read_s")):
        found = within(records, function)
        # On a busy machine a thread waits for its turn, too, once it is woken: that is part of both figures. One that
        # is kept from its CPU just before it waits may not have to any more.
        waits = sum(record.samples for record in found)
        assert waits == pytest.approx(TIMES, abs=2)
        assert blocked_s(found) / waits == pytest.approx(truth[name] / TIMES, rel=0.1)
        assert {record.state for record in found} == {"sleep"}
        assert {record.complete for record in found} == {True}
        assert {record.frames[-1].name for record in found} <= {"schedule", "__schedule"}
    # A timer's interrupt ends a sleep, whatever task it interrupts.
    assert {(r.waker, r.waker_pid) for r in within(records, blocking.SLEEP)} == {("interrupt", 0)}
    wakers = {(r.waker, r.waker_pid) for r in within(records, blocking.FUTEX)}
    assert wakers == {(blocking.WAKER, blocker.pid)}
    wakers = {(r.waker, r.waker_pid) for r in within(records, blocking.READ)}
    assert wakers == {(blocking.WRITER, truth["writer"])}
    assert collected.probe("offcpu").lost == {}


def test_only_what_passes_the_filter_is_seen() -> None:
    with blocking.waits(3, EACH_MS) as one, blocking.waits(3, EACH_MS) as other, only([one.pid]) as collected:
        other.go()
        one.go()
    assert {record.pid for record in collected.of(StackRecord)} == {one.pid}


def test_short_waits_can_be_left_out() -> None:
    with blocking.waits(3, EACH_MS) as blocker, only([blocker.pid], Settings(min_block_ns=10**9)) as collected:
        blocker.go()
    assert not within(collected.of(StackRecord), blocking.SLEEP)


def test_io_is_told_apart(tmp_path: Path) -> None:
    # Not in the directory of the tests: that may be memory.
    file = build.SOURCES.parent / f".{tmp_path.name}.blocks"
    try:
        with blocking.disk(file, 40) as blocker, only([blocker.pid]) as collected:
            truth = blocker.go()
    finally:
        file.unlink(missing_ok=True)
    found = within(collected.of(StackRecord), blocking.DISK)
    assert blocked_s(r for r in found if r.state == "io") > 0.3 * truth["disk_s"]
    assert blocked_s(found) <= 1.02 * truth["disk_s"]


def test_what_hangs_is_told_of_while_it_hangs() -> None:
    with blocking.hang() as blocker, only([blocker.pid]) as collected:
        blocker.start()
        began = time.monotonic()
        collected.wait_until(lambda c: blocked_s(within(c.of(StackRecord), blocking.HANG)) > 1.5)
        lasted = time.monotonic() - began
        found = within(collected.of(StackRecord), blocking.HANG)
        assert blocked_s(found) <= lasted
        assert {(record.samples, record.waker) for record in found} == {(0, "")}
        blocker.stop()
        lasted = time.monotonic() - began
    # Woken to die, it counts once, with no more than it took in all.
    found = within(collected.of(StackRecord), blocking.HANG)
    assert sum(record.samples for record in found) == 1
    assert blocked_s(found) == pytest.approx(lasted, abs=0.3)


def test_a_stopped_process_is_stopped() -> None:
    with blocking.hang() as blocker, only([blocker.pid]) as collected:
        blocker.signal(signal.SIGSTOP)
        collected.wait_until(lambda c: any(r.state == "stopped" for r in c.of(StackRecord)))
        blocker.signal(signal.SIGCONT)
        blocker.start()
        collected.wait_until(lambda c: bool(within(c.of(StackRecord), blocking.HANG)))
    stopped = [record for record in collected.of(StackRecord) if record.state == "stopped"]
    assert sum(record.samples for record in stopped) == 1
    assert blocked_s(stopped) > 0


SLEEPER = """
import json, os, time
slept = 0.0
def doze():
    global slept
    began = time.monotonic()
    time.sleep(0.02)
    slept += time.monotonic() - began
def take_turns(n):
    for _ in range(n):
        doze()
print(json.dumps({"pid": os.getpid()}), flush=True)
while line := input():
    slept = 0.0
    take_turns(int(line))
    print(json.dumps({"slept_s": slept}), flush=True)
"""


def python_functions(record: StackRecord) -> list[str]:
    return [frame.name for frame in record.frames if frame.kind == "interpreted"]


def test_waits_in_python_functions() -> None:
    """Once the interpreter is known and its tables are there, every wait is below the functions that led to it."""
    with Workload([sys.executable, "-c", SLEEPER]) as program:
        pid = program.read()["pid"]
        with only([pid]) as collected:
            program.tell("100")
            program.read()
            collected.wait_until(lambda c: any("doze" in python_functions(r) and r.complete for r in c.of(StackRecord)))
            since = time.time_ns()
            program.tell("50")
            truth = program.read()["slept_s"]
        records = [r for r in collected.of(StackRecord) if r.time_ns > since]
    dozes = [r for r in records if python_functions(r) == ["<module>", "take_turns", "doze"]]
    assert sum(record.samples for record in dozes) >= 50
    # The last of the waits before may be counted after `since`, and a batch that began before it is.
    assert blocked_s(dozes) >= 0.95 * truth
    assert blocked_s(within(records, "doze")) == pytest.approx(blocked_s(dozes))
    assert {record.complete for record in dozes} == {True}
    for record in dozes:
        assert [f.kind for f in record.frames if f.kind in ("interpreted", "kernel")][-1] == "kernel"
