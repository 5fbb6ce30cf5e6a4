"""The tcp probe on the running kernel: events, bytes, owners and live connections, compared with what workloads did."""

from __future__ import annotations

import array
import os
import socket
import sys
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import pytest

from ebtop.kernel import netns
from ebtop.kernel.module import Module
from ebtop.probes import DEFAULT
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import TcpRecord, TcpScan
from tests.lab import net, tcp
from tests.lab.actor import Actor, Pair, connect, transfer
from tests.lab.cgroup import ChildCgroup
from tests.lab.collect import Collector
from tests.lab.process import Workload

pytestmark = pytest.mark.usefixtures("root", "no_bpf_left")

ADDRESSES = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]
MOST_MAP_BYTES = 32 << 20
"""The cap on all maps; how much there is depends on the unwind tables of what else runs."""


class End(NamedTuple):
    """One end of a connection: what tells its records from all others of the machine."""

    netns: int
    sport: int
    dport: int


class Story(NamedTuple):
    """What the records of one end must say."""

    opened: str
    pid: int
    comm: str
    tx: int
    rx: int
    reset: str | None
    owner: str = "exact"


RESETS = {
    "client-reset": ("local", "peer"),
    "server-reset": ("peer", "local"),
    "never-read": ("peer", "local"),
    "early-reset": ("local", "peer"),
}
"""Ending of a storm's connection -> who reset it, as the client and as the server see it."""


def end_of(record: TcpRecord) -> End:
    return End(record.netns, record.sport, record.dport)


def here(sport: int, dport: int) -> End:
    """An end in the test's own network namespace."""
    return End(netns.own(), sport, dport)


def ends_of(pair: Pair) -> tuple[End, End]:
    """Both ends of two actors' connection in the test's network namespace, the client's first."""
    client, server = pair.client.port, pair.listener.port
    return here(client, server), here(server, client)


def events(collected: Collector, end: End) -> list[TcpRecord]:
    return [r for r in collected.of(TcpRecord) if end_of(r) == end]


def event(collected: Collector, end: End, name: str) -> TcpRecord:
    """The only event of that name; the probe may still be about to report it."""
    collected.wait_until(lambda c: any(r.event == name for r in events(c, end)))
    (record,) = [r for r in events(collected, end) if r.event == name]
    return record


def scans(collected: Collector) -> list[TcpScan]:
    return [batch.tcp_scan for batch in collected.batches if batch.tcp_scan is not None]


def await_scans(collected: Collector, more: int) -> TcpScan:
    """The last of `more` scans that began after the call."""
    enough = len(scans(collected)) + more + 1
    collected.wait_until(lambda c: len(scans(c)) >= enough)
    return scans(collected)[-1]


def row(collected: Collector, end: End) -> TcpRecord | None:
    """The end as the latest scan saw it."""
    rows = [r for r in scans(collected)[-1].connections if end_of(r) == end] if scans(collected) else []
    assert len(rows) <= 1, "one socket seen twice in one scan"
    return rows[0] if rows else None


def await_row(collected: Collector, end: End, owner: str, tx: int, rx: int) -> TcpRecord:
    def shown(c: Collector) -> bool:
        seen = row(c, end)
        return seen is not None and (seen.owner, seen.tx_bytes, seen.rx_bytes) == (owner, tx, rx)

    collected.wait_until(shown)
    found = row(collected, end)
    assert found is not None
    return found


@pytest.mark.parametrize("server", tcp.SERVERS)
def test_storm(server: str) -> None:
    """Everything loaded, connections at full speed: nothing lost, every byte counted, every owner right."""
    with Collector(DEFAULT) as collected:
        storm = tcp.tcp_storm(10_000, server=server)
    assert collected.probe("(sockets)").lost == {}
    assert sum(probe.map_bytes for probe in collected.health.probes) <= MOST_MAP_BYTES
    of_end: dict[End, list[TcpRecord]] = {end: [] for c in storm.connections for end in both_ends(c)}
    for record in collected.of(TcpRecord):
        if end_of(record) in of_end:
            of_end[end_of(record)].append(record)
    served_by = {"single": tcp.SERVER_COMM, "forked": tcp.WORKER_COMM, "threads": tcp.THREAD_COMM}[server]
    for c in storm.connections:
        at_client, at_server = RESETS.get(c.ending, (None, None))
        outgoing, incoming = both_ends(c)
        told = tell(of_end[outgoing], c), tell(of_end[incoming], c)
        assert told[0] == Story("connect", c.client_pid, tcp.CLIENT_COMM, c.client_tx, c.client_rx, at_client)
        accepted = Story("accept", c.server_pid, served_by, c.server_tx, c.server_rx, at_server)
        if told[1].owner == "listener":
            # Nobody worked on a connection that was reset at once: its owner is who listens, and is marked so.
            assert c.ending == "early-reset"
            accepted = accepted._replace(pid=storm.listener_pid, comm=tcp.SERVER_COMM, owner="listener")
        assert told[1] == accepted
    assert not any(of_end.values()), "more was reported than happened"


