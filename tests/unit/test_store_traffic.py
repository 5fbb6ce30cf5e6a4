from __future__ import annotations

import random

import pytest

from ebtop.store.connections import ConnectionTable
from ebtop.store.ports import service_port
from ebtop.store.recent import Window
from ebtop.store.records import TcpRecord
from ebtop.store.rows import PeerRow, TalkerRow
from ebtop.store.traffic import Traffic
from tests.unit.record_makers import NETNS, at, scan, tcp


def live(time: float, tx: int = 0, rx: int = 0, key: int = 0xA0, **fields: object) -> TcpRecord:
    return tcp("live", time, key, **{"tx_bytes": tx, "rx_bytes": rx, **fields})


def tables(max_open: int = 100_000) -> tuple[ConnectionTable, Traffic]:
    traffic = Traffic()
    return ConnectionTable(max_open, traffic=traffic), traffic


def peer(traffic: Traffic, now: float = 4) -> PeerRow:
    (row,) = traffic.peers(Window(at(now)))
    return row


def talker(traffic: Traffic, now: float = 4) -> TalkerRow:
    (row,) = traffic.talkers(Window(at(now)))
    return row


@pytest.mark.parametrize(
    ("local", "remote", "direction", "port"),
    [(40000, 443, "out", 443), (443, 40000, "in", 443), (443, 40000, None, 443), (40000, 443, None, 443)],
)
def test_the_port_is_that_of_the_service(local: int, remote: int, direction: str | None, port: int) -> None:
    assert service_port(local, remote, direction) == port


def test_a_connection_from_its_opening_to_its_end() -> None:
    table, traffic = tables()
    table.scan(scan(0))
    table.opened(tcp("connect", 1))
    assert (peer(traffic).open, peer(traffic).opened, peer(traffic).ended) == (1, 1, 0)
    table.scan(scan(2, live(2, tx=1000, rx=300)))
    table.scan(scan(3, live(3, tx=1500, rx=300, retransmits=2)))
    assert (peer(traffic).tx_bytes, peer(traffic).rx_bytes, peer(traffic).retransmits) == (1500, 300, 2)
    table.closed(tcp("close", 4, tx_bytes=1600, rx_bytes=350, retransmits=3, duration_s=3.0))
    assert peer(traffic, 5) == PeerRow(
        "10.0.0.2", 443, "out", 0, 1, 0.1, 1, 160.0, 35.0, 1600, 350, 3, at(4), ("curl",)
    )
    assert talker(traffic, 5) == TalkerRow(
        300, "curl", 1000, "/user.slice", 0, 1, 0.1, 1, 160.0, 35.0, 1600, 350, 3, at(4)
    )


def test_a_connection_between_two_scans_is_counted_by_its_end_alone() -> None:
    table, traffic = tables()
    table.scan(scan(10))
    table.closed(tcp("close", 10.8, duration_s=0.5, tx_bytes=70, rx_bytes=7000))
    row = peer(traffic)
    assert (row.open, row.opened, row.ended, row.tx_bytes, row.rx_bytes) == (0, 1, 1, 70, 7000)


def test_what_an_older_connection_moved_before_is_not_counted() -> None:
    table, traffic = tables()
    table.scan(scan(10, live(10, tx=10**9, duration_s=500.0)))
    table.scan(scan(12, live(12, tx=10**9 + 5, duration_s=502.0)))
    row = peer(traffic)
    assert (row.open, row.opened, row.tx_bytes) == (1, 0, 5)


def test_a_scan_that_finds_a_young_connection_counts_all_of_it() -> None:
    table, traffic = tables()
    table.scan(scan(10))
    table.scan(scan(12, live(12, tx=90, duration_s=1.0)))
    row = peer(traffic)
    assert (row.open, row.opened, row.tx_bytes) == (1, 1, 90)


def test_a_connection_that_vanishes_ends_once() -> None:
    table, traffic = tables()
    table.scan(scan(10, live(10, tx=5)))
    table.scan(scan(13))
    assert (peer(traffic).open, peer(traffic).ended) == (0, 1)
    table.closed(tcp("close", 13.1, tx_bytes=25))
    row = peer(traffic)
    assert (row.open, row.ended, row.tx_bytes) == (0, 1, 20)


