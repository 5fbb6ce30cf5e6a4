"""Live views: what they let through, and that nothing is missed or doubled between the past and the present."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ebtop.store.history.arrived import Arrived
from ebtop.store.records import Batch, ConnectHistogram, Record
from ebtop.store.rows import Snapshot, with_stacks
from ebtop.store.selection import Predicate, Pushed
from ebtop.store.store import Store
from ebtop.store.timeline import Timeline, View
from tests.unit.history_workload import Node
from tests.unit.record_makers import SECOND, FakeClock, at, batch, connect, exec_, exit_, retransmit, scan, stack, tcp


class Choice:
    """A selection that is a function."""

    text = "choice"

    def __init__(self, passes: Callable[[Record], bool]) -> None:
        self._passes = passes

    def predicate(self) -> Predicate:
        return self._passes

    def pushed(self) -> Pushed | None:
        return None


class Learned:
    """A process and what its children do, as they are seen."""

    text = "pid 1 and its children"

    def predicate(self) -> Predicate:
        known = {1}

        def passes(record: Record) -> bool:
            if getattr(record, "ppid", None) in known:
                known.add(record.pid)
            return record.pid in known

        return passes

    def pushed(self) -> Pushed | None:
        return None


def filtered_by_hand(batches: list[Batch], passes: Callable[[Record], bool], now: FakeClock) -> Snapshot:
    store = Store(now, own_histogram=True)
    for each in batches:
        found = each._replace(records=[record for record in each.records if passes(record)], connect_histogram=None)
        if each.tcp_scan is not None:
            chosen = tuple([record for record in each.tcp_scan.connections if passes(record)])
            found = found._replace(tcp_scan=each.tcp_scan._replace(connections=chosen))
        if each.pending_connects is not None:
            found = found._replace(pending_connects=tuple([r for r in each.pending_connects if passes(r)]))
        store.ingest(found)
    return store.snapshot()


@pytest.mark.parametrize(
    "passes",
    [
        lambda record: record.comm == "nginx",
        lambda record: record.uid == 0,
        lambda record: getattr(record, "dport", 0) == 443,
        lambda record: False,
        lambda record: True,
    ],
)
def test_a_view_is_what_filtering_every_record_by_hand_gives(passes: Callable[[Record], bool]) -> None:
    clock, node = FakeClock(), Node(seed=9)
    timeline = Timeline(clock)
    early, batches = timeline.view(Choice(passes)), []
    for number in range(12):
        for arrives, each in node.second(number):
            clock.seconds = (arrives - at(0)) / SECOND
            timeline.ingest(each)
            batches.append(each)
    late = timeline.view(Choice(passes))
    by_hand = filtered_by_hand(batches, passes, clock)
    assert early.snapshot() == by_hand
    assert late.snapshot() == by_hand._replace(stacks=(), sampled_s=0.0)
    assert by_hand.histogram_partial


def test_a_view_of_everything_is_what_a_store_shows() -> None:
    clock, node = FakeClock(), Node(seed=10)
    timeline, store = Timeline(clock), Store(clock)
    view, second = timeline.view(), timeline.view()
    for number in range(5):
        for arrives, each in node.second(number):
            clock.seconds = (arrives - at(0)) / SECOND
            timeline.ingest(each)
            store.ingest(each)
        shown = store.snapshot()
        assert view.snapshot() == second.snapshot() == shown
    assert not shown.histogram_partial


def test_a_process_has_all_its_execs_although_the_tables_of_everything_are_full() -> None:
    clock = FakeClock()
    timeline = Timeline(clock)
    for second in range(200):
        clock.seconds = second
        others = [exec_(second, pid=100 + second * 20 + n) for n in range(20)]
        timeline.ingest(batch(exec_(second, pid=5, ppid=1), exit_(second + 0.1, pid=5), *others, time=second))
    execs = timeline.view(Choice(lambda record: getattr(record, "ppid", 0) == 1 and record.pid == 5)).snapshot().execs
    assert len(execs) == 200
    assert timeline.view().snapshot().dropped_rows > 2000


def test_what_a_predicate_learns_in_the_past_holds_for_the_present() -> None:
    clock = FakeClock()
    timeline = Timeline(clock)
    timeline.ingest(batch(exec_(1, pid=2, ppid=1), time=1))
    for second in range(2, 100):
        clock.seconds = second
        timeline.ingest(batch(time=second))
    view = timeline.view(Learned())
    timeline.ingest(batch(exec_(99.5, pid=3, ppid=2), tcp("connect", 99.6, pid=3), exec_(99.7, pid=9, ppid=8), time=99))
    shown = view.snapshot()
    assert sorted(row.pid for row in shown.execs) == [2, 3]
    assert [row.pid for row in shown.tcp] == [3]


def test_the_histogram_of_a_selection_counts_its_own_connects() -> None:
    timeline = Timeline(FakeClock(5))
    view, everything = timeline.view(Choice(lambda record: record.pid == 7)), timeline.view()
    histogram = ConnectHistogram((9,) * 32, (9,) * 32)
    records = [connect(1, latency_ms=1.0, pid=7), connect(2, "timeout", latency_ms=3e9, pid=7), connect(3, pid=8)]
    waiting = (connect(4, "pending", pid=7, key=1), connect(4, "pending", pid=8, key=2))
    timeline.ingest(batch(*records, connect_histogram=histogram, pending_connects=waiting))
    shown = view.snapshot()
    assert [(i, n) for i, n in enumerate(shown.histogram.ok) if n] == [(9, 1)]  # 1000 us
    assert [(i, n) for i, n in enumerate(shown.histogram.failed) if n] == [(31, 1)]
    assert (len(shown.histogram.ok), len(shown.connects), shown.histogram_partial) == (32, 3, True)
    assert everything.snapshot().histogram == histogram
    assert everything.snapshot().histogram_partial is False


def test_a_closed_view_is_not_fed() -> None:
    asked: list[Record] = []

    def passes(record: Record) -> bool:
        asked.append(record)
        return True

    timeline = Timeline(FakeClock(5))
    view = timeline.view(Choice(passes))
    timeline.ingest(batch(exec_(1)))
    view.close()
    timeline.ingest(batch(exec_(2)))
    assert len(asked) == 1


def test_a_selection_that_fails_leaves_no_view_behind() -> None:
    def passes(record: Record) -> bool:
        raise RuntimeError

    timeline = Timeline(FakeClock(5))
    timeline.ingest(batch(exec_(1)))
    with pytest.raises(RuntimeError):
        timeline.view(Choice(passes))
    timeline.ingest(batch(exec_(2)))


class Meanwhile(Choice):
    """Lets everything through. While it is asked about the past, more comes in."""

    def __init__(self, timeline: Timeline, clock: FakeClock, times: int) -> None:
        super().__init__(self._ingest)
        self.timeline, self.clock, self.left = timeline, clock, times

    def _ingest(self, record: Record) -> bool:
        if self.left:
            self.left -= 1
            self.clock.seconds += 0.6
            self.timeline.ingest(batch(exec_(self.clock.seconds, pid=round(self.clock.seconds * 10))))
        return True


@pytest.mark.parametrize("seconds", [0.5, 1.5, 8, 100])
@pytest.mark.parametrize("times", [1, 3, 200])
def test_what_comes_in_while_the_past_is_read_counts_once(seconds: float, times: int) -> None:
    clock = FakeClock()
    timeline = Timeline(clock)
    while clock.seconds < seconds:
        clock.seconds += 0.2
        timeline.ingest(batch(exec_(clock.seconds, pid=round(clock.seconds * 10))))
    meanwhile = Meanwhile(timeline, clock, times)
    view, everything = timeline.view(meanwhile), timeline.view()
    assert not meanwhile.left
    clock.seconds += 0.2
    timeline.ingest(batch(exec_(clock.seconds, pid=round(clock.seconds * 10))))
    shown = [row.pid for row in everything.snapshot().execs]
    assert [row.pid for row in view.snapshot().execs] == shown
    assert len(set(shown)) == len(shown) > times
    now = clock()
    assert [row.pid for row in timeline.at(now, Meanwhile(timeline, clock, times)).execs] == shown


def test_nothing_is_missed_or_doubled_while_views_open_and_moments_are_rebuilt() -> None:
    """Each batch carries one of everything; a view that opens at any time has as many as came in."""
    ticks = iter(range(10**9))
    timeline = Timeline(lambda: at(next(ticks) / 40))  # every look at the clock takes 25 ms
    stop, fed = threading.Event(), 0
    views: list[View] = []

    def feed() -> None:
        nonlocal fed
        while not stop.is_set() and fed < 1500:
            fed += 1
            sampled = stack(fed, "main", samples=1)
            started = exec_(fed / 50, pid=fed)
            timeline.ingest(batch(started, retransmit(fed / 50, 1), sampled, tcp_scan=scan(fed / 50), sampled_s=0.1))
            time.sleep(0)  # let the others in

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        while feeder.is_alive() and len(views) < 12:
            views.append(timeline.view(Choice(lambda record: True)))
            kept = timeline.kept
            timeline.at((kept.oldest_ns + kept.newest_ns) // 2)
            timeline.spans(10)
        feeder.join()
    finally:
        stop.set()
        feeder.join()
    assert len(views) > 2
    for view in views:
        shown = view.snapshot()
        assert sorted(row.pid for row in shown.execs) == list(range(1, fed + 1))
        assert [row.segments for row in shown.retransmits] == [fed]
    past = timeline.at(timeline.kept.newest_ns)
    assert len(past.execs) == fed
    spans = timeline.spans(10**6)
    assert [span.stacks[0].time_ns for span in spans] == [at(number) for number in range(1, fed + 1)]
    assert timeline.kept.seen == 3 * fed


@pytest.mark.parametrize("selected", [False, True])
def test_a_large_batch_is_taken_in_parts_and_shows_the_same(selected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[int] = []
    take = View.take

    def counted(view: View, arrived: Arrived) -> None:
        parts.append(len(arrived.batch.records))
        take(view, arrived)

    monkeypatch.setattr(View, "take", counted)
    node, now = Node(5, execs=4000, connections=1000), FakeClock()
    timeline, whole = Timeline(now), Store(now)
    selection = Choice(lambda record: record.comm != "curl") if selected else None
    view = timeline.view(selection)
    batches = [batch(exec_(0.0), time=0.0)]
    for number in range(3):
        batches += [each for _, each in node.second(number)]
    for each in batches:
        now.seconds = (each.time_ns - at(0.0)) / SECOND
        timeline.ingest(each)
        whole.ingest(each)
    expected = whole.snapshot() if selection is None else filtered_by_hand(batches, selection.predicate(), now)
    assert max(parts) <= 500 < max(len(each.records) for each in batches)
    assert with_stacks(view.snapshot(), (), {}) == with_stacks(expected, (), {})
