"""Tables of two moments compared: of one run, and of two."""

from __future__ import annotations

from ebtop.store.records import Record
from ebtop.store.rows import Snapshot
from ebtop.store.snapshot_diff import compare_snapshots
from ebtop.store.store import Store
from tests.unit.record_makers import EPOCH, SECOND, batch, exec_, exit_


def snapshot(until_s: int, *records: Record) -> Snapshot:
    """After so many seconds of a run."""
    store = Store(lambda: EPOCH + until_s * SECOND)
    store.ingest(batch(time=0))
    store.ingest(batch(*records, time=until_s))
    return store.snapshot()


def runs(name: str, times: int, at_s: int = 1) -> list[Record]:
    """So many runs of a command, ended."""
    pids = range(100, 100 + times)
    started: list[Record] = [exec_(at_s + pid / 1e4, pid, comm=name) for pid in pids]
    return started + [exit_(at_s + 0.5 + pid / 1e4, pid, comm=name) for pid in pids]


def test_of_one_run_what_the_later_moment_counts_includes_the_earlier_ones() -> None:
    before = snapshot(60, *runs("ls", 10))
    after = snapshot(120, *runs("ls", 10), *runs("ls", 30, at_s=90))
    (change,) = compare_snapshots(before, after).commands
    assert (change.name, change.before, change.after) == ("ls", 10.0, 30.0)


def test_of_two_runs_each_counts_its_own() -> None:
    before, after = snapshot(60, *runs("ls", 40)), snapshot(30, *runs("ls", 10), *runs("dd", 1))
    found = compare_snapshots(before, after, apart=True)
    assert [(c.name, c.before, c.after) for c in found.commands] == [("ls", 40.0, 20.0), ("dd", 0.0, 2.0)]
    assert (found.seconds, found.new_commands, found.gone_commands) == (30.0, ("dd",), ())


def test_what_another_run_had_shortly_before_its_end_is_gone() -> None:
    before, after = snapshot(60, *runs("cron", 3, at_s=30)), snapshot(30, *runs("ls", 1))
    found = compare_snapshots(before, after, apart=True)
    assert (found.new_commands, found.gone_commands) == (("ls",), ("cron",))
