"""A snapshot file says of every moment what the live timeline says, and as rows what came in."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from ebtop.errors import EbtopError
from ebtop.store.evidence import Note
from ebtop.store.file.reader import SnapshotFile
from ebtop.store.history.arrived import Arrived
from ebtop.store.passing import arrivals
from ebtop.store.past import Past
from ebtop.store.records import ModuleFacts, StackRecord
from ebtop.store.redact import MASK, Redactor
from ebtop.store.rows import Snapshot
from ebtop.store.selection import Predicate, Pushed
from tests.unit.file_makers import COLLECTION, CONTAINER, HOST, Recording, record
from tests.unit.record_makers import (
    EPOCH,
    SECOND,
    at,
    batch,
    connect,
    exec_,
    exit_,
    retransmit,
    scan,
    stack,
    tcp,
    unseen_end,
)

SECONDS = 80


class OfComm:
    text = "nginx"

    def predicate(self) -> Predicate:
        return lambda record: record.comm == "nginx"

    def pushed(self) -> Pushed | None:
        return None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(tmp_path_factory.mktemp("file") / "a.ebtop", SECONDS)


@pytest.fixture
def snapshot(made: Recording) -> SnapshotFile:
    return SnapshotFile(made.path)


def assert_same(found: Snapshot, live: Snapshot) -> None:
    for name, one, other in zip(Snapshot._fields, found, live, strict=True):
        assert one == other, name


@pytest.mark.parametrize("second", [0.0, 0.3, 7.005, 29.9, 30.1, 61.0, 79.5])
def test_any_moment_is_as_it_was_live(made: Recording, snapshot: SnapshotFile, second: float) -> None:
    assert_same(snapshot.at(at(second)), made.timeline.at(at(second)))
    assert snapshot.spans(10, at(second)) == made.timeline.spans(10, at(second))


def test_going_on_and_back_gives_the_same(made: Recording, snapshot: SnapshotFile) -> None:
    for second in (10, 11, 12, 40, 41, 3, 70):
        assert_same(snapshot.at(at(second)), made.timeline.at(at(second)))


def test_a_selection_is_as_it_was_live(made: Recording, snapshot: SnapshotFile) -> None:
    live, found = OfComm(), OfComm()
    assert_same(snapshot.at(at(60), found), made.timeline.at(at(60), live))
    assert snapshot.spans(60, at(60), found) == made.timeline.spans(60, at(60), live)


def test_the_facts_are_those_of_the_node_that_was_recorded(snapshot: SnapshotFile) -> None:
    assert snapshot.host == HOST
    assert snapshot.collection == COLLECTION
    assert at(0.25) <= snapshot.from_ns < at(0.3)
    assert at(SECONDS) <= snapshot.until_ns < at(SECONDS + 1)
    assert snapshot.incomplete == ()
    assert snapshot.masked is None
    assert snapshot.containers("/system.slice/below") == CONTAINER
    assert snapshot.containers("/other") is None


def test_records_come_in_order_of_time_and_all_of_them(made: Recording, snapshot: SnapshotFile) -> None:
    found = list(snapshot.records())
    assert [record.time_ns for record in found] == sorted(record.time_ns for record in found)
    view = sum(len(arrived.batch.records) for arrived in _all(made))
    stacks = sum(type(record) is StackRecord for arrived in _all(made) for record in arrived.batch.records)
    assert len(found) == view - stacks
    assert snapshot.seen == view
    part = list(snapshot.records(at(20), at(30)))
    assert part == [record for record in found if at(20) <= record.time_ns <= at(30)]
    assert part


def test_stacks_are_summed_without_losing_a_sample(made: Recording, snapshot: SnapshotFile) -> None:
    samples: Counter[StackRecord] = Counter()
    for arrived in _all(made):
        for each in arrived.batch.records:
            if type(each) is StackRecord:
                samples[each._replace(time_ns=0, samples=0)] += each.samples
    assert {each._replace(time_ns=0, samples=0): each.samples for each in snapshot.stacks()} == samples


def test_health_of_each_second_is_kept(snapshot: SnapshotFile) -> None:
    ticks = snapshot.healths(at(50), 6)
    assert len(ticks) == 6
    assert ticks == sorted(ticks)
    assert ticks[-1].time_ns <= at(50)
    assert ticks[-1].health.probes[0].programs[0].run_ns == 100_000
    assert snapshot.health().probes[0].notes == ("user stacks follow frame pointers",)
    seconds = snapshot.ticks()
    assert SECONDS - 2 <= len(seconds) <= SECONDS + 1
    assert seconds[30].health.node is not None
    assert seconds[30].health.node.cpu_percent == 50.0
    assert seconds[30].rates.execs > 0


def test_losses_of_each_second_are_kept(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.ebtop")
    for second in range(1, 20):
        recording.source.lost = 0 if second < 8 else 5 if second < 15 else 7
        recording.take(second, batch(time=second))
        wait_until_idle(recording)
    recording.close()
    lost = [dict(each.health.probes[0].lost) for each in SnapshotFile(recording.path).ticks()]
    assert lost[0] == {}
    assert {"ring full": 5} in lost
    assert lost[-1] == {"ring full": 7}
    assert sqlite3.connect(recording.path).execute("SELECT probe, lost_so_far FROM losses_by_time").fetchall() == [
        ("cpu", 5), ("cpu", 7)
    ]  # fmt: skip


def test_an_end_that_was_not_seen_is_unknown_in_the_file_too(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.ebtop", redactor=Redactor())
    recording.take(1, batch(exec_(0.5, 7), exec_(0.5, 8), exit_(0.9, 8, exit_code=3)))
    recording.take(40, batch(unseen_end(39, 7)))
    recording.take(80, batch(time=80))
    recording.close()
    found = SnapshotFile(recording.path)
    assert [record for record in found.records() if record.time_ns > at(30)] == [unseen_end(39, 7)]
    assert {row.pid: row.status for row in found.at(at(80)).execs} == {7: "?", 8: "3"}
    assert [(row.running, row.exits, row.unseen) for row in found.at(at(80)).commands] == [(0, 1, 1)]
    assert [(row.running, row.unseen) for row in found.at(at(20)).commands] == [(1, 0)]
    ends = sqlite3.connect(recording.path).execute("SELECT pid, exit_code, signal, core_dumped, duration_s FROM exits")
    assert ends.fetchall() == [(8, 3, 0, 0, 0.5), (7, None, None, None, None)]


def wait_until_idle(recording: Recording) -> None:
    while not recording.recorder._queue.empty():
        time.sleep(0.001)


def test_the_views_say_what_came_in(made: Recording, snapshot: SnapshotFile) -> None:
    database = sqlite3.connect(made.path)
    records = list(snapshot.records())
    for view, kind in (("execs", "ExecRecord"), ("exits", "ExitRecord"), ("retransmits", "RetransmitRecord")):
        (count,) = database.execute(f"SELECT count(*) FROM {view}").fetchone()
        assert count == sum(type(record).__name__ == kind for record in records)
    (samples,) = database.execute("SELECT sum(samples) FROM stacks").fetchone()
    assert samples == sum(each.samples for each in snapshot.stacks())


def test_friendly_views(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.ebtop", redactor=Redactor())
    recording.source.lost = 3
    recording.take(
        1,
        batch(
            exec_(0.5, 7, "curl --password hunter2 http://x", uid=0, cgroup="/system.slice"),
            exit_(0.9, 7), connect(0.8, "timeout", 3100.0), connect(0.7, "ok", 150.0), retransmit(0.9, 4),
            tcp("close", 0.9, tx_bytes=10), stack(0.9, "main", "a;b", samples=5, period_ns=10**9),
            modules=(ModuleFacts("prog", "/bin/prog", "ab12"),),
        ),
    )  # fmt: skip
    recording.take(2, batch(time=2, tcp_scan=scan(2, tcp("live", 2, key=9)), pending_connects=(connect(2, "pending"),)))
    recording.recorder.note("disk was full")
    recording.take(3.5, batch(time=3.5))
    recording.close("asked to")
    ask = sqlite3.connect(recording.path).execute
    assert ask("SELECT command, pid, user, container FROM execs").fetchall() == [
        (f"curl --password {MASK} http://x", 7, "root", "shop")
    ]
    assert ask("SELECT latency_ms, result, daddr FROM slow_connects").fetchall() == [
        (3100.0, "timeout", "10.0.0.2"), (150.0, "ok", "10.0.0.2"), (150.0, "pending", "10.0.0.2")
    ]  # fmt: skip
    assert ask("SELECT event, tx_bytes FROM connections").fetchall() == [("close", 10), ("live", 0)]
    assert ask("SELECT segments, kind FROM retransmits").fetchall() == [(4, "rto")]
    assert ask("SELECT stack, samples, cpu_s, comm FROM stacks").fetchall() == [("main;a:b", 5, 5.0, "prog")]
    assert ask("SELECT text FROM notes").fetchall() == [("disk was full",)]
    assert ask("SELECT probe, reason, lost FROM losses").fetchall() == [("cpu", "ring full", 3)]
    assert ask("SELECT probe, runs FROM costs").fetchall() == [("cpu", 100), ("ebtop itself", None)]
    assert ask("SELECT time FROM execs").fetchone() == ("2026-11-22 14:00:00.500",)
    assert b"hunter2" not in recording.path.read_bytes()
    snapshot = SnapshotFile(recording.path)
    assert snapshot.notes() == [Note(at(2), "disk was full")]
    assert snapshot.masked == 1
    assert snapshot.modules() == [ModuleFacts("prog", "/bin/prog", "ab12")]
    assert snapshot.snapshot().execs[0].command == f"curl --password '{MASK}' http://x"


def test_texts_and_stacks_are_stored_once(made: Recording) -> None:
    ask = sqlite3.connect(made.path).execute
    for table, columns in (("strings", "text"), ("frame_rows", "name, kind, module"), ("stack_paths", "frames")):
        (rows,), (distinct,) = (
            ask(f"SELECT count(*) FROM {source}").fetchone()
            for source in (table, f"(SELECT DISTINCT {columns} FROM {table})")
        )
        assert rows == distinct > 0


def test_texts_are_stored_once_also_when_there_are_more_than_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebtop.store.file.recorder.AT_HAND", 10)
    recording = record(tmp_path / "a.ebtop", 20)
    ask = sqlite3.connect(recording.path).execute
    (rows,), (distinct,) = (
        ask("SELECT count(*) FROM strings").fetchone(), ask("SELECT count(DISTINCT text) FROM strings").fetchone(),
    )  # fmt: skip
    assert rows == distinct > 100
    snapshot = SnapshotFile(recording.path)
    assert ask("SELECT count(*) FROM execs WHERE comm IS NULL").fetchone() == (0,)
    (samples,) = ask("SELECT sum(samples) FROM stacks").fetchone()
    assert samples == sum(each.samples for each in snapshot.stacks())


def test_it_is_ours_alone_and_one_file(made: Recording) -> None:
    assert stat.S_IMODE(os.stat(made.path).st_mode) == 0o600
    assert os.listdir(made.path.parent) == [made.path.name]


def test_a_file_that_is_still_being_written_can_be_followed(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.ebtop")
    recording.run(5)
    snapshot = wait_for(recording, at(3))
    before = snapshot.until_ns
    assert snapshot.being_written
    assert snapshot.incomplete == ("it was not ended: it is still being written, or its writer was killed",)
    view = snapshot.at(at(3))
    assert view.execs
    for second in range(6, 50):
        recording.take(second, batch(exec_(second - 0.5, pid=second + 5000), time=second))
    recording.close()
    assert snapshot.until_ns > before
    assert [row.pid for row in snapshot.at(at(49)).execs][:2] == [5049, 5048]
    assert not snapshot.being_written


def wait_for(recording: Recording, time_ns: int) -> SnapshotFile:
    """Opened once everything up to a time is in it."""
    while SnapshotFile(recording.path).until_ns < time_ns:
        pass
    return SnapshotFile(recording.path)


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "a.ebtop"
    path.write_text("precious")
    with pytest.raises(EbtopError, match=r"exists.*--force"):
        Recording(path)
    assert path.read_text() == "precious"
    Recording(path, force=True).close()
    assert SnapshotFile(path).host == HOST


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "a.ebtop"
    target.write_text("precious")
    link.symlink_to(target)
    with pytest.raises(EbtopError, match="exists"):
        Recording(link)
    Recording(link, force=True).close()
    assert target.read_text() == "precious"
    assert not link.is_symlink()
    (tmp_path / "b.ebtop-wal").symlink_to(target)
    with pytest.raises(EbtopError, match="in the way"):
        Recording(tmp_path / "b.ebtop")
    assert target.read_text() == "precious"


def test_it_ends_when_it_is_as_large_as_it_may(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.ebtop", max_bytes=1 << 20)
    recording.run(100, execs=60)
    recording.close()
    assert recording.ended == ["it has become as large as it may (--max-size)"]
    snapshot = SnapshotFile(recording.path)
    assert recording.path.stat().st_size <= 1 << 20
    assert snapshot.period.ended_why == recording.ended[0]
    assert_same(snapshot.at(snapshot.until_ns), recording.timeline.at(snapshot.until_ns))


def test_it_rotates(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.ebtop", max_bytes=1_100_000, files=3)
    recording.run(50, execs=50, connections=30)
    recording.close()
    assert not recording.recorder.progress.lost
    files = [tmp_path / name for name in ("a.2.ebtop", "a.1.ebtop", "a.ebtop")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert sum(path.stat().st_size for path in files) <= 1_100_000
    opened = [SnapshotFile(path) for path in files]
    assert all(before.until_ns <= after.from_ns for before, after in pairwise(opened))
    assert opened[-1].until_ns >= at(49)
    # What was sampled just before a file began is in the one before.
    long = [each for each in opened if each.until_ns - each.from_ns > 4 * SECOND]
    assert len(long) >= 2
    for each in long:
        moment = (each.from_ns + each.until_ns) // 2
        # Not going on from the moment before: what a table lets go of depends on when it was looked at.
        assert_same(each.at(moment), Past(recording.timeline._reach).at(moment))


def test_nothing_is_lost_between_rotated_files(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.ebtop", max_bytes=100 << 20, files=200)
    recording.run(60)
    recording.close()
    found = sum(SnapshotFile(path).seen for path in tmp_path.iterdir())
    assert found == sum(len(arrived.batch.records) for arrived in _all(recording))


def test_what_comes_faster_than_it_can_be_written_is_counted_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebtop.store.file.recorder._MAX_WAITING", 50)
    recording = Recording(tmp_path / "a.ebtop")
    recording.run(30)
    recording.close()
    lost = recording.recorder.progress.lost
    snapshot = SnapshotFile(recording.path)
    assert lost > 0
    assert snapshot.seen + lost == sum(len(arrived.batch.records) for arrived in _all(recording))
    assert snapshot.health().probes[0].lost == {"not written in time": lost}


def test_a_clock_that_is_set_back_is_told_and_keeps_the_order(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "a.ebtop")
    for number, second in enumerate((1, 2, 3, 4, -3000, -2999, -2998, -2997)):
        recording.take(second, batch(exec_(second, pid=number + 1), time=second))
    recording.close()
    snapshot = SnapshotFile(recording.path)
    assert [row.pid for row in snapshot.snapshot().execs] == [4, 3, 2, 1, 8, 7, 6, 5]
    assert any("set back by 3004 s" in line for line in snapshot.incomplete)


def _all(recording: Recording) -> list[Arrived]:
    return list(arrivals(recording.timeline._reach(), EPOCH, EPOCH + 10**6 * SECOND))
