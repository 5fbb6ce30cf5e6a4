from __future__ import annotations

import random
import threading

from ebtop.store.records import Batch, ConnectHistogram, Record
from ebtop.store.rows import Rates, Snapshot
from ebtop.store.store import Store
from tests.unit.record_makers import (
    SECOND,
    FakeClock,
    at,
    batch,
    connect,
    exec_,
    exit_,
    miss,
    retransmit,
    scan,
    stack,
    tcp,
)


def test_empty_store_has_an_empty_snapshot() -> None:
    rates = Rates(0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0)
    assert Store(FakeClock(5)).snapshot() == Snapshot(
        at(5), (), (), (), 0, (), (), ConnectHistogram((), ()), (), 0.0, rates, 0
    )


def test_records_of_a_batch_are_taken_in_the_order_of_their_time() -> None:
    store = Store(FakeClock(9))
    store.ingest(batch(exit_(4, duration_s=1, exit_code=2), exit_(2, exit_code=1), exec_(3.1), exec_(1.6)))
    assert [(row.time_ns, row.status) for row in store.snapshot().execs] == [(at(3.1), "2"), (at(1.6), "1")]


def test_shuffling_a_batch_changes_nothing() -> None:
    records: list[Record] = []
    for i in range(200):
        records += [miss(i, i % 7), exec_(i + 0.1, i % 7, f"run {i}"), exit_(i + 0.3, i % 7, 0.4, exit_code=i % 3)]
        records += [tcp("connect", i, key=i % 5, sport=i), tcp("close", i + 0.5, key=i % 5, sport=i, tx_bytes=i)]
        records += [retransmit(i, i + 1, sport=i % 11), connect(i + 0.2, key=i)]
    ordered, shuffled = Store(FakeClock(201)), Store(FakeClock(201))
    ordered.ingest(batch(*records))
    random.Random(1).shuffle(records)
    shuffled.ingest(batch(*records))
    assert shuffled.snapshot() == ordered.snapshot()


def test_path_search_turns_into_a_row_without_further_records() -> None:
    clock = FakeClock(1.5)
    store = Store(clock)
    store.ingest(batch(miss(1)))
    assert store.snapshot().execs == ()
    clock.seconds = 2.5
    assert [row.status for row in store.snapshot().execs] == ["ENOENT"]


def test_rates_count_events_not_rows() -> None:
    store = Store(FakeClock(2.2))
    store.ingest(
        batch(
            exec_(1.1),
            miss(1.2),
            exec_(1.3, ret=-13),
            exit_(1.4),
            exit_(1.5, pid=77),
            tcp("connect", 1.1, key=1),
            tcp("connect", 1.2, key=2),
            tcp("accept", 1.3, key=3),
            tcp("live", 1.4, key=4),
            tcp("close", 1.5, key=1),
            retransmit(1.6, 12),
            exec_(2.1),
            time=2.2,
        )
    )
    rates = store.snapshot().rates
    assert rates == Rates(1, 2, 2, 2, 1, 1, 12, 0.0, 0.0, 0.0)


def test_byte_and_sample_rates() -> None:
    store = Store(FakeClock(4))
    store.ingest(batch(time=2, tcp_scan=scan(2, tcp("live", 2))))
    records = [stack(4, "a", samples=30), stack(4, "b", samples=68)]
    store.ingest(batch(*records, sampled_s=2.0, tcp_scan=scan(4, tcp("live", 4, tx_bytes=600, rx_bytes=20))))
    rates = store.snapshot().rates
    assert (rates.tx_bytes, rates.rx_bytes, rates.samples) == (300.0, 10.0, 49.0)


def test_connection_closed_after_the_scan_of_the_same_batch() -> None:
    store = Store(FakeClock(5))
    records = [tcp("connect", 1), tcp("close", 3, tx_bytes=900)]
    store.ingest(batch(*records, tcp_scan=scan(2, tcp("live", 2, tx_bytes=100))))
    (row,) = store.snapshot().tcp
    assert (row.open, row.tx_bytes) == (False, 900)


def test_ended_connections_go_with_the_clock() -> None:
    clock = FakeClock(1)
    store = Store(clock, keep_ended_s=10)
    store.ingest(batch(tcp("close", 1)))
    assert len(store.snapshot().tcp) == 1
    clock.seconds = 12
    assert store.snapshot().tcp == ()


def test_namespaces_of_the_latest_scan() -> None:
    store = Store(FakeClock(5))
    store.ingest(batch(time=1, tcp_scan=scan(1, netns=(1, 2), missed=3)))
    snapshot = store.snapshot()
    assert (snapshot.tcp_netns, snapshot.tcp_netns_missed) == ((1, 2), 3)


def test_pending_connects_stay_until_replaced() -> None:
    store = Store(FakeClock(5))
    store.ingest(batch(time=1, pending_connects=(connect(1, "pending"),)))
    store.ingest(batch(time=2))
    assert [row.result for row in store.snapshot().connects] == ["pending"]
    store.ingest(batch(time=3, pending_connects=()))
    assert store.snapshot().connects == ()


