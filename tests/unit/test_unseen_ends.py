"""Ends whose record was lost: told once, by nobody else, and only of what is gone."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from ebtop.kernel.counters import RING_FULL, Counters
from ebtop.probes.exec import ExecProbe
from ebtop.probes.unseen_ends import UnseenEnds
from ebtop.store.records import Batch, ExecRecord, ExitRecord, Record
from tests.unit.record_makers import EPOCH, SECOND, at, exec_, miss, unseen_end


class Node:
    """Processes, what of them is drained, and looks at them; seconds of kernel time are seconds after EPOCH."""

    def __init__(self, *pids: int, **options: Any) -> None:
        self.there: set[int] | None = {1, *pids}
        self.now = 0.0
        self.looks = 0
        self.lost = 0
        self.ends = UnseenEnds(self._listing, lambda: self._ns(self.now), **options)

    def drain(self, *execs: ExecRecord, ends: tuple[tuple[float, int], ...] = (), until: float | None = None) -> None:
        """Everything up to now, or only up to `until`."""
        told = self._ns(self.now if until is None else until)
        self.ends.drained(execs, {pid: self._ns(time) for time, pid in ends}, EPOCH, told)

    def look(self, *, lost: int = 0, drained: bool = True) -> list[ExitRecord]:
        """A second later, with so many more lost meanwhile."""
        self.now += 1
        self.lost += lost
        if drained:
            self.drain()
        return self.ends.look(self.lost, EPOCH)

    def _listing(self) -> frozenset[int] | None:
        self.looks += 1
        return None if self.there is None else frozenset(self.there)

    @staticmethod
    def _ns(seconds: float) -> int:
        return round(seconds * SECOND)


def test_nothing_is_read_before_anything_was_lost() -> None:
    node = Node()
    node.drain(exec_(0.1, 7))
    assert [node.look() for _ in range(5)] == [[]] * 5
    assert node.looks == 0


def test_who_is_gone_in_two_looks_ended_before_the_first() -> None:
    node = Node(8)
    node.drain(exec_(0.1, 7, "job", uid=33, cgroup="/batch", ppid=4), exec_(0.2, 8))
    assert node.look(lost=1) == []
    assert node.look() == [ExitRecord(at(1), 7, "job", 33, "/batch", 4, None, None, None, None)]
    assert [node.look() for _ in range(200)] == [[]] * 200


def test_what_was_lost_is_looked_for_ever_more_rarely_and_again_when_more_is() -> None:
    node = Node(7)
    node.drain(exec_(0.1, 7))
    looked = []
    for _ in range(300):
        before = node.looks
        node.look(lost=not looked)
        looked += [node.now] * (node.looks - before)
    assert looked == [1, 2, 4, 8, 16, 32, 64, 128, 192, 256]
    node.look(lost=1)
    assert node.looks == len(looked) + 1


def test_nothing_is_read_while_nobody_is_remembered() -> None:
    node = Node()
    node.drain(exec_(0.1, 7), ends=((0.5, 7),))
    assert [node.look(lost=1) for _ in range(5)] == [[]] * 5
    assert node.looks == 0


def test_who_was_not_waited_for_when_it_was_lost_is_found_later() -> None:
    node = Node(7)
    node.drain(exec_(0.1, 7))
    assert [node.look(lost=1), *[node.look() for _ in range(9)]] == [[]] * 10
    assert node.there is not None
    node.there.remove(7)
    found = [record for _ in range(40) for record in node.look()]
    assert found == [unseen_end(16, 7)]


def test_an_end_that_is_on_its_way_at_the_first_look_is_not_told_twice() -> None:
    node = Node()
    node.drain(exec_(0.1, 7))
    assert node.look(lost=1) == []
    node.drain(ends=((0.9, 7),))
    assert [node.look() for _ in range(5)] == [[]] * 5


def test_an_end_may_wait_for_many_seconds_to_be_drained() -> None:
    node = Node()
    node.drain(exec_(0.1, 7), exec_(0.1, 8))
    for _ in range(5):
        node.drain(until=0.8)
        assert node.look(lost=1, drained=False) == []
    assert node.looks == 1
    node.drain(ends=((0.9, 7),))
    assert node.look() == [unseen_end(1, 8)]


def test_an_exec_that_is_drained_after_the_end_starts_nothing() -> None:
    node = Node()
    node.drain(ends=((0.5, 7),), until=0.2)
    node.drain(exec_(0.4, 7), until=0.3)
    assert [node.look(lost=1) for _ in range(5)] == [[]] * 5
    assert node.looks == 0


def test_a_second_exec_that_is_drained_after_the_end_starts_nothing() -> None:
    node = Node()
    node.drain(exec_(0.1, 7, "sh"), ends=((0.5, 7),), until=0.2)
    node.drain(exec_(0.3, 7, "true"))
    assert [node.look(lost=1) for _ in range(5)] == [[]] * 5


def test_the_end_of_an_earlier_process_does_not_end_a_later_one() -> None:
    node = Node()
    node.drain(exec_(0.1, 7, "old"), exec_(0.4, 7, "new"), ends=((0.3, 7),))
    assert node.look(lost=1) == []
    assert node.look() == [unseen_end(1, 7, comm="new")]


def test_an_older_exec_that_is_drained_late_does_not_win() -> None:
    node = Node()
    node.drain(exec_(0.4, 7, "new"))
    node.drain(exec_(0.1, 7, "old"))
    node.look(lost=1)
    assert node.look() == [unseen_end(1, 7, comm="new")]


def test_failed_execs_start_nothing() -> None:
    node = Node()
    node.drain(miss(0.1, 7))
    assert [node.look(lost=1) for _ in range(3)] == [[]] * 3


def test_a_pid_that_is_another_process_by_now_is_left_alone() -> None:
    node = Node()
    node.drain(exec_(0.1, 7))
    assert node.look(lost=1) == []
    assert node.there is not None
    node.there.add(7)
    assert [node.look() for _ in range(100)] == [[]] * 100


def test_a_pid_that_execs_again_is_missed_anew() -> None:
    node = Node()
    node.drain(exec_(0.1, 7, "old"))
    assert node.look(lost=1) == []
    node.drain(exec_(1.5, 7, "new"))
    assert node.look() == []
    assert [record for _ in range(3) for record in node.look()] == [unseen_end(2, 7, comm="new")]


def test_where_proc_does_not_tell_nobody_is_said_to_be_gone() -> None:
    node = Node()
    node.there = None
    node.drain(exec_(0.1, 7))
    assert [node.look(lost=1) for _ in range(5)] == [[]] * 5


def test_what_is_remembered_is_bounded() -> None:
    node = Node(max_remembered=100)
    node.drain(*[exec_(pid / 1000, pid) for pid in range(2, 500)])
    assert len(node.ends._running) <= 100
    node.drain(ends=tuple([(3.0, pid) for pid in range(2, 5000)]), until=0)
    assert len(node.ends._early) <= 100
    node.drain(exec_(0.6, 600))
    node.look(lost=1)
    assert unseen_end(1, 600) in node.look()


def test_ends_are_forgotten_once_no_exec_can_follow_them() -> None:
    node = Node()
    for second in range(100):
        node.drain(ends=tuple([(second + pid / 1000, pid + 900 * second) for pid in range(900)]), until=second)
    assert len(node.ends._early) < 5000


class Lives:
    """Few pids, used again and again; one end in five is lost, the others and the execs are drained late."""

    def __init__(self, seed: int) -> None:
        self.chance, self.node = random.Random(seed), Node()
        self.execs: list[ExecRecord] = []
        self.ends: list[tuple[float, int, str]] = []
        """Time, pid and name of the process, drained or not."""
        self.names: dict[int, str] = {}
        """Of those that run."""
        self.lost: set[str] = set()
        self.told: list[str] = []

    def second(self, number: int) -> None:
        for pid in list(self.names):
            if self.chance.random() < 0.4:
                self._end(pid, number + 0.1)
        for pid in range(2, 12):
            if pid not in self.names and self.chance.random() < 0.5:
                self._start(pid, number + self.chance.uniform(0.2, 0.4))
                if self.chance.random() < 0.7:
                    self._end(pid, number + 0.5)
        self.node.now = number + 1
        self._drain()
        self.told += [record.comm for record in self.node.ends.look(self.node.lost, EPOCH)]

    def _start(self, pid: int, begin: float) -> None:
        self.names[pid] = name = f"{pid} at {begin}"
        self.execs += [exec_(begin + 0.1 * i, pid, comm=name) for i in range(self.chance.randint(1, 2))]
        self.node.there = {1, *self.names}

    def _end(self, pid: int, time: float) -> None:
        name = self.names.pop(pid)
        self.node.there = {1, *self.names}
        if self.chance.random() < 0.2:
            self.lost.add(name)
            self.node.lost += 1
        else:
            self.ends.append((time, pid, name))

    def _drain(self) -> None:
        """Some of both, oldest first."""
        self.execs.sort()
        self.ends.sort()
        execs, ends = self.chance.randint(0, len(self.execs)), self.chance.randint(0, len(self.ends))
        left = [(record.time_ns - EPOCH) / SECOND for record in self.execs[execs:]]
        left += [time for time, *_ in self.ends[ends:]]
        came = tuple([(time, pid) for time, pid, _ in self.ends[:ends]])
        self.node.drain(*self.execs[:execs], ends=came, until=min([self.node.now, *left]))
        self.told += [name for *_, name in self.ends[:ends]]
        del self.execs[:execs], self.ends[:ends]


@pytest.mark.parametrize("seed", range(20))
def test_no_end_is_told_twice_and_none_of_what_runs(seed: int) -> None:
    lives = Lives(seed)
    for number in range(200):
        lives.second(number)
        assert not set(lives.told) & set(lives.names.values())
    assert len(lives.told) == len(set(lives.told))
    # Whose pid was used again before it was missed twice is not found.
    assert len(lives.lost & set(lives.told)) > 0.1 * len(lives.lost) > 5


class FakeModule:
    """Rings by name, as the kernel filled them."""

    def __init__(self) -> None:
        self.rings: dict[str, list[tuple[Any, ...]]] = {}
        self.held: set[str] = set()
        """Of these nothing is drained now."""
        self.full = 0
        self.dropped = 0

    def drain(self, name: str, layout: str) -> list[tuple[Any, ...]]:
        return [] if name in self.held else self.rings.pop(name, [])

    def ring(self, name: str, layout: str) -> SimpleNamespace:
        return SimpleNamespace(waiting=name in self.held)

    def counters(self) -> Counters:
        return Counters(0, {"user memory not readable": 9, **({RING_FULL: self.full} if self.full else {})})

    def execs(self, pid: int, ns: int) -> None:
        text = b"/bin/job\0job\0-x\0"
        event = (ns, 5, pid, 4, 33, 0, 9, 7, 7, b"job", b"sh", text)
        self.rings.setdefault("short_exec_events", []).append(event)

    def ends(self, pid: int, ns: int) -> None:
        self.rings.setdefault("exit_events", []).append((ns, 50, 5, pid, 4, 33, 9, b"job"))


@pytest.fixture
def module() -> FakeModule:
    return FakeModule()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Kernel time in s, `now`, as the probe reads it, and what the wall clock is ahead."""
    made = SimpleNamespace(now=100.0, offset_ns=EPOCH)
    monkeypatch.setattr("time.monotonic_ns", lambda: round(made.now * SECOND))
    return made


