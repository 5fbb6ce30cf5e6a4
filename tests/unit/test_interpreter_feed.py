"""What the kernel is told of processes that run CPython, and when it is told to forget them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

from ebtop.cpython.layout import EVERY_FRAME, Walk
from ebtop.process.processes import Process, Processes
from ebtop.session.interpreter_feed import InterpreterFeed
from ebtop.symbols.binaries import Binaries
from ebtop.symbols.interpreters import Interpreters, Walking, running_pythons

WALK = Walk(*range(11), EVERY_FRAME, 12, 13)


class FakeMap:
    """Holds at most two processes."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}

    def update(self, key: bytes, value: bytes) -> None:
        if key not in self.held and len(self.held) == 2:
            raise OSError(errno.E2BIG, "full")
        self.held[key] = value

    def delete(self, key: bytes) -> None:
        if key not in self.held:
            raise FileNotFoundError(errno.ENOENT, "not there")
        del self.held[key]

    @property
    def pids(self) -> list[int]:
        return sorted(int.from_bytes(key, sys.byteorder) for key in self.held)


def give(feed: InterpreterFeed, to: FakeMap | None) -> None:
    feed.give({} if to is None else {"cpython_processes": to})


def test_changes_arrive_once_and_all_of_them_in_a_new_map() -> None:
    woken = []
    feed, first, second = InterpreterFeed(lambda: woken.append(1)), FakeMap(), FakeMap()
    feed.put([])
    assert not woken
    feed.put([(7, Walking(0x1000, WALK)), (8, Walking(0x2000, WALK))])
    assert woken
    give(feed, None)
    give(feed, first)
    assert first.pids == [7, 8]
    assert first.held[(7).to_bytes(4, sys.byteorder)][:8] == (0x1000).to_bytes(8, sys.byteorder)
    feed.put([(7, None)])
    give(feed, first)
    assert first.pids == [8]
    first.held.clear()
    give(feed, first)
    assert first.pids == []
    give(feed, second)
    assert second.pids == [8]


def test_a_full_map_and_a_process_that_it_does_not_have_are_no_errors() -> None:
    feed, to = InterpreterFeed(lambda: None), FakeMap()
    feed.put([(pid, Walking(0, WALK)) for pid in (1, 2, 3)])
    feed.put([(4, None)])
    give(feed, to)
    assert to.pids == [1, 2]


def test_a_process_is_told_of_once_and_forgotten_when_it_has_ended() -> None:
    now = [100.0]
    processes = Processes(lambda: now[0])
    interpreters = Interpreters(Binaries(processes, 8 << 20), lambda: now[0])
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in running_pythons()
        while not interpreters.of(_fresh(processes, child.pid)):  # until it has mapped a shared libpython
            now[0] += 1
        ((pid, walking),) = interpreters.changes()
        assert (pid, walking is not None) == (child.pid, True)
        now[0] += 10
        interpreters.of(_fresh(processes, child.pid))
        assert interpreters.changes() == []
    now[0] += 10
    assert interpreters.changes() == [(child.pid, None)]
    now[0] += 10
    assert interpreters.changes() == []


def _fresh(processes: Processes, pid: int) -> Process:
    process = processes.get(pid)
    assert process is not None
    return processes.reread(process)


def test_this_process_runs_python() -> None:
    processes = Processes()
    process = processes.get(os.getpid())
    assert process is not None
    interpreter = Interpreters(Binaries(processes, 8 << 20)).of(process)
    assert interpreter is not None
    assert interpreter.build.title == f"CPython {sys.version_info[0]}.{sys.version_info[1]}"