def both_ends(c: tcp.Connection) -> tuple[End, End]:
    return here(c.client_port, c.server_port), here(c.server_port, c.client_port)


def tell(records: list[TcpRecord], truth: tcp.Connection) -> Story:
    """Take the oldest connection out of an end's records; the kernel may use the same ports several times."""
    opened, closed = records.pop(0), records.pop(0)
    assert closed.event == "close"
    assert (opened.key, opened.pid, opened.comm, opened.owner) == (closed.key, closed.pid, closed.comm, closed.owner)
    assert opened.direction == closed.direction == {"connect": "out", "accept": "in"}[opened.event]
    assert (closed.ip, closed.saddr, closed.daddr) == (truth.ip, truth.address, truth.address)
    assert closed.duration_s is not None
    assert closed.duration_s > 0
    return Story(opened.event, closed.pid, closed.comm, closed.tx_bytes, closed.rx_bytes, closed.reset, closed.owner)


@pytest.mark.parametrize("address", ADDRESSES)
def test_refused(client: Actor, server: Actor, address: str) -> None:
    listener = server.listen(address)
    server.close(listener)
    with Collector(["tcp"]) as collected:
        client.fail_to_connect(address, listener.port)
    (record,) = [r for r in collected.of(TcpRecord, [client.pid]) if r.dport == listener.port]
    assert (record.event, record.error, record.reset) == ("close", "ECONNREFUSED", "peer")
    assert (record.state, record.direction, record.comm) == ("SYN_SENT", "out", client.comm)
    assert (record.tx_bytes, record.rx_bytes) == (0, 0)
    assert record.sport > 0


def test_killed_owners() -> None:
    with Collector(["tcp"]) as collected, Actor("ebt-client") as client, Actor("ebt-server") as server:
        pair = connect(client, server, "127.0.0.1")
        outgoing, incoming = ends_of(pair)
        transfer(client, pair.client, server, pair.server, 1000)
        client.stop()
        server.stop()
        at_client, at_server = event(collected, outgoing, "close"), event(collected, incoming, "close")
    assert (at_client.pid, at_client.tx_bytes, at_client.rx_bytes) == (client.pid, 1000, 0)
    assert (at_server.pid, at_server.tx_bytes, at_server.rx_bytes) == (server.pid, 0, 1000)
    assert (at_client.comm, at_server.comm) == (client.comm, server.comm)


def test_connection_to_itself() -> None:
    """Both SYNs cross: the one socket goes through SYN_RECV without ever having been accepted."""
    with Collector(["tcp"]) as collected, socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.connect(one.getsockname())
        one.sendall(b"x" * 100)
        assert len(one.recv(100, socket.MSG_WAITALL)) == 100
        end = here(one.getsockname()[1], one.getsockname()[1])
        one.close()
        closed = event(collected, end, "close")
    assert [r.event for r in events(collected, end)] == ["connect", "close"]
    assert (closed.pid, closed.direction, closed.owner) == (os.getpid(), "out", "exact")
    assert (closed.tx_bytes, closed.rx_bytes) == (100, 100)


