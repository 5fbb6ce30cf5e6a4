"""The workloads' own truth, checked against the kernel's counters and against itself."""

from __future__ import annotations

import errno
import os
import struct
from collections import Counter
from pathlib import Path

import pytest

from tests.lab import bpf_objects, cgroup, cpu, execs, net, tcp
from tests.lab.actor import Actor, connect, transfer

pytestmark = pytest.mark.usefixtures("root")

SEGMENT = 1448
BPF_MAP_CREATE = 0
BPF_MAP_TYPE_ARRAY = 2


def _forks() -> int:
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("processes "))
    return int(line.split()[1])


def test_exec_storm_execs_as_often_as_it_says() -> None:
    before = _forks()
    storm = execs.exec_storm(2000, processes=2)
    assert _forks() - before >= 2000
    assert len({e.args for e in storm.execs}) == 2000
    assert {e.pid for e in storm.execs}.isdisjoint(e.ppid for e in storm.execs)
    for number, done in enumerate(storm.execs):
        verdict = int(done.args[1])
        assert done.args[2] == b"n=%d" % number
        assert (done.exit_code, done.signal) == ((verdict, 0) if verdict >= 0 else (0, -verdict))


def test_exec_storm_brings_every_kind_of_argument() -> None:
    args = {arg for e in execs.exec_storm(64).execs for arg in e.args[3:]}
    assert {b"", b"two words", "größe".encode(), b"\033[31mred\033[0m\a", b"\xc3", b"-a39"} <= args
    assert max(map(len, args)) == 1500


@pytest.mark.parametrize("leaf", execs.Leaf)
def test_every_leaf_ends_as_told(leaf: execs.Leaf) -> None:
    storm = execs.exec_storm(48, leaf=leaf)
    assert [e.exit_code for e in storm.execs if not e.signal] == [i for i in range(48) if i % 16 != 9]
    assert [e.signal for e in storm.execs if e.signal] == [9, 15, 10]


FAILURES = {
    "path-search": [errno.ENOENT] * 5,
    "enoent": [errno.ENOENT],
    "eacces": [errno.EACCES],
    "enoexec": [errno.ENOEXEC],
    "e2big": [errno.E2BIG],
}
ENDS = {
    "path-search": (3, 0),
    "empty-path": (5, 0),
    "shebang": (6, 0),
    "huge-argv": (8, 0),
    "hostile-name": (9, 0),
    "thread-exec": (10, 0),
    "leader-exits-first": (11, 0),
    "killed-by-thread": (0, 9),
    "segfault": (0, 11),
}


@pytest.mark.parametrize("name", execs.CASES)
def test_exec_case(name: str) -> None:
    case = execs.exec_case(name)
    assert [f.errno for f in case.failures] == FAILURES.get(name, [])
    assert (case.exit_code, case.signal) == ENDS.get(name, (0, 0))
    own_thread = name in ("thread-exec", "leader-exits-first", "leader-exits-first-quietly", "killed-by-thread")
    assert (case.tid != case.pid) == own_thread
    assert (case.args_bytes > 300_000) == (name == "huge-argv")


@pytest.mark.parametrize("server", tcp.SERVERS)
def test_both_ends_of_a_tcp_storm_agree(server: str) -> None:
    storm = tcp.tcp_storm(600, server=server)
    assert Counter((c.family, c.ending) for c in storm.connections) == {
        (family, ending): 20 for family in tcp.FAMILIES for ending in tcp.ENDINGS
    }
    for c in storm.connections:
        assert (c.client_tx, c.client_rx) == (c.server_rx, c.server_tx)
        assert (c.server_pid == storm.listener_pid) == (server != "forked")
    silent = {c.ending for c in storm.connections if c.client_tx + c.server_tx == 0}
    assert silent == {"empty", "early-reset"}


def test_storms_keep_to_a_rate() -> None:
    assert execs.exec_storm(100, per_second=1000).per_second <= 1011
    assert tcp.tcp_storm(100, per_second=1000).per_second <= 1011


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_actors_count_what_they_move(client: Actor, server: Actor, address: str) -> None:
    pair = connect(client, server, address)
    transfer(client, pair.client, server, pair.server, 1_000_000)
    transfer(server, pair.server, client, pair.client, 777)
    assert client.close(pair.client) == (1_000_000, 777)
    assert server.receive(pair.server, 1) == (777, 1_000_000)


def test_refused_connect(client: Actor, server: Actor) -> None:
    listener = server.listen("127.0.0.1")
    server.close(listener)
    assert client.fail_to_connect("127.0.0.1", listener.port).errno == errno.ECONNREFUSED


def test_every_dropped_segment_is_retransmitted(segment_lab: net.NetLab) -> None:
    a, b = segment_lab.a, segment_lab.b
    with Actor("ebt-client", a.path) as client, Actor("ebt-server", b.path) as server:
        pair = connect(client, server, b.ipv4)
        drop = b.drop(net.DATA, net.percent(10))
        before = a.counters()
        transfer(client, pair.client, server, pair.server, 500 * SEGMENT)
        counted = net.growth(before, a.counters())
    assert drop.packets > 0
    assert counted["Tcp.RetransSegs"] >= drop.packets
    assert counted["TcpExt.TCPFastRetrans"] > 0


@pytest.mark.parametrize(
    ("dropped", "counter"), [(3, "TcpExt.TCPFastRetrans"), (10, "TcpExt.TCPLossProbes")], ids=["fast", "tlp"]
)
def test_one_lost_segment(segment_lab: net.NetLab, dropped: int, counter: str) -> None:
    a, b = segment_lab.a, segment_lab.b
    with Actor("ebt-client", a.path) as client, Actor("ebt-server", b.path) as server:
        pair = connect(client, server, b.ipv4)
        transfer(client, pair.client, server, pair.server, 10 * SEGMENT)
        drop = b.drop(net.DATA, net.nth(dropped))
        before = a.counters()
        transfer(client, pair.client, server, pair.server, 10 * SEGMENT)
        counted = net.growth(before, a.counters())
    assert drop.packets == 1
    assert counted["Tcp.RetransSegs"] >= 1
    assert counted[counter] >= 1


