"""The retransmits probe on the running kernel, against the kernel's own counters of the namespace that sends."""

from __future__ import annotations

from collections import Counter

import pytest

from ebtop.store.records import RetransmitRecord
from tests.lab import net
from tests.lab.actor import Actor, connect, transfer
from tests.lab.collect import Collector

pytestmark = pytest.mark.usefixtures("root", "no_bpf_left")

SEGMENT = 1448
"""Payload of one over IPv4."""
EVERY_20TH = "numgen inc mod 20 == 7"


def sent_again(collected: Collector, namespace: net.Namespace) -> list[RetransmitRecord]:
    return [r for r in collected.of(RetransmitRecord) if r.netns == namespace.inode]


def segments(records: list[RetransmitRecord]) -> Counter[str]:
    """By kind."""
    counted: Counter[str] = Counter()
    for record in records:
        counted[record.kind] += record.segments
    return counted


def await_owners(collected: Collector, namespace: net.Namespace) -> None:
    """Until a look at what is open came after one that found the owners in /proc."""

    def known(c: Collector) -> bool:
        scans = [batch.tcp_scan for batch in c.batches if batch.tcp_scan is not None]
        rows = [r for r in scans[-1].connections if r.netns == namespace.inode] if scans else []
        return len(scans) > 2 and bool(rows) and all(r.owner != "unknown" for r in rows)

    collected.wait_until(known)


def await_segments(collected: Collector, namespace: net.Namespace, counted: dict[str, int]) -> Counter[str]:
    """What was sent again by kind, as soon as it is as many segments as the kernel counted there."""
    try:
        collected.wait_until(lambda c: segments(sent_again(c, namespace)).total() >= resent(counted))
    except TimeoutError:
        seen, lost = segments(sent_again(collected, namespace)), collected.probe("retransmits").lost
        raise AssertionError(f"{resent(counted)} segments, seen {seen}, lost {lost}; {counted}") from None
    return segments(sent_again(collected, namespace))


def resent(counted: dict[str, int]) -> int:
    """Segments that were sent again. The kernel's counter has those that the device refused, too."""
    return counted["Tcp.RetransSegs"] - counted.get("TcpExt.TCPRetransFail", 0)


@pytest.mark.parametrize("gso", [True, False], ids=["gso", "no-gso"])
@pytest.mark.parametrize("client_sends", [True, False], ids=["client-sends", "server-sends"])
def test_segments_are_those_the_kernel_counts(gso: bool, client_sends: bool) -> None:
    with (
        net.NetLab(gso) as lab,
        Actor("ebt-client", lab.a.path) as client,
        Actor("ebt-server", lab.b.path) as server,
        Collector(["retransmits"]) as collected,
    ):
        pair = connect(client, server, lab.b.ipv4)
        ends = (client, pair.client, lab.a), (server, pair.server, lab.b)
        (sender, outgoing, near), (receiver, incoming, far) = ends if client_sends else ends[::-1]
        transfer(receiver, incoming, sender, outgoing, 1)  # who reads is known exactly
        far.drop(net.DATA, EVERY_20TH)
        before = near.counters()
        transfer(sender, outgoing, receiver, incoming, 3_000_000)
        counted = net.growth(before, near.counters())
        seen = await_segments(collected, near, counted)
        records = sent_again(collected, near)
        assert sent_again(collected, far) == []
    assert seen.total() == resent(counted) > 0
    assert seen["fast"] == counted.get("TcpExt.TCPFastRetrans", 0)
    assert {(r.pid, r.comm, r.owner, r.state) for r in records} == {(sender.pid, sender.comm, "exact", "ESTABLISHED")}
    assert collected.probe("retransmits").lost == {}


