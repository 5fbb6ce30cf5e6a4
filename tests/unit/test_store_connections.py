from __future__ import annotations

import random

import pytest

from ebtop.store.connections import ConnectionTable
from ebtop.store.records import TcpRecord
from ebtop.store.rows import TcpRow
from tests.unit.record_makers import at, scan, tcp


def only(table: ConnectionTable) -> TcpRow:
    (row,) = table.rows()
    return row


def live(time: float, tx: int = 0, rx: int = 0, key: int = 0xA0, **fields: object) -> TcpRecord:
    return tcp("live", time, key, **{"tx_bytes": tx, "rx_bytes": rx, **fields})


def test_connect_event_opens() -> None:
    table = ConnectionTable()
    table.opened(tcp("connect", 1, ip=6, saddr="::1", daddr="::2", duration_s=0.2, netns=7))
    assert only(table) == TcpRow(
        0xA0, 300, "curl", "exact", 6, "::1", 40000, "::2", 443, "out", "ESTABLISHED", 0, 0, 0.0, 0.0, 0.2, 7, 0, True,
        1000, "/user.slice",
    )  # fmt: skip


def test_rates_are_the_difference_between_two_scans() -> None:
    table = ConnectionTable()
    table.scan(scan(10, live(10, tx=1000, rx=50)))
    table.scan(scan(12, live(12, tx=5000, rx=50)))
    assert (only(table).tx_bytes, only(table).tx_rate, only(table).rx_rate) == (5000, 2000.0, 0.0)


def test_first_rate_of_a_connection_older_than_the_store_is_0() -> None:
    table = ConnectionTable()
    table.scan(scan(10, live(10, tx=10**9)))
    assert only(table).tx_rate == 0


def test_first_rate_of_a_new_connection_counts_from_its_event() -> None:
    table = ConnectionTable()
    table.scan(scan(10))
    table.opened(tcp("connect", 11.5))
    table.scan(scan(12, live(12, tx=1000, rx=500)))
    assert (only(table).tx_rate, only(table).rx_rate) == (2000.0, 1000.0)


def test_rate_of_a_connection_opened_right_before_a_scan_is_not_extrapolated() -> None:
    table = ConnectionTable()
    table.opened(tcp("connect", 11.9999))
    table.scan(scan(12, live(12, tx=1000)))
    assert only(table).tx_rate == 10_000.0


def test_rates_are_never_negative() -> None:
    table = ConnectionTable()
    table.scan(scan(10, live(10, tx=1000, rx=1000)))
    table.scan(scan(11, live(11, tx=10, rx=1500)))
    assert (only(table).tx_rate, only(table).rx_rate) == (0.0, 500.0)


def test_two_scans_of_the_same_moment_do_not_divide_by_zero() -> None:
    table = ConnectionTable()
    table.scan(scan(10, live(10, tx=0)))
    table.scan(scan(10, live(10, tx=100)))
    assert only(table).tx_rate == 1000.0


def test_scan_replaces_what_is_open() -> None:
    table = ConnectionTable()
    table.scan(scan(10, live(10, key=1), live(10, key=2, tx=77)))
    table.scan(scan(12, live(12, key=1)))
    first, second = table.rows()
    assert (first.key, first.open) == (1, True)
    assert (second.key, second.open, second.state, second.tx_bytes) == (2, False, "closed", 77)


def test_scan_says_nothing_about_namespaces_it_did_not_read() -> None:
    table = ConnectionTable()
    table.opened(tcp("connect", 1, key=1, netns=8))
    table.scan(scan(10, live(10, key=2, netns=9), netns=(9,), missed=1))
    table.scan(scan(20, netns=(9,), missed=1))
    assert [(row.key, row.open) for row in table.rows()] == [(1, True), (2, False)]
    assert (table.netns, table.netns_missed) == ((9,), 1)