@pytest.fixture
def probe(module: FakeModule, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> ExecProbe:
    context: Any = SimpleNamespace(clock=clock, cgroups=SimpleNamespace(path=lambda number: f"/{number}"))
    loaded: Any = module
    made = ExecProbe(loaded, context, {})
    made._unseen = UnseenEnds(lambda: frozenset({1, 12}), lambda: round(clock.now * SECOND))
    return made


def second(probe: ExecProbe, clock: SimpleNamespace) -> list[Record]:
    """What a drain and a poll bring a second later."""
    clock.now += 1
    return [*probe.drain(), *probe.poll(Batch(at(clock.now), [])).records]


def test_the_probe_tells_of_ends_that_found_the_ring_full(
    probe: ExecProbe, module: FakeModule, clock: SimpleNamespace
) -> None:
    for pid in (10, 11, 12):
        module.execs(pid, 100 * SECOND + pid)
    module.ends(10, 100 * SECOND + 500)
    started = [record for record in second(probe, clock) if isinstance(record, ExecRecord)]
    assert [record.args for record in started] == [("job", "-x")] * 3
    module.full = 1
    assert second(probe, clock) == []
    assert second(probe, clock) == [ExitRecord(at(102), 11, "job", 33, "/5", 4, None, None, None, None)]
    assert second(probe, clock) == []


def test_the_probe_tells_of_ends_that_were_dropped_on_this_side(
    probe: ExecProbe, module: FakeModule, clock: SimpleNamespace
) -> None:
    module.execs(11, 100 * SECOND)
    second(probe, clock)
    module.dropped = 1
    assert [record.pid for _ in range(3) for record in second(probe, clock)] == [11]


@pytest.mark.parametrize("held", ["exec_events", "short_exec_events", "exit_events"])
def test_the_probe_waits_for_what_is_in_a_ring(
    probe: ExecProbe, module: FakeModule, clock: SimpleNamespace, held: str
) -> None:
    module.execs(11, 100 * SECOND)
    second(probe, clock)
    module.held, module.full = {held}, 1
    assert [second(probe, clock) for _ in range(5)] == [[]] * 5
    module.held.clear()
    module.ends(11, 101 * SECOND)
    (end,) = [record for _ in range(5) for record in second(probe, clock)]
    assert isinstance(end, ExitRecord)
    assert (end.pid, end.signal) == (11, 9)


def test_a_ring_that_is_never_empty_is_known_up_to_its_last_record(
    probe: ExecProbe, module: FakeModule, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ring", lambda *_: SimpleNamespace(waiting=True))
    module.execs(11, 100 * SECOND)
    module.full = 1
    found: list[ExitRecord] = []
    for number in range(6):
        now_ns = round(clock.now * SECOND)
        module.rings.setdefault("exec_events", [])
        for name in ("exec_events", "short_exec_events"):
            module.rings.setdefault(name, []).append((now_ns, 5, 12, 4, 33, -2, 9, 0, 0, b"sh", b"sh", b"/bin/job\0"))
        module.ends(1000 + number, now_ns)
        found += [r for r in second(probe, clock) if isinstance(r, ExitRecord) and r.exit_code is None]
    assert [record.pid for record in found] == [11]