KINDS = {
    "fast": (net.nth(3), "TcpExt.TCPFastRetrans"),
    "tlp": (net.nth(10), "TcpExt.TCPLossProbes"),
    "rto": ("", "TcpExt.TCPTimeouts"),
}
"""Kind -> which of ten segments is lost ("": all of them), and the kernel's counter of what happens then."""


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(segment_lab: net.NetLab, kind: str) -> None:
    a, b = segment_lab.a, segment_lab.b
    match, counter = KINDS[kind]
    with (
        Actor("ebt-client", a.path) as client,
        Actor("ebt-server", b.path) as server,
        Collector(["retransmits"]) as collected,
    ):
        pair = connect(client, server, b.ipv4)
        transfer(client, pair.client, server, pair.server, 10 * SEGMENT)
        b.drop(net.DATA, *filter(None, [match]))
        before = a.counters()
        client.send(pair.client, 10 * SEGMENT)
        a.wait_for(lambda now: now[counter] > before[counter])
        b.heal()
        server.receive(pair.server, 10 * SEGMENT)
        client.acknowledged(pair.client)
        counted = net.growth(before, a.counters())
        seen = await_segments(collected, a, counted)
        records = sent_again(collected, a)
    assert seen[kind] > 0
    assert seen.total() == resent(counted)
    assert seen["fast"] == counted.get("TcpExt.TCPFastRetrans", 0)
    assert seen["tlp"] <= counted.get("TcpExt.TCPLossProbes", 0)
    assert (seen["rto"] > 0) == ("TcpExt.TCPTimeouts" in counted)
    assert {(r.saddr, r.daddr, r.dport) for r in records} == {(a.ipv4, b.ipv4, pair.listener.port)}
    assert {(r.pid, r.ip) for r in records} == {(client.pid, 4)}


def test_lost_syn_and_syn_ack(net_lab: net.NetLab) -> None:
    a, b = net_lab.a, net_lab.b
    b.drop(net.SYN, "tcp dport 1001", net.first(1))
    a.drop(net.SYN_ACK, "tcp sport 1002", net.first(1))
    b.drop(net.SYN, "tcp dport 1002", net.nth(2))  # the server would answer it before its own timer runs out
    before_a, before_b = a.counters(), b.counters()
    with (
        Actor("ebt-syn", a.path) as one,
        Actor("ebt-syn-ack", a.path) as two,
        Actor("ebt-server", b.path) as server,
        Collector(["retransmits"]) as collected,
    ):
        for port in (1001, 1002):
            server.listen(b.ipv4, port)
        one.start("connect", b.ipv4, 1001)
        two.start("connect", b.ipv4, 1002)
        own_ports = one.finish()["port"], two.finish()["port"]
        counted_a, counted_b = net.growth(before_a, a.counters()), net.growth(before_b, b.counters())
    at_client, at_server = sent_again(collected, a), sent_again(collected, b)
    assert segments(at_client) == {"syn": counted_a["Tcp.RetransSegs"]} == {"syn": 2}
    assert {(r.pid, r.comm, r.sport, r.dport, r.state, r.owner) for r in at_client} == {
        (one.pid, one.comm, own_ports[0], 1001, "SYN_SENT", "exact"),
        (two.pid, two.comm, own_ports[1], 1002, "SYN_SENT", "exact"),
    }
    assert segments(at_server) == {"synack": counted_b["Tcp.RetransSegs"]}
    assert {(r.pid, r.comm, r.sport, r.dport, r.daddr, r.state, r.owner) for r in at_server} == {
        (server.pid, server.comm, 1002, own_ports[1], a.ipv4, "SYN_RECV", "listener")
    }


@pytest.mark.parametrize("with_tcp", [True, False], ids=["tcp-loaded", "alone"])
def test_connection_older_than_ebtop(segment_lab: net.NetLab, with_tcp: bool) -> None:
    """Its owner is in /proc, where only the tcp probe looks; alone, this one does not know and says so."""
    a, b = segment_lab.a, segment_lab.b
    with Actor("ebt-client", a.path) as client, Actor("ebt-server", b.path) as server:
        pair = connect(client, server, b.ipv4)
        with Collector(["tcp", "retransmits"] if with_tcp else ["retransmits"]) as collected:
            if with_tcp:
                await_owners(collected, a)
            b.drop(net.DATA, net.nth(3))
            transfer(client, pair.client, server, pair.server, 20 * SEGMENT)
            collected.wait_until(lambda c: bool(sent_again(c, a)))
    owner = (client.pid, client.comm, "proc") if with_tcp else (0, "", "unknown")
    assert {(r.pid, r.comm, r.owner) for r in sent_again(collected, a)} == {owner}


def test_nothing_is_counted_that_was_not_sent(net_lab: net.NetLab) -> None:
    """A SYN that still waits for an ARP answer can't be sent again, although its timer has run out."""
    a = net_lab.a
    a.sysctl("ipv4.neigh.va.retrans_time_ms", 3000)
    before = a.counters()
    with Actor("ebt-client", a.path) as client, Collector(["retransmits"]) as collected:
        client.fail_to_connect(net_lab.absent_ipv4, 80, limit_ms=1500)
        counted = net.growth(before, a.counters())
    assert counted["TcpExt.TCPTimeouts"] >= 1
    assert counted.get("Tcp.RetransSegs", 0) == 0
    assert sent_again(collected, a) == []