@pytest.mark.parametrize("address", ADDRESSES)
def test_connection_older_than_ebtop(client: Actor, server: Actor, address: str) -> None:
    pair = connect(client, server, address)
    server.close(pair.listener)
    transfer(client, pair.client, server, pair.server, 100_000)
    outgoing, incoming = ends_of(pair)
    with Collector(["tcp"]) as collected:
        at_client = await_row(collected, outgoing, "proc", 100_000, 0)
        at_server = await_row(collected, incoming, "proc", 0, 100_000)
        assert (at_client.pid, at_client.comm, at_client.direction) == (client.pid, client.comm, "out")
        assert (at_server.pid, at_server.comm, at_server.direction) == (server.pid, server.comm, "in")
        assert at_client.duration_s is None
        transfer(server, pair.server, client, pair.client, 777)
        await_row(collected, outgoing, "proc", 100_000, 777)
        await_row(collected, incoming, "proc", 777, 100_000)
        client.close(pair.client)
        server.close(pair.server)
        at_client, at_server = event(collected, outgoing, "close"), event(collected, incoming, "close")
    assert (at_client.pid, at_client.owner, at_client.direction) == (client.pid, "proc", "out")
    assert (at_server.pid, at_server.owner, at_server.direction) == (server.pid, "proc", "in")
    assert (at_client.tx_bytes, at_client.rx_bytes) == (100_000, 777)
    assert (at_server.tx_bytes, at_server.rx_bytes) == (777, 100_000)
    assert [r.event for r in events(collected, outgoing) + events(collected, incoming)] == ["close", "close"]


def test_socket_that_no_process_holds() -> None:
    """A descriptor on its way through a UNIX socket is nobody's: an owner would be a guess."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            one = socket.create_connection(listener.getsockname())
            end = here(one.getsockname()[1], listener.getsockname()[1])
            accepted, _ = listener.accept()
            ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [one.fileno()]))])
            one.close()
            with Collector(["tcp"]) as collected, accepted:
                await_scans(collected, 1)
                seen = row(collected, end)
    assert seen is not None
    assert (seen.pid, seen.comm, seen.owner, seen.cgroup) == (0, "", "unknown", None)
    assert seen.direction == "out"


LISTENER = """
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(256)
listener.settimeout(0)
print(listener.getsockname()[1], flush=True)
for line in sys.stdin:
    ports = []
    try:
        while True:
            ports.append(listener.accept()[1][1])
    except BlockingIOError:
        print(ports, flush=True)
"""


@pytest.mark.parametrize("older", [True, False], ids=["listeners-older", "listeners-seen"])
def test_reset_before_accept_belongs_to_the_right_of_two_listeners(older: bool) -> None:
    """Two processes listen on one port. The kernel chooses; the truth is who finds the connection in its queue."""

    listeners: list[Workload] = []

    def listen() -> int:
        port = 0
        for _ in range(2):
            listeners.append(Workload([sys.executable, "-c", LISTENER, str(port)]))
            port = listeners[-1].read()
        return port

    port = listen() if older else 0
    try:
        with Collector(["tcp"]) as collected:
            if older:
                await_scans(collected, 1)
            else:
                port = listen()
            for _ in range(64):
                reset_at_once(port)
            owner = {}
            for listener in listeners:
                listener.tell("accept")
                owner.update(dict.fromkeys(listener.read(), listener.pid))
            collected.wait_until(lambda c: len(closes(c, port)) == 64)
        assert {r.dport: r.pid for r in closes(collected, port)} == owner
        assert {r.owner for r in closes(collected, port)} == {"listener"}
        assert len(set(owner.values())) == 2, "the kernel did not use both"
    finally:
        for listener in listeners:
            listener.stop()


def reset_at_once(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def closes(collected: Collector, sport: int) -> list[TcpRecord]:
    return [r for r in collected.of(TcpRecord) if r.event == "close" and (r.netns, r.sport) == (netns.own(), sport)]


FORKED_SERVER = """
import os, socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
accepted, _ = listener.accept()
child = os.fork()
if child == 0:
    accepted.recv(1)
    os._exit(0)
accepted.close()
os.waitpid(child, 0)
print(child, flush=True)
input()
"""

FORKED_CLIENT = """
import os, socket, sys
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(one.getsockname()[1], flush=True)
if os.fork():
    os._exit(0)
