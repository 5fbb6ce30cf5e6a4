"""The connects probe on the running kernel: latency, results and the histogram of connects with known truth."""

from __future__ import annotations

import errno
import math
from collections import Counter
from contextlib import ExitStack

import pytest

from ebtop.kernel import netns
from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import ConnectHistogram, ConnectRecord
from tests.lab import net, tcp
from tests.lab.actor import Actor
from tests.lab.collect import Collector

pytestmark = pytest.mark.usefixtures("root", "no_bpf_left")

EVERY = Settings(min_latency_ms=0)


def result_of(collected: Collector, client: Actor) -> ConnectRecord:
    """How the client's only connect ended."""
    collected.wait_until(lambda c: bool(c.of(ConnectRecord, [client.pid])))
    (record,) = collected.of(ConnectRecord, [client.pid])
    return record


def pending(collected: Collector, client: Actor) -> list[list[ConnectRecord]]:
    """The client's waiting connects at each look."""
    looks = [batch.pending_connects for batch in collected.batches if batch.pending_connects is not None]
    return [[r for r in look if r.pid == client.pid] for look in looks]


def histogram(collected: Collector) -> ConnectHistogram:
    return [b.connect_histogram for b in collected.batches if b.connect_histogram is not None][-1]


def buckets(latencies_ms: list[float]) -> Counter[int]:
    return Counter(int(math.log2(max(1.0, ms * 1000))) for ms in latencies_ms)


def filled(counts: tuple[int, ...]) -> Counter[int]:
    return Counter({bucket: n for bucket, n in enumerate(counts) if n})


def test_storm() -> None:
    with Collector(["connects"], EVERY) as collected:
        storm = tcp.tcp_storm(10_000)
    clients = {c.client_pid for c in storm.connections}
    records = collected.of(ConnectRecord, clients)
    expected = Counter((c.client_pid, c.ip, c.address, c.client_port, c.server_port) for c in storm.connections)
    assert Counter((r.pid, r.ip, r.daddr, r.sport, r.dport) for r in records) == expected
    assert {(r.comm, r.result, r.error, r.netns) for r in records} == {(tcp.CLIENT_COMM, "ok", None, netns.own())}
    assert {r.saddr for r in records} == {"127.0.0.1", "::1"}
    assert all(0 < r.latency_ms < storm.elapsed_s * 1000 for r in records)
    assert collected.probe("connects").lost == {}


def test_histogram_counts_all_whatever_the_threshold(client: Actor, server: Actor) -> None:
    only_client = FilterSpec(pids=frozenset({client.pid}))
    listener, closed = server.listen("127.0.0.1"), server.listen("::1")
    server.close(closed)
    shown = []
    for settings in (EVERY, Settings(min_latency_ms=60_000)):
        with Collector(["connects"], settings, only_client) as collected:
            for _ in range(50):  # nobody accepts: all must fit the backlog
                client.close(client.connect("127.0.0.1", listener.port))
            for _ in range(30):
                client.fail_to_connect("::1", closed.port)
        counted = histogram(collected)
        assert (sum(counted.ok), sum(counted.failed)) == (50, 30)
        shown.append(collected.of(ConnectRecord))
        if settings is EVERY:
            ended = {True: counted.ok, False: counted.failed}
            for ok, counts in ended.items():
                assert filled(counts) == buckets([r.latency_ms for r in shown[0] if (r.result == "ok") is ok])
    assert [len(records) for records in shown] == [80, 0]


