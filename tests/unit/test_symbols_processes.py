"""What is remembered of processes, and for how long."""

from __future__ import annotations

import os

import pytest

from ebtop.process import processes
from ebtop.process.identity import Identity, read_identity, read_ids
from ebtop.process.mappings import MappedFile, Mapping, Mappings
from ebtop.process.processes import CHECK_S, NOTES_PER_S, Processes
from ebtop.symbols import perf_maps
from ebtop.symbols.perf_map import PerfMap

FILE = MappedFile(1, 2, b"/bin/program", False)


def mapped(start: int) -> Mappings:
    return Mappings([Mapping(start, start + 0x1000, 0, FILE)])


class Machine:
    """A made-up /proc, and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.running: dict[int, tuple[Identity, Mappings]] = {}
        self.map_readings = 0

    def clock(self) -> float:
        return self.now

    def identity(self, pid: int) -> Identity | None:
        return self.running[pid][0] if pid in self.running else None

    def mappings(self, pid: int) -> Mappings:
        self.map_readings += 1
        if pid not in self.running:
            raise ProcessLookupError
        return self.running[pid][1]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(processes, "read_identity", machine.identity)
    monkeypatch.setattr(processes, "read_mappings", machine.mappings)
    monkeypatch.setattr(processes, "mount_namespace", lambda pid: 7)
    return machine


@pytest.fixture
def known(machine: Machine) -> Processes:
    machine.running[10] = (Identity(1, 1, 1, False), mapped(0x1000))
    return Processes(machine.clock)


def test_mappings_are_read_once_while_nothing_changes(machine: Machine, known: Processes) -> None:
    for _ in range(100):
        process = known.get(10)
        assert process is not None
        assert process.locate(0x1800)
        machine.now += 1
    assert machine.map_readings == 1


def test_another_program_keeps_the_old_mappings_for_late_samples(machine: Machine, known: Processes) -> None:
    before = known.get(10)
    assert before is not None
    machine.running[10] = (Identity(1, 1, 99, False), mapped(0x5000))
    machine.now += CHECK_S
    process = known.get(10)
    assert process is not None
    assert process.generation != before.generation
    assert process.locate(0x5800)
    assert process.locate(0x1800)


def test_pid_used_again_shares_nothing(machine: Machine, known: Processes) -> None:
    known.get(10)
    machine.running[10] = (Identity(2, 1, 1, False), mapped(0x5000))
    machine.now += CHECK_S
    process = known.get(10)
    assert process is not None
    assert process.locate(0x5800)
    assert process.locate(0x1800) is None


def test_ended_process_is_kept(machine: Machine, known: Processes) -> None:
    known.get(10)
    del machine.running[10]
    machine.now += CHECK_S
    process = known.get(10)
    assert process is not None
    assert not process.alive
    assert process.locate(0x1800)
    assert known.reread(process) is process


def test_zombie_has_no_mappings_but_had_some(machine: Machine, known: Processes) -> None:
    known.get(10)
    machine.running[10] = (Identity(1, 0, 0, False), Mappings())
    machine.now += CHECK_S
    process = known.get(10)
    assert process is not None
    assert process.locate(0x1800)


def test_unknown_pid(machine: Machine, known: Processes) -> None:
    assert known.get(99) is None


def test_mappings_are_read_again_for_a_new_address_but_not_all_the_time(machine: Machine, known: Processes) -> None:
    process = known.get(10)
    assert process is not None
    machine.running[10] = (machine.running[10][0], mapped(0x9000))
    for _ in range(10):
        assert known.reread(process) is process
    machine.now += CHECK_S
    process = known.reread(process)
    assert process.locate(0x9800)
    assert machine.map_readings == 2


def test_a_storm_of_execs_is_not_followed_one_by_one(machine: Machine) -> None:
    known = Processes(machine.clock)
    for pid in range(1, 10_001):
        machine.running[pid] = (Identity(pid, 1, 1, False), mapped(0x1000))
        known.note(pid)
        machine.now += 0.0001
    assert NOTES_PER_S <= machine.map_readings <= 2 * NOTES_PER_S + 1


def test_noting_an_exec_reads_again_at_once(machine: Machine, known: Processes) -> None:
    known.note(10)
    machine.running[10] = (Identity(1, 1, 2, False), mapped(0x5000))
    known.note(10)
    process = known.get(10)
    assert process is not None
    assert process.mappings.find(0x5800)


def test_least_recently_used_processes_are_forgotten(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PROCESSES_MAX", 10)
    known = Processes(machine.clock)
    for pid in range(1, 100):
        machine.running[pid] = (Identity(pid, 1, 1, False), mapped(0x1000))
        known.get(pid)
        known.get(1)
    assert len(known) == 10
    assert known.memory_bytes < 20_000
    machine.running.clear()
    assert known.get(1) is not None
    assert known.get(50) is None


def test_own_identity() -> None:
    identity = read_identity(os.getpid())
    exe = os.stat("/proc/self/exe")
    assert identity is not None
    assert (identity.exe_device, identity.exe_inode, identity.kernel_thread) == (exe.st_dev, exe.st_ino, False)
    assert read_identity(1 << 22) is None
    ids = read_ids(os.getpid())
    assert ids is not None
    assert ids.uid == os.geteuid()


def test_only_the_end_of_a_huge_perf_map_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    lines = b"".join(b"%x 10 f%d\n" % (0x10000 + i * 16, i) for i in range(1000))
    path = os.path.join(tmp_path, "map")
    with open(path, "wb") as file:
        file.write(lines)
    monkeypatch.setattr(perf_maps, "READ_MAX", 1000)
    monkeypatch.setattr(perf_maps, "_open", lambda pid: (os.open(path, os.O_RDONLY), os.stat(path)))
    followed = perf_maps._Followed()
    perf_maps._follow(1, followed)
    last, first = followed.map.frame(0x10000 + 999 * 16), followed.map.frame(0x10000)
    assert last is not None
    assert last.name == "f999"
    assert first is None
    whole = PerfMap()
    whole.extend(lines[len(lines) - 1000 :].partition(b"\n")[2])
    assert len(followed.map) == len(whole)