one.sendall(b"x")
"""


def test_socket_passed_on_by_fork() -> None:
    """A connection stays with who connected; an accepted one is that of the child which serves it."""
    with Collector(["tcp"]) as collected, Workload([sys.executable, "-c", FORKED_SERVER]) as server:
        server_port = server.read()
        with Workload([sys.executable, "-c", FORKED_CLIENT, str(server_port)]) as client:
            client_port = client.read()
            child = server.read()
            at_client = event(collected, here(client_port, server_port), "close")
            at_server = event(collected, here(server_port, client_port), "close")
    assert (at_client.pid, at_client.tx_bytes) == (client.pid, 1)
    assert (at_server.pid, at_server.rx_bytes) == (child, 1)
    assert {at_client.owner, at_server.owner} == {"exact"}


def test_accept_of_a_server_that_does_not_read(client: Actor, server: Actor) -> None:
    """Nothing in the kernel tells who accepted until the first read, so a look at /proc does; and only once."""
    with Collector(["tcp"]) as collected:
        pair = connect(client, server, "127.0.0.1")
        _, incoming = ends_of(pair)
        transfer(server, pair.server, client, pair.client, 1000)
        accept = event(collected, incoming, "accept")
        assert (accept.pid, accept.comm, accept.owner, accept.direction) == (server.pid, server.comm, "proc", "in")
        transfer(client, pair.client, server, pair.server, 10)
        shown = await_row(collected, incoming, "proc", 1000, 10)
        server.close(pair.server)
        client.close(pair.client)
        close = event(collected, incoming, "close")
    assert [r.event for r in events(collected, incoming)] == ["accept", "close"]
    assert shown.duration_s is not None
    assert close.duration_s is not None
    assert shown.duration_s <= close.duration_s
    assert (close.pid, close.key, close.tx_bytes, close.rx_bytes) == (server.pid, accept.key, 1000, 10)


def test_live_bytes_in_other_network_namespaces(net_lab: net.NetLab) -> None:
    a, b = net_lab.a, net_lab.b
    with Actor("ebt-client", a.path) as client, Actor("ebt-server", b.path) as server:
        old = connect(client, server, b.ipv6)
        transfer(server, old.server, client, old.client, 5000)
        with Collector(["tcp"]) as collected:
            await_row(collected, End(a.inode, old.client.port, old.listener.port), "proc", 0, 5000)
            new = connect(client, server, b.ipv4)
            outgoing = End(a.inode, new.client.port, new.listener.port)
            incoming = End(b.inode, new.listener.port, new.client.port)
            sent = 0
            for size in (1, 300_000):
                transfer(client, new.client, server, new.server, size)
                sent += size
                at_client = await_row(collected, outgoing, "exact", sent, 0)
                at_server = await_row(collected, incoming, "exact", 0, sent)
            assert (at_client.pid, at_client.daddr, at_client.dport) == (client.pid, b.ipv4, new.listener.port)
            assert (at_server.pid, at_server.daddr, at_server.dport) == (server.pid, a.ipv4, new.client.port)
            client.close(new.client)
            server.close(new.server)
            closed = event(collected, outgoing, "close"), event(collected, incoming, "close")
            scan = scans(collected)[-1]
    assert [(r.pid, r.tx_bytes, r.rx_bytes) for r in closed] == [(client.pid, sent, 0), (server.pid, 0, sent)]
    assert {a.inode, b.inode, netns.own()} <= set(scan.netns)
    assert len(set(scan.netns)) == len(scan.netns)


def test_sockets_of_the_kernel_are_held_once_in_each_namespace(
    net_lab: net.NetLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """See bpf/tcp.c for what may come of it."""
    a, b = net_lab.a, net_lab.b
    walked: Counter[tuple[str, int]] = Counter()
    walk = Module.read_iterator

    def counted(module: Module, program: str) -> bytes:
        walked[program, netns.own()] += 1
        return walk(module, program)

    monkeypatch.setattr(Module, "read_iterator", counted)
    with Actor("ebt-client", a.path) as client, Actor("ebt-server", b.path) as server, Collector(["tcp"]) as collected:
        pair = connect(client, server, b.ipv4)
        transfer(client, pair.client, server, pair.server, 10)
        outgoing = End(a.inode, pair.client.port, pair.listener.port)
        await_row(collected, outgoing, "exact", 10, 0)
        await_scans(collected, 3)
        transfer(client, pair.client, server, pair.server, 5)
        await_row(collected, outgoing, "exact", 15, 0)
        client.close(pair.client)
        server.close(pair.server)
        event(collected, outgoing, "close")
        collected.wait_until(lambda c: row(c, outgoing) is None)
    adopted = {inode: times for (program, inode), times in walked.items() if program == "adopt"}
    assert {netns.own(), a.inode, b.inode} <= adopted.keys()
    assert set(adopted.values()) == {1}
    assert {inode for program, inode in walked if program == "walk"} == {netns.own()}
    assert walked["walk", netns.own()] >= 4


def test_namespaces_that_were_not_read_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with net.NetLab() as lab, Collector(["tcp"]) as collected:
        read = await_scans(collected, 1)
        assert read.netns_missed == 0
        assert lab.a.inode in read.netns

    def locked(inode: int, paths: list[str]) -> None:
        raise PermissionError("locked")

    monkeypatch.setattr("ebtop.probes.tcp.netns.inside", locked)
    others = len(netns.find().keys() - {netns.own()})
    with net.NetLab() as lab, Collector(["tcp"]) as collected:
        read = await_scans(collected, 1)
        assert read.netns[0] == netns.own()
        assert lab.a.inode not in read.netns
    assert read.netns_missed >= min(2, others)


def test_a_namespace_is_entered_by_whoever_is_still_in_it() -> None:
    """The first that was found to be in it has ended, and the second number is another process's now."""
    gone, another = "/proc/4194305/ns/net", "/proc/self/ns/net"
    with net.NetLab() as lab:
        with netns.inside(lab.a.inode, [gone, another, lab.a.path]):
            assert netns.own() == lab.a.inode
        with pytest.raises(OSError, match="gone"), netns.inside(lab.a.inode, [gone, another]):
            pytest.fail("that is no way into it")