def test_lost_syns_make_connects_wait(net_lab: net.NetLab) -> None:
    a, b = net_lab.a, net_lab.b
    for lost in (1, 2):
        b.drop(net.SYN, f"tcp dport {1000 + lost}", net.first(lost))
    with ExitStack() as stack:
        server = stack.enter_context(Actor("ebt-server", b.path))
        clients = {lost: stack.enter_context(Actor(f"ebt-lost-{lost}", a.path)) for lost in (1, 2)}
        for lost in clients:
            server.listen(b.ipv4, 1000 + lost)
        collected = stack.enter_context(Collector(["connects"]))
        for lost, client in clients.items():
            client.start("connect", b.ipv4, 1000 + lost)
        collected.wait_until(lambda c: any(pending(c, clients[2])))
        waited = {lost: client.finish()["ms"] for lost, client in clients.items()}
        records = {lost: result_of(collected, client) for lost, client in clients.items()}
        looks = len(pending(collected, clients[2]))
        collected.wait_until(lambda c: len(pending(c, clients[2])) > looks)
    for lost, record in records.items():
        # The kernel waits a second before it sends a SYN again, and its clock ticks in hundredths.
        assert lost * 990 < record.latency_ms <= waited[lost]
        assert (record.result, record.error, record.daddr, record.dport) == ("ok", None, b.ipv4, 1000 + lost)
        assert (record.comm, record.netns) == (clients[lost].comm, a.inode)
    last = pending(collected, clients[2])
    assert last[-1] == []
    (waiting,) = next(look for look in last if look)
    assert (waiting.result, waiting.key, waiting.dport) == ("pending", records[2].key, 1002)
    assert 100 <= waiting.latency_ms <= records[2].latency_ms


def test_failed_connects(net_lab: net.NetLab) -> None:
    a, b = net_lab.a, net_lab.b
    a.sysctl("ipv4.neigh.va.retrans_time_ms", 50)
    a.sysctl("ipv4.tcp_syn_retries", 1)
    a.sysctl("ipv4.tcp_syn_linear_timeouts", 0)
    b.drop("tcp dport 1001")
    b.refuse_with_icmp("tcp dport 1003")
    attempts = {
        "refused": (b.ipv4, 1000, 0, "ECONNREFUSED"),
        "timeout": (b.ipv4, 1001, 0, "ETIMEDOUT"),
        "aborted": (b.ipv4, 1001, 300, None),
        "unreachable": (b.ipv6, 1003, 0, "EHOSTUNREACH"),
        "no-arp": (net_lab.absent_ipv4, 80, 0, "EHOSTUNREACH"),
    }
    with ExitStack() as stack:
        clients = {name: stack.enter_context(Actor(f"ebt-{name}", a.path)) for name in attempts}
        spec = FilterSpec(pids=frozenset(client.pid for client in clients.values()))
        collected = stack.enter_context(Collector(["connects"], EVERY, spec))
        for name, (address, port, limit_ms, _) in attempts.items():
            clients[name].start("connect", address, port, limit_ms)
        ended = {name: client.answer() for name, client in clients.items()}
        records = {name: result_of(collected, client) for name, client in clients.items()}
        looks = len(pending(collected, clients["timeout"]))
        collected.wait_until(lambda c: len(pending(c, clients["timeout"])) > looks)
    for name, (address, port, _, error) in attempts.items():
        record = records[name]
        assert record.result == ("unreachable" if name == "no-arp" else name)
        assert (record.error, record.daddr, record.dport) == (error, address, port)
        assert record.sport > 0
        if name != "aborted":
            assert errno.errorcode[ended[name]["errno"]] == error
            assert record.latency_ms <= ended[name]["ms"]
    assert records["timeout"].latency_ms > 2 * 990
    assert records["aborted"].latency_ms >= 300
    counted = histogram(collected)
    assert sum(counted.ok) == 0
    assert filled(counted.failed) == buckets([r.latency_ms for r in records.values()])
    assert not any(pending(collected, client)[-1] for client in clients.values())


def test_no_free_port(net_lab: net.NetLab) -> None:
    a, b = net_lab.a, net_lab.b
    a.sysctl("ipv4.ip_local_port_range", "40000 40001")
    with Actor("ebt-server", b.path) as server, Actor("ebt-client", a.path) as client:
        listener = server.listen(b.ipv4)
        with Collector(["connects"], EVERY) as collected:
            for _ in range(2):
                client.connect(b.ipv4, listener.port)
            failure = client.fail_to_connect(b.ipv4, listener.port)
    assert failure.errno == errno.EADDRNOTAVAIL
    records = collected.of(ConnectRecord, [client.pid])
    assert [(r.result, r.error) for r in records] == [("ok", None)] * 2 + [("aborted", "EADDRNOTAVAIL")]
