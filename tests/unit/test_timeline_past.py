"""Any moment that is kept looks as the live view looked then; and no more is kept than was asked for."""

from __future__ import annotations

import random

import pytest

from ebtop.store.history import thinning
from ebtop.store.records import Batch, StackRecord
from ebtop.store.rows import Rates, Snapshot, StackSpan
from ebtop.store.selection import Predicate, Pushed
from ebtop.store.source import Health, NodeLoad, ProbeHealth, ProgramCost
from ebtop.store.store import Store
from ebtop.store.timeline import Tick, Timeline
from tests.unit.history_workload import Node
from tests.unit.record_makers import EPOCH, SECOND, FakeClock, at, batch, exec_, stack

SECONDS = 100


class OfComm:
    """Everything of one name."""

    def __init__(self, comm: str, pushed: Pushed | None = None) -> None:
        self.text = comm
        self._pushed = pushed

    def predicate(self) -> Predicate:
        return lambda record: record.comm == self.text

    def pushed(self) -> Pushed | None:
        return self._pushed


class Lived:
    """A timeline with some history, and what its views showed at the end of each second."""

    def __init__(self, seed: int, seconds: int, *, cap_bytes: int = 64 << 20, **node: int) -> None:
        self.clock = FakeClock()
        self.timeline = Timeline(self.clock, cap_bytes=cap_bytes)
        self.sizes: list[int] = []
        self.selection = OfComm("nginx")
        self.batches: list[tuple[int, Batch]] = []
        self.shown: list[Snapshot] = []
        self.selected: list[Snapshot] = []
        view, selected, made = self.timeline.view(), self.timeline.view(self.selection), Node(seed, **node)
        for number in range(seconds):
            for arrives, each in made.second(number):
                self.clock.seconds = (arrives - EPOCH) / SECOND
                self.batches.append((self.clock(), each))
                self.timeline.ingest(each)
                self.sizes.append(self.timeline.kept.bytes)
            self.clock.seconds = number + 1.005
            self.shown.append(view.snapshot())
            self.selected.append(selected.snapshot())

    def spans(self, from_ns: int, until_ns: int, comm: str | None = None) -> list[StackSpan]:
        """By hand."""
        found = []
        for arrived_ns, each in self.batches:
            records = [r for r in each.records if type(r) is StackRecord and comm in (None, r.comm)]
            if from_ns < arrived_ns <= until_ns and each.sampled_s:
                found.append(StackSpan(each.time_ns, tuple(records), each.sampled_s))
        return found


@pytest.fixture(scope="module")
def lived() -> Lived:
    return Lived(1, SECONDS)


def assert_same(past: Snapshot, shown: Snapshot) -> None:
    for name, then, live in zip(Snapshot._fields, past, shown, strict=True):
        assert then == live, name


def test_every_kept_second_is_as_it_was_shown(lived: Lived) -> None:
    assert lived.timeline.kept.oldest_ns < lived.shown[0].time_ns
    for shown in lived.shown:
        assert_same(lived.timeline.at(shown.time_ns), shown)


def test_jumping_about_gives_the_same(lived: Lived) -> None:
    rnd = random.Random(2)
    for _ in range(30):
        shown = rnd.choice(lived.shown)
        assert_same(lived.timeline.at(shown.time_ns), shown)


def test_the_past_of_a_selection_is_as_its_view_showed_it(lived: Lived) -> None:
    for number in (3, 40, 41, 42, 99, 70, 71):
        shown = lived.selected[number]
        assert_same(lived.timeline.at(shown.time_ns, lived.selection), shown)


def test_what_a_selection_pushes_changes_nothing_but_the_cost(lived: Lived) -> None:
    pushing = OfComm("nginx", Pushed(comms=frozenset({"nginx"}), cgroups=("/system.slice",)))
    for number in (50, 51, 98):
        shown = lived.selected[number]
        assert_same(lived.timeline.at(shown.time_ns, pushing), shown)


def test_a_view_opened_late_shows_what_one_opened_early_shows(lived: Lived) -> None:
    late = lived.timeline.view(OfComm("nginx", Pushed(comms=frozenset({"nginx"}))))
    assert_same(late.snapshot(), lived.selected[-1]._replace(stacks=(), sampled_s=0.0))
    late.close()
    late.close()


@pytest.mark.parametrize(("until", "seconds"), [(100.005, 60), (45.2, 10), (45.2, 1), (5, 60), (100.005, 300), (-9, 5)])
def test_spans_are_those_that_came_in_then(lived: Lived, until: float, seconds: int) -> None:
    until_ns = at(until)
    from_ns = until_ns - seconds * SECOND
    assert lived.timeline.spans(seconds, until_ns) == lived.spans(from_ns, until_ns)
    for selection in (lived.selection, OfComm("nginx")):
        assert lived.timeline.spans(seconds, until_ns, selection) == lived.spans(from_ns, until_ns, "nginx")


def test_a_moment_before_everything_is_the_oldest_one(lived: Lived) -> None:
    assert lived.timeline.at(at(-5)).time_ns == lived.timeline.kept.oldest_ns


def test_nothing_has_come_in() -> None:
    timeline = Timeline(FakeClock(5))
    kept = timeline.kept
    assert (kept.oldest_ns, kept.newest_ns, kept.seen) == (at(5), at(5), 0)
    assert timeline.at(at(4)).time_ns == at(4)
    assert timeline.at(at(4), OfComm("x")).execs == ()
    assert timeline.spans(60) == timeline.spans(60, None, OfComm("x")) == []