def test_rate_over_a_missed_scan_spans_the_whole_gap() -> None:
    table = ConnectionTable()
    table.scan(scan(10, live(10, tx=0, netns=8), netns=(8, 9)))
    table.scan(scan(11, netns=(9,)))
    table.scan(scan(12, live(12, tx=1000, netns=8), netns=(8, 9)))
    assert only(table).tx_rate == 500.0


def test_connection_opened_after_the_scan_survives_it() -> None:
    table = ConnectionTable()
    table.opened(tcp("connect", 10.5))
    table.scan(scan(10))
    assert only(table).open
    table.scan(scan(13))
    assert not only(table).open


def test_connection_that_survived_a_scan_still_counts_from_its_event() -> None:
    table = ConnectionTable()
    table.opened(tcp("connect", 10.5))
    table.scan(scan(10))
    table.scan(scan(11, live(11, tx=100)))
    assert only(table).tx_rate == 200.0


@pytest.mark.parametrize("closed_at", [9.5, 10.0, 10.5])
def test_scan_does_not_bring_back_what_closed_while_it_was_taken(closed_at: float) -> None:
    table = ConnectionTable()
    table.opened(tcp("connect", 5))
    table.closed(tcp("close", closed_at, tx_bytes=123, reset="peer"))
    table.scan(scan(10, live(10, tx=100)))
    assert (only(table).open, only(table).state, only(table).tx_bytes) == (False, "reset", 123)


def test_late_connect_does_not_bring_back_a_closed_connection() -> None:
    table = ConnectionTable()
    table.closed(tcp("close", 10))
    table.opened(tcp("connect", 9))
    assert not only(table).open


def test_same_identity_may_open_again() -> None:
    table = ConnectionTable()
    table.closed(tcp("close", 10, tx_bytes=500))
    table.opened(tcp("connect", 10.2))
    assert (only(table).open, only(table).tx_bytes) == (True, 0)
    table.scan(scan(10.7, live(10.7, tx=100)))
    assert only(table).tx_rate == pytest.approx(200.0)


def test_reused_key_is_another_connection() -> None:
    table = ConnectionTable()
    table.opened(tcp("connect", 1, sport=1111))
    table.closed(tcp("close", 2, sport=1111, tx_bytes=5000))
    table.opened(tcp("connect", 3, sport=2222))
    table.scan(scan(4, live(4, tx=100, sport=2222)))
    new, old = table.rows()
    assert (old.sport, old.open, old.tx_bytes) == (1111, False, 5000)
    assert (new.sport, new.open, new.tx_rate) == (2222, True, 100.0)


@pytest.mark.parametrize(
    "other", [{"saddr": "10.9.9.9"}, {"sport": 1}, {"daddr": "10.9.9.9"}, {"dport": 1}, {"netns": 1}, {"key": 1}]
)
def test_every_part_of_the_identity_counts(other: dict[str, object]) -> None:
    table = ConnectionTable()
    table.opened(tcp("connect", 1))
    table.closed(tcp("close", 2)._replace(**other))
    assert sorted(row.open for row in table.rows()) == [False, True]


@pytest.mark.parametrize(
    ("error", "reset", "state"),
    [
        (None, None, "closed"),
        (None, "local", "reset"),
        ("ECONNRESET", "peer", "reset"),
        ("ECONNREFUSED", "peer", "refused"),
        ("ETIMEDOUT", None, "timeout"),
        ("EHOSTUNREACH", None, "closed"),
    ],
)
def test_state_of_an_ended_connection(error: str | None, reset: str | None, state: str) -> None:
    table = ConnectionTable()
    table.closed(tcp("close", 1, error=error, reset=reset))
    assert (only(table).state, only(table).open) == (state, False)


def test_vanished_connection_is_completed_by_its_late_close() -> None:
    table = ConnectionTable()
    table.scan(scan(10, live(10, tx=100)))
    table.scan(scan(12))
    table.closed(tcp("close", 11.9, tx_bytes=250, error="ECONNRESET", reset="peer", pid=0, comm=""))
    assert (only(table).state, only(table).tx_bytes, only(table).pid) == ("reset", 250, 300)
    table.scan(scan(14))
    assert table.tx.rate(at(14)) == 75.0