def test_connect_that_finished_after_the_pending_ones_were_read() -> None:
    store = Store(FakeClock(5))
    store.ingest(batch(connect(2, "ok"), pending_connects=(connect(1, "pending"),)))
    assert [row.result for row in store.snapshot().connects] == ["ok"]


def test_latest_histogram_wins() -> None:
    store = Store(FakeClock(5))
    store.ingest(batch(time=1, connect_histogram=ConnectHistogram((1,), (0,))))
    store.ingest(batch(time=2, connect_histogram=ConnectHistogram((5, 1), (2,))))
    store.ingest(batch(time=3))
    assert store.snapshot().histogram == ConnectHistogram((5, 1), (2,))


def test_stacks_are_handed_out_once() -> None:
    store = Store(FakeClock(5))
    store.ingest(batch(stack(1, "main"), exec_(1), sampled_s=1.0))
    store.ingest(batch(stack(2, "main"), sampled_s=1.0))
    first = store.snapshot()
    assert (first.stacks, first.sampled_s) == ((stack(2, "main", samples=2),), 2.0)
    assert (store.snapshot().stacks, store.snapshot().sampled_s) == ((), 0.0)


def test_every_table_counts_what_it_lets_go() -> None:
    store = Store(FakeClock(50), max_execs=1, max_open=1, max_ended=1, max_retransmits=1, max_connects=1, max_stacks=1)
    for i in range(2):
        store.ingest(
            batch(
                exec_(i, i),
                tcp("connect", i, key=i),
                tcp("close", i, key=10 + i),
                retransmit(i, sport=i),
                connect(i, key=i),
                stack(i, f"f{i}"),
                time=i,
            )
        )
    snapshot = store.snapshot()
    assert snapshot.dropped_rows == 6
    assert [len(rows) for rows in (snapshot.execs, snapshot.retransmits, snapshot.connects)] == [1, 1, 1]


def test_snapshot_does_not_change_afterwards() -> None:
    store = Store(FakeClock(9))
    store.ingest(batch(exec_(1), tcp("connect", 1), retransmit(1), connect(1), time=1))
    before = store.snapshot()
    copy = Snapshot(*before)
    store.ingest(batch(exit_(2), tcp("close", 2), retransmit(2), connect(2, key=5), time=2))
    store.snapshot()
    assert before == copy
    assert [row.status for row in before.execs] == ["run"]


def test_readers_see_whole_batches_while_others_write() -> None:
    store = Store(FakeClock(0))
    pairs, batches = 20, 200
    torn: list[int] = []
    done = threading.Event()

    def write() -> None:
        for number in range(batches):
            start = number * SECOND
            records: list[Record] = [exec_(0, pid)._replace(time_ns=start + pid) for pid in range(1, pairs + 1)]
            records += [exit_(0, pid, 0)._replace(time_ns=start + 100 + pid) for pid in range(1, pairs + 1)]
            store.ingest(Batch(start, records))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        rows = store.snapshot().execs
        if len(rows) % pairs or any(row.status != "0" for row in rows):
            torn.append(len(rows))
    writer.join()
    assert torn == []
    assert len(store.snapshot().execs) + store.snapshot().dropped_rows == pairs * batches


def test_aggregates_count_what_the_tables_have_let_go() -> None:
    """Tables of one row each; 300 processes, connections, retransmits and connects of three kinds."""
    store = Store(FakeClock(400), max_execs=1, max_open=1, max_ended=1, max_retransmits=1, max_connects=1)
    store.ingest(batch(time=0, tcp_scan=scan(0)))
    for i in range(1, 301):
        store.ingest(
            batch(
                exec_(i, i, f"cmd{i % 3}"),
                exit_(i + 0.5, i, comm=f"cmd{i % 3}"),
                tcp("close", i, key=i, duration_s=0.0, daddr=f"10.0.0.{i % 3}", pid=1 + i % 3, tx_bytes=10),
                retransmit(i, sport=i, daddr=f"10.0.0.{i % 3}", dport=0),
                connect(i, key=i, daddr=f"10.0.0.{i % 3}"),
            )
        )
    snapshot = store.snapshot()
    assert [(row.execs, row.exits) for row in snapshot.commands] == [(100, 100)] * 3
    assert [(row.opened, row.ended, row.tx_bytes) for row in snapshot.peers] == [(100, 100, 1000)] * 3
    assert [(row.opened, row.tx_bytes) for row in snapshot.talkers] == [(100, 1000)] * 3
    assert [row.segments for row in snapshot.retransmit_peers] == [100] * 3
    assert [row.finished for row in snapshot.targets] == [100] * 3
    assert (snapshot.since_ns, sum(snapshot.let_go)) == (at(0), 0)


def test_history_of_retransmits() -> None:
    store = Store(FakeClock(4.5))
    store.ingest(batch(retransmit(1.2, 5), retransmit(3.1, 7), time=1))
    store.ingest(batch(time=4.2))
    assert store.snapshot().retransmit_history == (5, 0, 7)
