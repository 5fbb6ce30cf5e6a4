"""What the kernel is told of processes and files with CPython, and when it is told to forget them."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys

from ebtop.cpython.layout import EVERY_FRAME, Layout, Text, Walk
from ebtop.process.processes import Process, Processes
from ebtop.session.interpreter_feed import InterpreterFeed
from ebtop.symbols.binaries import Binaries
from ebtop.symbols.interpreters import Interpreters, Walking, running_pythons

LAYOUT = Layout(Walk(*range(11), EVERY_FRAME, 12, 13), 14, Text(15, 16, 17, 18, 19))


class FakeMap:
    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}

    def update(self, key: bytes, value: bytes) -> None:
        self.held[key] = value

    def delete(self, key: bytes) -> None:
        if key not in self.held:
            raise FileNotFoundError(errno.ENOENT, "not there")
        del self.held[key]

    @property
    def numbers(self) -> list[int]:
        return sorted(int.from_bytes(key, sys.byteorder) for key in self.held)


def give(feed: InterpreterFeed, to: FakeMap | None, files: FakeMap | None = None) -> None:
    feed.give({} if to is None else {"cpython_processes": to, "cpython_files": files or FakeMap()})


def test_changes_arrive_once_and_all_of_them_in_a_new_map() -> None:
    woken = []
    feed, first, second = InterpreterFeed(lambda: woken.append(1)), FakeMap(), FakeMap()
    feed.put([])
    assert not woken
    feed.put([(7, Walking(0x1000, LAYOUT)), (8, Walking(0x2000, LAYOUT))])
    assert woken
    give(feed, None)
    give(feed, first)
    assert first.numbers == [7, 8]
    value = struct.unpack("=QQ22I", first.held[(7).to_bytes(4, sys.byteorder)])
    assert value == (0x1000, 0, *range(11), EVERY_FRAME, *range(12, 20), 0, 0)
    feed.put([(7, None)])
    give(feed, first)
    assert first.numbers == [8]
    first.held.clear()
    give(feed, first)
    assert first.numbers == []
    give(feed, second)
    assert second.numbers == [8]


def test_a_process_that_the_map_does_not_have_is_no_error() -> None:
    feed, to = InterpreterFeed(lambda: None), FakeMap()
    feed.put_all([(pid, Walking(0, LAYOUT)) for pid in (1, 2)], {})
    feed.put([(4, None)])
    give(feed, to)
    assert to.numbers == [1, 2]


def test_of_files_the_newest_are_there() -> None:
    woken = []
    feed, first, second = InterpreterFeed(lambda: woken.append(1)), FakeMap(), FakeMap()
    feed.put_all([], {})
    assert not woken
    for number in range(60):
        feed.put_all([], {number: Walking(-0x1000, LAYOUT)})
    assert woken
    processes = FakeMap()
    give(feed, processes, first)
    assert first.numbers == list(range(12, 60))
    assert first.held[(59).to_bytes(4, sys.byteorder)][:8] == (-0x1000 & (1 << 64) - 1).to_bytes(8, sys.byteorder)
    feed.put_files({77: Walking(1, LAYOUT)})
    give(feed, processes, first)
    assert first.numbers == [*range(13, 60), 77]
    give(feed, FakeMap(), second)
    assert second.numbers == first.numbers


def test_a_process_is_told_of_now_and_then_and_forgotten_when_it_has_ended() -> None:
    now = [100.0]
    processes = Processes(lambda: now[0])
    interpreters = Interpreters(Binaries(processes, 8 << 20), lambda: now[0])
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in running_pythons()
        while not interpreters.of(_fresh(processes, child.pid)):  # until it has mapped a shared libpython
            now[0] += 1
        ((pid, walking),) = interpreters.changes()
        assert (pid, walking is not None) == (child.pid, True)
        interpreters.of(_fresh(processes, child.pid))
        assert interpreters.changes() == []
        now[0] += 10
        interpreters.of(_fresh(processes, child.pid))
        # Among many short ones the kernel may have forgotten it.
        assert interpreters.changes() == [(pid, walking)]
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