def test_black_hole_causes_timeouts_until_healed(net_lab: net.NetLab) -> None:
    a, b = net_lab.a, net_lab.b
    with Actor("ebt-client", a.path) as client, Actor("ebt-server", b.path) as server:
        pair = connect(client, server, b.ipv6)
        b.drop()
        before = a.counters()
        client.send(pair.client, 1000)
        a.wait_for(lambda now: now["TcpExt.TCPTimeouts"] > before["TcpExt.TCPTimeouts"])
        b.heal()
        assert server.receive(pair.server, 1000).rx == 1000


def test_lost_syn_and_syn_ack(net_lab: net.NetLab) -> None:
    a, b = net_lab.a, net_lab.b
    syn, syn_ack = b.drop(net.SYN, "tcp dport 1001", net.first(1)), a.drop(net.SYN_ACK, "tcp sport 1002", net.first(1))
    b.drop(net.SYN, "tcp dport 1002", net.nth(2))  # the server would answer it before its own timer runs out
    before_a, before_b = a.counters(), b.counters()
    with Actor("ebt-syn", a.path) as one, Actor("ebt-syn-ack", a.path) as two, Actor("ebt-server", b.path) as server:
        for port in (1001, 1002):
            server.listen(b.ipv4, port)
        one.start("connect", b.ipv4, 1001)
        two.start("connect", b.ipv4, 1002)
        assert one.finish()["ms"] > 900
        assert two.finish()["ms"] > 900
    assert (syn.packets, syn_ack.packets) == (1, 1)
    counted_a, counted_b = net.growth(before_a, a.counters()), net.growth(before_b, b.counters())
    assert counted_a["TcpExt.TCPSynRetrans"] == 2
    assert counted_b["TcpExt.TCPSynRetrans"] >= 1
    assert "TcpExt.TCPTimeouts" in counted_b


def test_connects_that_lead_nowhere(net_lab: net.NetLab) -> None:
    a, b = net_lab.a, net_lab.b
    a.sysctl("ipv4.neigh.va.retrans_time_ms", 50)
    b.drop("tcp dport 1001")
    with Actor("ebt-client", a.path) as client:
        assert client.fail_to_connect(net_lab.absent_ipv4, 80).errno == errno.EHOSTUNREACH
        assert client.fail_to_connect(net_lab.no_route_ipv4, 80).errno == errno.ENETUNREACH
        assert client.fail_to_connect(b.ipv4, 1001, limit_ms=50).errno == errno.ETIMEDOUT
        assert client.fail_to_connect(b.ipv4, 1002).errno == errno.ECONNREFUSED


def test_network_lab_leaves_nothing_behind() -> None:
    with net.NetLab() as lab:
        paths = lab.a.path, lab.b.path
        assert all(path.exists() for path in paths)
    assert not any(path.exists() for path in paths)


def test_hot_functions_have_their_shares() -> None:
    with cpu.Hot(0.3, threads=2) as hot:
        names = {Path(f"/proc/{hot.pid}/comm").read_text().strip()}
        truth = hot.truth()
    assert names == {cpu.COMM}
    assert len({thread.tid for thread in truth}) == 2
    for thread in truth:
        assert sum(thread.functions.values()) == pytest.approx(thread.cpu_s, rel=0.02)
        for name, share in cpu.SHARES.items():
            assert thread.functions[name] / thread.cpu_s == pytest.approx(share, abs=0.1)


def test_system_time_is_the_kernels() -> None:
    with cpu.System(0.2) as system:
        truth = system.truth()
    assert truth.system_s > 0.8 * (truth.user_s + truth.system_s)


@pytest.mark.parametrize("frame_pointers", [True, False])
def test_every_stack_costs_one_fault(frame_pointers: bool) -> None:
    with cpu.Stacks(16, 1, frame_pointers=frame_pointers) as stacks:
        truth = stacks.go()
    assert truth.stacks == 65536
    assert truth.minor_faults == truth.stacks * truth.times


@pytest.mark.parametrize("version", cgroup.hierarchies())
def test_child_cgroup_holds_its_workload(version: int) -> None:
    with cgroup.ChildCgroup(version) as child:
        with Actor("ebt-actor", enter=child.enter) as actor:
            places = Path(f"/proc/{actor.pid}/cgroup").read_text().splitlines()
            assert sum(place.endswith(f":{child.path}") for place in places) == 1
        assert child.id == os.stat(child.directory).st_ino
    assert not child.directory.exists()


def test_bpf_map_is_seen_and_seen_to_go() -> None:
    before = bpf_objects.held_by(os.getpid())
    array = struct.pack("IIIII", BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0)
    descriptor = bpf_objects.bpf(BPF_MAP_CREATE, array)
    made = bpf_objects.held_by(os.getpid()) - before
    assert len(made.maps) == 1
    assert made & bpf_objects.loaded() == made
    os.close(descriptor)
    bpf_objects.assert_gone(made)


def test_a_bpf_object_that_stays_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf_objects, "FREED_WITHIN_S", 0.0)
    descriptor = bpf_objects.bpf(BPF_MAP_CREATE, struct.pack("IIIII", BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0))
    try:
        with pytest.raises(AssertionError, match="still loaded"):
            bpf_objects.assert_gone(bpf_objects.held_by(os.getpid()))
    finally:
        os.close(descriptor)