def test_every_open_connection_is_seen_once(client: Actor, server: Actor) -> None:
    """More of them than the kernel's buffer for one read holds."""
    with Collector(["tcp"]) as collected:
        opened = [connect(client, server, "127.0.0.1") for _ in range(500)]
        wanted = {end for pair in opened for end in ends_of(pair)}
        scan = await_scans(collected, 1)
    counted = Counter(end_of(r) for r in scan.connections if end_of(r) in wanted)
    assert counted == dict.fromkeys(wanted, 1)
    assert collected.probe("tcp").lost == {}


def converse(client: Actor, server: Actor) -> Pair:
    pair = connect(client, server, "127.0.0.1")
    transfer(client, pair.client, server, pair.server, 10)
    return pair


def finish(client: Actor, server: Actor, pair: Pair) -> None:
    client.close(pair.client)
    server.close(pair.server)


def pids_seen(collected: Collector, actors: Iterable[Actor]) -> set[int]:
    """Of the actors, those that any event or scan showed."""
    shown = {r.pid for r in collected.of(TcpRecord)} | {r.pid for scan in scans(collected) for r in scan.connections}
    return shown & {actor.pid for actor in actors}


def test_filter_by_pid(client: Actor, server: Actor) -> None:
    with Collector(["tcp"], filter_spec=FilterSpec(pids=frozenset({server.pid}))) as collected:
        pair = converse(client, server)
        await_row(collected, ends_of(pair)[1], "exact", 0, 10)
        finish(client, server, pair)
        event(collected, ends_of(pair)[1], "close")
    assert pids_seen(collected, (client, server)) == {server.pid}
    assert [r.event for r in collected.of(TcpRecord, [server.pid])] == ["accept", "close"]


def test_filter_by_cgroup(child_cgroup: ChildCgroup, server: Actor) -> None:
    spec = FilterSpec(cgroups=(child_cgroup.path,))
    with Actor("ebt-client", enter=child_cgroup.enter) as client, Collector(["tcp"], filter_spec=spec) as collected:
        pair = converse(client, server)
        shown = await_row(collected, ends_of(pair)[0], "exact", 10, 0)
        finish(client, server, pair)
        event(collected, ends_of(pair)[0], "close")
        assert pids_seen(collected, (client, server)) == {client.pid}
    assert shown.cgroup == child_cgroup.path
    assert {r.cgroup for r in collected.of(TcpRecord, [client.pid])} == {child_cgroup.path}
