"""`trace --filter` on real programs and connections: what is printed, and what the kernel already dropped."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.lab import cpu, execs
from tests.lab.actor import Actor, Opened, transfer
from tests.lab.cgroup import ChildCgroup
from tests.lab.tracing import Trace

pytestmark = pytest.mark.usefixtures("root")


def split(lines: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Records, and the stats of each probe."""
    records = [line for line in lines if line["type"] != "stats"]
    return records, {line["probe"]: line for line in lines if line["type"] == "stats"}


def test_every_exec_that_was_asked_for_and_no_other() -> None:
    wanted = f"type:exec (comm:{execs.LEAF_COMM} ret:0 or cmd:no-such-command)"
    with Trace("exec", "--filter", wanted) as trace:
        storm = execs.exec_storm(30)
        case = execs.exec_case("path-search")
        records, stats = split(trace.end(signal.SIGINT).objects)
    assert {line["type"] for line in records} == {"exec"}
    assert {line["comm"] for line in records} == {execs.LEAF_COMM}
    pids = [line["pid"] for line in records]
    assert len(pids) == len(set(pids)), "a failed attempt was printed as well"
    assert {done.pid for done in storm.execs} | {case.pid} <= set(pids)
    # No kind of value restricts all alternatives: everything came here, and the rest was counted.
    assert stats["exec"]["events"] == len(records) + stats["exec"]["filtered"]
    assert stats["exec"]["filtered"] >= len(storm.execs) + len(case.failures)
    assert stats["exec"]["lost"] == 0


def test_what_the_kernel_can_decide_never_gets_here(child_cgroup: ChildCgroup) -> None:
    expression = f"cgroup:{child_cgroup.path} comm:{execs.LEAF_COMM} signal!=0"
    with Trace("exec", "--filter", expression) as trace:
        execs.exec_storm(20)
        storm = execs.exec_storm(60, enter=child_cgroup.enter)
        records, stats = split(trace.end(signal.SIGINT).objects)
    seen = {(line["type"], line["pid"]) for line in records}
    killed = {done.pid for done in storm.execs if done.signal}
    ours = {done.pid for done in storm.execs}
    assert {pid for kind, pid in seen if kind == "exec"} == ours, "an exec has no signal: the term is not about it"
    assert {pid for kind, pid in seen if kind == "exit"} == killed
    assert 0 < len(killed) < len(ours)
    assert stats["exec"]["events"] == len(records) + stats["exec"]["filtered"]
    assert stats["exec"]["filtered"] == len(ours) - len(killed), "the kernel let something else through"


def test_a_filter_and_an_option_must_both_hold(client: Actor, server: Actor) -> None:
    with Trace("exec", "--pid", str(client.pid), "--filter", f"comm:{execs.LEAF_COMM}") as trace:
        execs.exec_storm(5)
        records, stats = split(trace.end(signal.SIGINT).objects)
    assert records == []
    assert (stats["exec"]["events"], stats["exec"]["filtered"]) == (0, 0)


def test_connections_by_port_direction_and_bytes(client: Actor, server: Actor) -> None:
    first, second = server.listen("127.0.0.1"), server.listen("127.0.0.1")
    with Trace(
        "tcp", "--filter", f"dport:{first.port},{second.port} dir:out (bytes>=64k or dport:{first.port})"
    ) as trace:
        for listener, size in ((first, 10), (second, 65_536), (second, 65_535)):
            server.start("accept", listener.socket)
            outgoing = client.connect("127.0.0.1", listener.port)
            incoming = Opened(server.finish()["socket"], 0)
            transfer(client, outgoing, server, incoming, size)
            client.close(outgoing)
            server.close(incoming)
        records, _ = split(trace.end(signal.SIGINT).objects)
    assert {line["direction"] for line in records} == {"out"}
    ends = [(line["dport"], line["tx_bytes"]) for line in records if line["event"] == "close"]
    assert ends == [(first.port, 10), (second.port, 65_536)]
    assert {line["dport"] for line in records if line["event"] == "connect"} == {first.port}


def test_slow_connects_do_not_hide_the_rest_of_a_process(client: Actor, server: Actor) -> None:
    listener = server.listen("127.0.0.1")
    server.close(listener)
    both = ("--min-latency", "0", "--filter", f"pid:{client.pid} lat>1h")
    with Trace("connects,tcp", *both) as trace:
        client.fail_to_connect("127.0.0.1", listener.port)
        records, stats = split(trace.end(signal.SIGINT).objects)
    assert {line["type"] for line in records} == {"tcp"}
    assert {line["pid"] for line in records} == {client.pid}
    assert (stats["connects"]["events"], stats["connects"]["filtered"]) == (1, 1)


def test_samples_of_one_cgroup(child_cgroup: ChildCgroup) -> None:
    expression = f"cgroup:{child_cgroup.path} not comm:nobody"
    with cpu.Hot(60) as outside, cpu.Hot(60, enter=child_cgroup.enter) as inside:
        assert outside.pid != inside.pid
        with Trace("cpu", "--rate", "199", "--duration", "1s", "--filter", expression) as trace:
            records, stats = split(trace.end().objects)
    assert {line["pid"] for line in records} == {inside.pid}
    assert sum(line["count"] for line in records) == stats["cpu"]["events"] > 0
    assert stats["cpu"]["filtered"] == 0


def test_samples_that_are_left_out_are_counted() -> None:
    with (
        cpu.Hot(60),
        Trace("cpu", "--rate", "199", "--duration", "1s", "--filter", f"pid!={os.getpid()} samples>9") as t,
    ):
        records, stats = split(t.end().objects)
    assert sum(line["count"] for line in records) + stats["cpu"]["filtered"] == stats["cpu"]["events"]
    assert stats["cpu"]["filtered"] > 0
