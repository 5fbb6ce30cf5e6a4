from __future__ import annotations

from ebtop.store.connect_table import ConnectTable
from ebtop.store.rows import ConnectRow
from tests.unit.record_makers import NETNS, at, connect


def test_finished_connects_newest_first() -> None:
    table = ConnectTable()
    table.add(connect(2, "refused", 0.4, error="ECONNREFUSED"))
    table.add(connect(1, "ok", 1017.0, daddr="10.0.0.9"))
    whose = NETNS, 1000, "/user.slice"
    assert table.rows() == (
        ConnectRow(at(2), 300, "curl", "10.0.0.2", 443, 0.4, "refused", "ECONNREFUSED", *whose),
        ConnectRow(at(1), 300, "curl", "10.0.0.9", 443, 1017.0, "ok", None, *whose),
    )


def test_pending_ones_come_first_longest_waiting_on_top() -> None:
    table = ConnectTable()
    table.add(connect(9, key=1))
    table.replace_pending([connect(5, "pending", 200, key=2), connect(5, "pending", 900, key=3)])
    assert [(row.result, row.latency_ms) for row in table.rows()] == [("pending", 900), ("pending", 200), ("ok", 150)]


def test_pending_set_is_replaced() -> None:
    table = ConnectTable()
    table.replace_pending([connect(1, "pending", key=1), connect(1, "pending", key=2)])
    table.replace_pending([connect(2, "pending", key=2)])
    assert [row.time_ns for row in table.rows()] == [at(2)]
    table.replace_pending([])
    assert table.rows() == ()


def test_finishing_ends_the_waiting() -> None:
    table = ConnectTable()
    table.replace_pending([connect(1, "pending", 200, sport=0)])
    table.add(connect(1.1, "ok", 300))
    assert [row.result for row in table.rows()] == ["ok"]


def test_reused_key_that_waits_again_is_not_ended_by_the_earlier_one() -> None:
    table = ConnectTable()
    table.replace_pending([connect(3, "pending", 200)])
    table.add(connect(2, "timeout", 900))
    assert [row.result for row in table.rows()] == ["pending", "timeout"]


def test_a_single_pending_record_joins_the_set() -> None:
    table = ConnectTable()
    table.add(connect(1, "pending", 200))
    table.add(connect(2, "pending", 1200))
    assert [row.latency_ms for row in table.rows()] == [1200]


def test_bounded() -> None:
    table = ConnectTable(max_rows=3)
    for i in range(5):
        table.add(connect(i, key=i))
    assert [row.time_ns for row in table.rows()] == [at(4), at(3), at(2)]
    assert table.dropped == 2
