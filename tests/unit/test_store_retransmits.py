from __future__ import annotations

from ebtop.store.recent import Window
from ebtop.store.retransmit_table import RetransmitTable
from ebtop.store.rows import RetransmitRow
from tests.unit.record_makers import NETNS, at, retransmit


def filled(*records: object, max_rows: int = 1000) -> RetransmitTable:
    table = RetransmitTable(max_rows)
    for record in records:
        table.add(record)  # type: ignore[arg-type]
    return table


def test_segments_and_kinds_of_one_connection_add_up() -> None:
    table = filled(
        retransmit(1, 3, "rto"),
        retransmit(2, 20, "fast", state="FIN_WAIT1"),
        retransmit(3, 1, "tlp", state="CLOSE_WAIT"),
        retransmit(2.5, 2, "rto"),
    )
    assert table.rows(Window(at(100))) == (
        RetransmitRow(
            at(3), 300, "curl", "exact", "10.0.0.1", 40000, "10.0.0.2", 443, "CLOSE_WAIT",
            26, 0.0, (("fast", 20), ("rto", 5), ("tlp", 1)), NETNS, 1000, "/user.slice",
        ),
    )  # fmt: skip


def test_rate_covers_the_last_ten_seconds() -> None:
    table = filled(retransmit(0, 100), retransmit(5, 10), retransmit(9, 20))
    assert [table.rows(Window(at(now)))[0].rate for now in (9.9, 10, 11, 15.5, 16, 19.9, 20, 1000)] == [
        11.0, 13.0, 3.0, 3.0, 2.0, 2.0, 0.0, 0.0,
    ]  # fmt: skip
    assert table.rows(Window(at(1000)))[0].segments == 130


def test_late_records_do_not_push_earlier_ones_out_of_the_window() -> None:
    table = filled(retransmit(1, 100), *[retransmit(5 - i % 2) for i in range(100)])
    assert table.rows(Window(at(6)))[0].rate == 20.0


def test_rows_are_by_connection_and_owner_latest_first() -> None:
    table = filled(
        retransmit(1, sport=1),
        retransmit(2, sport=2),
        retransmit(3, sport=1, pid=9),
        retransmit(4, sport=1, netns=5),
        retransmit(5, sport=1),
    )
    assert [(row.time_ns, row.segments) for row in table.rows(Window(at(6)))] == [
        (at(5), 2), (at(4), 1), (at(3), 1), (at(2), 1),
    ]  # fmt: skip


def test_bounded_by_the_one_silent_for_longest() -> None:
    table = filled(retransmit(1, sport=1), retransmit(2, sport=2), retransmit(3, sport=1), max_rows=2)
    table.add(retransmit(4, sport=3))
    assert [row.sport for row in table.rows(Window(at(5)))] == [3, 1]
    assert table.dropped == 1


def test_a_steady_stream_keeps_only_its_window() -> None:
    table = filled(*[retransmit(second / 10) for second in range(10_000)])
    (row,) = table.rows(Window(at(999.95)))
    assert (row.segments, row.rate) == (10_000, 10.0)