def test_an_open_connection_moves_to_the_owner_that_is_found_later() -> None:
    table, traffic = tables()
    nobody = {"pid": 0, "comm": "", "owner": "unknown", "direction": None}
    table.scan(scan(10, live(10, **nobody)))
    table.scan(scan(11, live(11)))
    assert {row.pid: row.open for row in traffic.talkers(Window(at(12)))} == {0: 0, 300: 1}
    assert {row.direction: row.open for row in traffic.peers(Window(at(12)))} == {None: 0, "out": 1}


def test_an_accept_that_is_told_of_after_a_scan_found_it_is_one_opening() -> None:
    table, traffic = tables()
    table.scan(scan(10, live(10, pid=0, direction="in", sport=443, dport=5)))
    table.opened(tcp("accept", 9.9, direction="in", sport=443, dport=5))
    assert [(row.pid, row.open, row.opened) for row in traffic.talkers(Window(at(11)))] == [(0, 0, 0), (300, 1, 1)]


def test_incoming_connections_of_one_client_are_one_peer() -> None:
    table, traffic = tables()
    for port in range(40_000, 40_050):
        table.opened(tcp("accept", 1, key=port, direction="in", saddr="10.0.0.1", sport=443, dport=port))
    row = peer(traffic)
    assert (row.addr, row.port, row.direction, row.open) == ("10.0.0.2", 443, "in", 50)


def test_making_room_for_open_connections_lets_go_of_them() -> None:
    table, traffic = tables(max_open=10)
    for number in range(25):
        table.opened(tcp("connect", number, key=number))
    assert peer(traffic).open == len(table.rows()) == 10


def test_open_counts_are_those_of_the_table_whatever_happens() -> None:
    choose = random.Random(3)
    table, traffic = tables()
    known: dict[int, dict[str, object]] = {}
    for step in range(1500):
        time = step / 4
        key = choose.randrange(40)
        fields = known.setdefault(
            key, {"daddr": f"10.0.0.{key % 5}", "sport": 1000 + key, "pid": 100 + key % 7, "netns": NETNS + key % 2}
        )
        action = choose.choice(("connect", "accept", "live", "close", "scan", "owner"))
        if action == "scan":
            chosen = choose.sample(sorted(known), k=min(len(known), 20))
            records = [live(time, tx=step, key=k, duration_s=choose.choice((0.1, 90.0)), **known[k]) for k in chosen]
            table.scan(scan(time, *records, netns=choose.choice(((NETNS,), (NETNS, NETNS + 1)))))
        elif action == "owner":
            fields["pid"] = choose.choice((0, 100 + choose.randrange(7)))
        elif action == "close":
            table.closed(tcp("close", time, key=key, **fields))
        else:
            table.opened(tcp(action, time, key=key, **fields))
        by_peer: dict[str, int] = {}
        by_pid: dict[int, int] = {}
        for row in table.rows():
            by_peer[row.daddr] = by_peer.get(row.daddr, 0) + row.open
            by_pid[row.pid] = by_pid.get(row.pid, 0) + row.open
        window = Window(at(time))
        assert {r.addr: r.open for r in traffic.peers(window) if r.open} == {a: n for a, n in by_peer.items() if n}
        assert {r.pid: r.open for r in traffic.talkers(window) if r.open} == {p: n for p, n in by_pid.items() if n}


def test_bounded_by_those_without_an_open_connection() -> None:
    traffic = Traffic(max_peers=3, max_talkers=3)
    table = ConnectionTable(traffic=traffic)
    table.scan(scan(0))
    table.opened(tcp("connect", 1, key=1, daddr="10.9.9.9", pid=1))
    for number in range(10):
        table.closed(tcp("close", 2, key=50 + number, daddr=f"10.0.0.{number}", pid=50 + number, duration_s=0.1))
    assert {row.addr for row in traffic.peers(Window(at(3)))} == {"10.9.9.9", "10.0.0.8", "10.0.0.9"}
    assert {row.pid for row in traffic.talkers(Window(at(3)))} == {1, 58, 59}
    assert (traffic.peers_let_go, traffic.talkers_let_go) == (8, 8)


def test_a_state_can_be_gone_on_from() -> None:
    table, first = tables()
    table.scan(scan(0))
    table.opened(tcp("connect", 1))
    table.scan(scan(2, live(2, tx=1000)))
    second = Traffic()
    second.restore(first.state())
    for traffic in (first, second):
        traffic.count(live(3), at(3), opened_now=-1, ended=1, tx_bytes=10)
    window = Window(at(4))
    assert (second.peers(window), second.talkers(window)) == (first.peers(window), first.talkers(window))
    assert peer(second, 4).tx_bytes == 1010