def test_what_is_older_than_asked_for_goes_in_chapters() -> None:
    clock = FakeClock()
    timeline = Timeline(clock, keep_s=60)
    for second in range(300):
        clock.seconds = second
        timeline.ingest(batch(exec_(second, pid=second), time=second))
    kept = timeline.kept
    assert 60 * SECOND <= kept.newest_ns - kept.oldest_ns <= 92 * SECOND
    assert kept.seen == 300
    past = timeline.at(kept.oldest_ns + SECOND)
    assert len(past.execs) > 200  # the table at that time, not only what came in since


def test_over_the_cap_the_oldest_goes_and_kept_says_so() -> None:
    cap = 1_500_000
    lived = Lived(5, 60, cap_bytes=cap, execs=240, connections=240)
    kept = lived.timeline.kept
    assert max(lived.sizes) < cap * 2  # what waits to be packed is counted, but can't be let go
    assert kept.bytes == lived.sizes[-1]
    assert kept.cap_bytes == cap
    assert at(5) < kept.oldest_ns < at(55)
    for snapshot in lived.shown[::7]:
        if snapshot.time_ns > kept.oldest_ns:
            assert_same(lived.timeline.at(snapshot.time_ns), snapshot)


def test_a_clock_set_back_begins_anew_and_a_small_step_does_not() -> None:
    clock = FakeClock(1000)
    timeline = Timeline(clock)
    timeline.ingest(batch(exec_(1000, pid=1), time=1000))
    clock.seconds = 999.8
    timeline.ingest(batch(exec_(1000, pid=2), time=1000))
    assert timeline.kept.oldest_ns == at(1000)
    clock.seconds = 400
    timeline.ingest(batch(exec_(400, pid=3), time=400))
    assert (timeline.kept.oldest_ns, timeline.kept.newest_ns, timeline.kept.seen) == (at(400), at(400), 3)
    assert {row.pid for row in timeline.at(at(401)).execs} == {1, 2, 3}


def test_stepping_on_takes_in_what_came_meanwhile_once() -> None:
    clock = FakeClock()
    timeline = Timeline(clock)
    for second in range(120):
        clock.seconds = second
        timeline.ingest(batch(exec_(second, pid=second + 1), stack(second, "main"), time=second, sampled_s=1.0))
        past = timeline.at(at(second))
        assert len(past.execs) == second + 1
        assert past.sampled_s == 1.0
        assert [each.samples for each in past.stacks] == [1]


def test_ticks_are_bounded_and_share_what_did_not_change() -> None:
    timeline = Timeline(FakeClock(), keep_s=600)
    rates = Rates(0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0)
    before = timeline.kept.bytes
    for second in range(700):
        programs = tuple(ProgramCost(f"program_{n}", n, 5, 5 + second * (n == 0)) for n in range(20))
        probe = ProbeHealth("cpu", "on", "", "", programs, (), 0.0, second, {"ring full": 1}, ("one", "two"))
        node = NodeLoad(0.5, (1.0, 1.0, 1.0), second, 10**9, None)
        log = tuple(f"line {n}" for n in range(400))
        timeline.mark(Tick(at(second), rates, Health(at(second), (probe,), second, 1, 2, True, log, node)))
    ticks = timeline.ticks()
    assert [tick.time_ns for tick in ticks] == [at(second) for second in range(99, 700)]
    one, other = ticks[5].health, ticks[6].health
    assert (one.probes[0].programs[0].run_ns, other.probes[0].programs[0].run_ns) == (109, 110)
    assert one.log is other.log
    assert one.probes[0].programs[1] is other.probes[0].programs[1]
    assert one.probes[0].lost is other.probes[0].lost
    taken = timeline.kept.bytes - before
    assert 600 * 200 < taken < 600 * 2000


def test_a_past_moment_tells_what_the_kernel_let_through_then() -> None:
    clock = FakeClock(10)
    timeline = Timeline(clock, keep_s=60)
    for seconds, text in ((10, "pid:12"), (20, "pid:13"), (30, "")):
        clock.seconds = seconds
        timeline.narrowed_to(text)
    told = [timeline.narrowed_at(at(seconds)) for seconds in (9.9, 10, 19.9, 20, 30, 99)]
    assert told == ["", "pid:12", "pid:12", "pid:13", "", ""]
    clock.seconds = 85
    timeline.narrowed_to("comm:x")
    assert [timeline.narrowed_at(at(seconds)) for seconds in (24, 26, 85)] == ["pid:13", "pid:13", "comm:x"]


def test_of_very_many_connections_fewer_scans_lead_to_the_same(lived: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thinning, "_MANY", 0)
    taken: list[int] = []
    ingest = Store.ingest

    def counted(store: Store, batch: Batch) -> None:
        taken.append(batch.tcp_scan is not None)
        ingest(store, batch)

    monkeypatch.setattr(Store, "ingest", counted)
    for shown in reversed(lived.shown):
        assert_same(in_one_order(lived.timeline.at(shown.time_ns)), in_one_order(shown))
    scans = sum(each.tcp_scan is not None for _, each in lived.batches)
    assert 0 < sum(taken) / len(taken) < scans / len(lived.batches) / 2


def in_one_order(snapshot: Snapshot) -> Snapshot:
    """Without when something moved last, what its process was called then, and the orders that come from it."""
    return snapshot._replace(
        tcp=tuple(sorted(snapshot.tcp, key=str)),
        peers=tuple(
            sorted([row._replace(time_ns=0, comms=tuple(sorted(row.comms))) for row in snapshot.peers], key=str)
        ),
        talkers=tuple(sorted([row._replace(time_ns=0, comm="", uid=0) for row in snapshot.talkers], key=str)),
    )