def test_connection_that_one_scan_missed_comes_back() -> None:
    table = ConnectionTable()
    table.scan(scan(10, live(10, tx=100)))
    table.scan(scan(11))
    table.scan(scan(12, live(12, tx=900)))
    assert (only(table).open, only(table).tx_rate) == (True, 0.0)


def test_known_owner_and_direction_stay_known() -> None:
    table = ConnectionTable()
    table.opened(tcp("accept", 1, pid=42, comm="nginx", owner="listener", direction="in"))
    table.scan(scan(2, live(2, pid=0, comm="", owner="unknown", direction=None)))
    assert (only(table).pid, only(table).comm, only(table).owner, only(table).direction) == (
        42, "nginx", "listener", "in",
    )  # fmt: skip
    table.closed(tcp("close", 3, pid=0, comm="", owner="unknown", direction=None))
    assert (only(table).pid, only(table).comm, only(table).direction) == (42, "nginx", "in")


def test_event_older_than_the_scan_only_fills_in_what_is_not_known() -> None:
    table = ConnectionTable()
    table.scan(scan(2, live(2, tx=500, pid=0, comm="", owner="unknown", direction=None, state="FIN_WAIT1")))
    table.opened(tcp("accept", 1, pid=42, comm="nginx", direction="in"))
    row = only(table)
    assert (row.pid, row.comm, row.owner, row.direction) == (42, "nginx", "exact", "in")
    assert (row.tx_bytes, row.state) == (500, "FIN_WAIT1")


def test_record_of_an_earlier_scan_is_shown_with_its_duration_of_now() -> None:
    table = ConnectionTable()
    idle = live(10, tx=5, duration_s=3.0)
    table.scan(scan(10, idle))
    table.scan(scan(14, idle))
    assert (only(table).duration_s, only(table).tx_bytes, only(table).tx_rate) == (7.0, 5, 0.0)


def test_event_newer_than_the_scan_sets_the_state() -> None:
    table = ConnectionTable()
    table.scan(scan(2, live(2, state="SYN_SENT")))
    table.opened(tcp("connect", 2.5))
    assert only(table).state == "ESTABLISHED"


def test_ended_ones_are_kept_for_a_while() -> None:
    table = ConnectionTable(keep_ended_s=60)
    table.closed(tcp("close", 0, key=1))
    table.closed(tcp("close", 30, key=2))
    table.expire(at(60))
    assert [row.key for row in table.rows()] == [1, 2]
    table.expire(at(61))
    assert [row.key for row in table.rows()] == [2]
    assert table.dropped == 0


def test_one_that_ended_again_does_not_keep_older_ones() -> None:
    table = ConnectionTable(keep_ended_s=60)
    table.closed(tcp("close", 0, key=1))
    table.closed(tcp("close", 30, key=2))
    table.closed(tcp("close", 50, key=1))
    table.expire(at(95))
    assert [row.key for row in table.rows()] == [1]


def test_without_scans_nothing_is_remembered_of_connections_that_are_gone() -> None:
    table = ConnectionTable(max_ended=10)
    for i in range(1000):
        table.opened(tcp("connect", i, key=i))
        table.closed(tcp("close", i + 0.5, key=i))
    assert len(table._not_scanned) == 0


def test_ended_ones_are_bounded() -> None:
    table = ConnectionTable(max_ended=10)
    for i in range(25):
        table.closed(tcp("close", i / 10, key=i))
    assert [row.key for row in table.rows()] == list(range(15, 25))
    assert table.dropped == 15


def test_open_ones_that_no_scan_confirms_are_bounded() -> None:
    table = ConnectionTable(max_open=100)
    for i in range(1000):
        table.opened(tcp("connect", i / 10, key=i))
    keys = [row.key for row in table.rows()]
    assert len(keys) <= 100
    assert keys[-1] == 999
    assert len(keys) + table.dropped == 1000


