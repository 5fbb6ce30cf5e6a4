from __future__ import annotations

import random

from ebtop.store.connect_table import ConnectTable
from ebtop.store.connect_targets import ConnectTargets, bucket, upper_bound_ms
from ebtop.store.recent import Window
from ebtop.store.retransmit_peers import RetransmitPeers
from ebtop.store.retransmit_table import RetransmitTable
from ebtop.store.rows import RetransmitPeerRow, TargetRow
from tests.unit.record_makers import at, connect, retransmit


def test_results_and_latencies_of_one_target_add_up() -> None:
    targets = ConnectTargets()
    table = ConnectTable(max_rows=2, targets=targets)
    for latency in (100.0, 100.0, 100.0, 5000.0):
        table.add(connect(1, "ok", latency))
    table.add(connect(2, "refused", 0.2, comm="wget"))
    table.replace_pending([connect(3, "pending", key=8), connect(3, "pending", key=9, daddr="10.9.9.9")])
    row, waiting = targets.rows(Window(at(5)), table.pending)
    assert row._replace(p50_ms=0, p99_ms=0) == TargetRow(
        "10.0.0.2", 443, 5, 0.5, 1, 4, 1, 0, 0, 0, 0, 0, 5000.0, at(2), ("curl", "wget")
    )
    assert 100 <= (row.p50_ms or 0) <= 120
    assert row.p99_ms == 5000.0
    assert (waiting.addr, waiting.finished, waiting.pending, waiting.p50_ms) == ("10.9.9.9", 0, 1, None)


def test_bounds_of_a_latency_are_at_most_a_fifth_above_it() -> None:
    choose = random.Random(1)
    for _ in range(2000):
        latency = 10 ** choose.uniform(-3, 6)
        assert latency <= upper_bound_ms(bucket(latency)) * 1.0000001 <= latency * 1.2
    assert bucket(0.0) == 0


def test_targets_are_bounded_and_can_be_gone_on_from() -> None:
    first = ConnectTargets(max_rows=2)
    for number in range(5):
        first.add(connect(number, daddr=f"10.0.0.{number}"))
    assert ({row.addr for row in first.rows(Window(at(6)), ())}, first.let_go) == ({"10.0.0.3", "10.0.0.4"}, 3)
    second = ConnectTargets()
    second.restore(first.state())
    for targets in (first, second):
        targets.add(connect(6, "timeout", 9000.0, daddr="10.0.0.4"))
    assert second.rows(Window(at(7)), ()) == first.rows(Window(at(7)), ())


def test_retransmits_to_one_peer_add_up() -> None:
    peers = RetransmitPeers()
    table = RetransmitTable(max_rows=1, peers=peers)
    for port in (40_000, 40_001, 40_001):
        table.add(retransmit(1, 3, "tlp", sport=port))
    table.add(retransmit(2, 10, "rto", sport=40_001, pid=301, comm="wget"))
    assert peers.rows(Window(at(3))) == (
        RetransmitPeerRow("10.0.0.2", 443, 19, 1.9, (("rto", 10), ("tlp", 9)), 3, at(2), ("curl", "wget")),
    )


def test_retransmit_peers_are_bounded_and_can_be_gone_on_from() -> None:
    first = RetransmitPeers(max_rows=2)
    for number in range(5):
        first.add(retransmit(number, daddr=f"10.0.0.{number}"), is_new_connection=True)
    assert first.let_go == 3
    second = RetransmitPeers()
    second.restore(first.state())
    for peers in (first, second):
        peers.add(retransmit(6, 4, daddr="10.0.0.4"), is_new_connection=False)
    assert second.rows(Window(at(7))) == first.rows(Window(at(7)))
