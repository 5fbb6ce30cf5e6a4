"""Unwind tables that do not fit into the kernel together: they take turns, and no stack is walked by a wrong one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.probes.stacks import RawSample
from ebtop.process.mappings import read_mappings
from ebtop.process.places import Files
from ebtop.session import probe_set
from ebtop.session.naming import NamingThread
from ebtop.store.records import StackRecord
from ebtop.symbols.symbolizer import Symbolizer
from ebtop.unwind import UnwindTables, ends
from tests.lab import unwind
from tests.lab.collect import Collector

pytestmark = pytest.mark.usefixtures("root")

HZ, FAST_HZ = 499, 2999
"""The faster one asks for far more stacks than are walked outside of the kernel."""
LITTLE = 600 << 10
"""Bytes: all tables of either program fit in (some 410 and 540 KiB), but not those of both (some 800)."""
TOO_LITTLE = 200 << 10
"""Neither program's table fits in."""
COMMANDS = {
    "python": ["/usr/bin/python3", "-c", "while True: sorted(str(i) for i in range(999))"],
    "openssl": ["openssl", "speed", "-seconds", "600", "rsa2048"],
}


@pytest.fixture
def programs() -> Iterator[dict[str, int]]:
    """Pids. Both are stopped."""
    running = {
        name: subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name, command in COMMANDS.items()
    }
    time.sleep(0.5)  # until they are where they will be sampled
    for process in running.values():
        process.send_signal(signal.SIGSTOP)
    yield {name: process.pid for name, process in running.items()}
    for process in running.values():
        process.kill()
        process.wait()


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> list[RawSample]:
    """Samples by address whose stacks are said to be whole, wherever they were walked."""
    found: list[RawSample] = []
    record = NamingThread._record

    def listen(self: NamingThread, symbolizer: Symbolizer, sample: RawSample) -> StackRecord:
        if sample.user and ends.is_whole(sample.cut):
            found.append(sample)
        return record(self, symbolizer, sample)

    monkeypatch.setattr(NamingThread, "_record", listen)
    return found


def sampled(programs: dict[str, int], hertz: int = HZ) -> Collector:
    settings = Settings(hertz=hertz, user_stacks=UnwindTables())
    return Collector(["cpu"], settings, FilterSpec(frozenset(programs.values())))


def turn(collected: Collector, pid: int, enough: int) -> list[StackRecord]:
    """Let a stopped program run until there are so many samples of it; returns those."""
    since = time.time_ns()

    def found() -> list[StackRecord]:
        return [r for r in collected.of(StackRecord, [pid]) if r.time_ns > since]

    os.kill(pid, signal.SIGCONT)
    collected.wait_until(lambda _: unwind.samples(found()) > enough)
    os.kill(pid, signal.SIGSTOP)
    return found()


def table_bytes(collected: Collector) -> int:
    return next(m.bytes for m in collected.probe("(unwind)").maps if m.name.endswith(" tables"))


def wrong_callers(samples: list[RawSample], pid: int, files: Files) -> list[int]:
    """Return addresses that no call stands before."""
    mappings = read_mappings(pid)
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:

        def read(address: int, length: int) -> bytes:
            return os.pread(memory.fileno(), length, address)

        stacks = {unwind.in_process(sample.user, files, mappings) for sample in samples if sample.pid == pid}
        return [address for stack in stacks for address in unwind.without_call(stack, read)]


def test_tables_take_turns(
    programs: dict[str, int], whole: list[RawSample], numbered: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_set, "BUDGET", LITTLE)
    with sampled(programs) as collected:
        for _ in range(2):
            for pid in programs.values():
                records = turn(collected, pid, 1200)
                # Each begins without its table, and has it soon.
                late = sorted(r.time_ns for r in records)[len(records) * 2 // 3]
                assert unwind.complete(r for r in records if r.time_ns >= late) >= 0.95, unwind.cut_by(records)
                assert 0 < table_bytes(collected) <= LITTLE
        assert any("had to go for others" in note for note in collected.probe("(unwind)").notes)
        monkeypatch.setattr(probe_set, "BUDGET", 16 << 20)
        for pid in programs.values():
            turn(collected, pid, 500)
        for pid in programs.values():
            records = turn(collected, pid, 500)
            assert unwind.complete(records) >= 0.99, unwind.cut_by(records)
        assert table_bytes(collected) > LITTLE
        for name, pid in programs.items():
            assert len({sample.user for sample in whole if sample.pid == pid}) > 50, name
            assert not wrong_callers(whole, pid, numbered), name


def test_a_table_larger_than_all_room(
    programs: dict[str, int], whole: list[RawSample], numbered: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed over is walked all the same; of the rest it is said that it is cut, and of whom that is."""
    monkeypatch.setattr(probe_set, "BUDGET", TOO_LITTLE)
    pid = programs["python"]
    with sampled(programs, FAST_HZ) as collected:
        records = turn(collected, pid, 6000)
        assert 0.02 < unwind.complete(records) < 0.9
        assert table_bytes(collected) <= TOO_LITTLE
        program = os.path.basename(os.path.realpath(f"/proc/{pid}/exe"))
        assert any(program in note for note in collected.probe("(unwind)").notes)
        monkeypatch.setattr(probe_set, "BUDGET", 16 << 20)
        turn(collected, pid, 3000)
        records = turn(collected, pid, 3000)
        assert unwind.complete(records) >= 0.99, unwind.cut_by(records)
        collected.wait_until(lambda c: not c.probe("(unwind)").notes)
        assert not wrong_callers(whole, pid, numbered)