def test_bytes_a_second_come_from_scans_and_closes() -> None:
    table = ConnectionTable()
    table.scan(scan(10, live(10, key=1, tx=1000), live(10, key=2, rx=50)))
    table.opened(tcp("connect", 10.5, key=3))
    table.closed(tcp("close", 11, key=2, rx_bytes=250))
    table.closed(tcp("close", 11.5, key=3, tx_bytes=600, rx_bytes=20))
    table.scan(scan(12, live(12, key=1, tx=2000)))
    assert table.tx.rate(at(12)) == (1000 + 600) / 2
    assert table.rx.rate(at(12)) == (200 + 20) / 2


def test_bytes_of_a_connection_never_seen_before_count_if_it_is_new() -> None:
    table = ConnectionTable()
    table.scan(scan(10))
    table.closed(tcp("close", 11, key=1, tx_bytes=100, duration_s=0.5))
    table.closed(tcp("close", 11, key=2, tx_bytes=10**9, duration_s=3600))
    table.closed(tcp("close", 11, key=3, tx_bytes=10**9, duration_s=None))
    table.scan(scan(11))
    assert table.tx.rate(at(11)) == 100


def test_first_scan_gives_no_byte_rate() -> None:
    table = ConnectionTable()
    table.scan(scan(10, live(10, tx=10**12)))
    assert table.tx.rate(at(10)) == 0


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_events_and_scans_ends_in_the_truth(seed: int) -> None:
    """Few keys and ports, reused all the time; after two quiet scans the open ones are exactly those that are open."""
    chance = random.Random(seed)
    table = ConnectionTable(max_ended=30)
    alive: dict[int, TcpRecord] = {}
    delayed: list[TcpRecord] = []
    time = 0.0
    for _ in range(300):
        time += chance.choice((0.01, 0.3, 2.5))
        key = chance.randint(1, 6)
        if key in alive:
            record = alive.pop(key)._replace(event="close", time_ns=at(time))
        else:
            record = alive[key] = tcp("connect", time, key, sport=chance.randint(1, 3))
        action = chance.random()
        if action < 0.1:
            delayed.append(record)
        elif action > 0.2:
            table.closed(record) if record.event == "close" else table.opened(record)
        if chance.random() < 0.3:
            table.scan(scan(time, *[record._replace(event="live") for record in alive.values()]))
            for late in delayed:
                table.closed(late) if late.event == "close" and late.key not in alive else None
            delayed.clear()
        assert all(row.tx_rate >= 0 and row.rx_rate >= 0 for row in table.rows())
        assert sum(not row.open for row in table.rows()) <= 30
    for quiet in (10, 20):
        table.scan(scan(time + quiet, *[record._replace(event="live") for record in alive.values()]))
    still_open = {(row.key, row.sport) for row in table.rows() if row.open}
    assert still_open == {(record.key, record.sport) for record in alive.values()}


def test_openings_without_an_event_are_counted_once() -> None:
    counted: list[TcpRecord] = []
    table = ConnectionTable(on_opening=counted.append)
    table.scan(scan(10))
    stays = tcp("live", 11, key=1, duration_s=0.5)
    table.scan(scan(11, stays, tcp("live", 11, key=2, duration_s=100.0)))
    assert [record.key for record in counted] == [1]  # the other one is older than the last scan
    table.closed(tcp("close", 11.5, key=3, duration_s=0.2))
    table.closed(tcp("close", 11.6, key=1, duration_s=1.1))
    table.closed(tcp("close", 11.7, key=4, duration_s=0.1, state="SYN_SENT"))  # never connected
    assert [record.key for record in counted] == [1, 3]


def test_openings_with_an_event_are_not_counted_again() -> None:
    counted: list[TcpRecord] = []
    table = ConnectionTable(on_opening=counted.append)
    table.scan(scan(10))
    table.opened(tcp("connect", 10.5, key=1))
    table.scan(scan(11, tcp("live", 11, key=1, duration_s=0.5)))
    table.closed(tcp("close", 11.5, key=1, duration_s=1.0))
    assert counted == []
