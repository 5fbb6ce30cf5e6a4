"""The storms that tools are compared on, and how to find their events in a tool's output."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tests.lab import build, execs, tcp
from tests.lab.process import Workload

SPARKS_PER_SECOND = 500


@dataclass(frozen=True)
class Found:
    """What a tool's output says of a storm. None where the tool does not say it at all."""

    seen: int
    expected: int
    right_owner: int | None = None
    """Of the seen ones, those with the right pid."""
    right_bytes: int | None = None
    """Of the seen ones, those with both byte counts exact."""


Reader = Callable[[bytes], Found]
"""Takes all that a tool printed."""


@dataclass(frozen=True)
class Load:
    """How many times a storm does its thing, and how often a second at most (0: at full speed)."""

    count: int
    per_second: int = 0

    def __str__(self) -> str:
        return f"{self.count} at {f'{self.per_second} a second' if self.per_second else 'full speed'}"


class Storm(Protocol):
    """One kind of load."""

    spark_pattern: re.Pattern[bytes]
    """Matches what any tool prints of a spark."""

    def sparks(self) -> Workload:
        """Start the same events as the storm's, slowly and told apart from them: something to see first."""

    def run(self, load: Load) -> Result:
        """Do it, and return when all of it is over."""


@dataclass(frozen=True)
class Result:
    """What a storm did: in how long, how many events, and how each way of printing is read."""

    elapsed_s: float
    events: int
    readers: dict[str, Reader]


class ExecStorm:
    """vfork, exec and exit of the smallest program; an event is one of these lives."""

    spark_pattern = re.compile(rb"ebt-spark")

    def sparks(self) -> Workload:
        storm = build.binary("exec_storm", execs.STORM_COMM)
        spark = build.binary("exec_leaf", "ebt-spark", execs.Leaf.BARE.value)
        return Workload([storm, "1000000", "1", str(SPARKS_PER_SECOND), spark])

    def run(self, load: Load) -> Result:
        storm = execs.exec_storm(load.count, per_second=load.per_second)
        pids = {e.pid for e in storm.execs}

        def arguments(output: bytes) -> Found:
            # The arguments name each exec: quoted or not, "ebt-leaf 7 n=7" is in every line.
            seen = {int(n) for n in re.findall(rb"ebt-leaf\W+\d+\W+n=(\d+)", output)}
            return Found(len(seen & set(range(load.count))), load.count)

        def exits(output: bytes) -> Found:
            seen = {int(pid) for pid in re.findall(rb"ebt-leaf +(\d+)", output)}
            return Found(len(seen & pids), len(pids))

        def ebtop(output: bytes) -> Found:
            records = [json.loads(line) for line in output.splitlines()]
            ended = {r["pid"] for r in records if r["type"] == "exit"} & pids
            named = arguments(b"\n".join(line for line in output.splitlines() if b'"exec"' in line))
            return Found(named.seen + len(ended), load.count + len(pids))

        return Result(storm.elapsed_s, load.count, {"arguments": arguments, "exits": exits, "ebtop": ebtop})


class TcpStorm:
    """Short loopback connections, IPv4 and IPv6, closed in every way; an event is the life of one socket."""

    spark_pattern = re.compile(rb"ebt-tcp")

    def sparks(self) -> Workload:
        options = ("-n", "1000000", "-c", "1", "-r", str(SPARKS_PER_SECOND))
        return Workload([build.binary("tcp_storm", "ebt-tcp-storm"), *options])

    def run(self, load: Load) -> Result:
        storm = tcp.tcp_storm(load.count, per_second=load.per_second)
        times = Counter((c.client_port, c.server_port) for c in storm.connections)
        ends: dict[tuple[int, int], tuple[int, int, int]] = {}
        for c in storm.connections:
            if times[c.client_port, c.server_port] == 1:
                ends[c.client_port, c.server_port] = (c.client_pid, c.client_tx, c.client_rx)
                ends[c.server_port, c.client_port] = (c.server_pid, c.server_tx, c.server_rx)

        def columns(output: bytes) -> Found:
            rows = re.findall(rb"^(\d+) +\S+ +\S+ +(\d+) +\S+ +(\d+) ", output, re.MULTILINE)
            pids = {(int(local), int(remote)): int(pid) for pid, local, remote in rows}
            seen = pids.keys() & ends.keys()
            return Found(len(seen), len(ends), sum(pids[key] == ends[key][0] for key in seen))

        def ebtop(output: bytes) -> Found:
            closed = {}
            for record in map(json.loads, output.splitlines()):
                if record["type"] == "tcp" and record["event"] == "close":
                    closed[record["sport"], record["dport"]] = record
            seen = closed.keys() & ends.keys()
            owners = sum(closed[key]["pid"] == ends[key][0] for key in seen)
            tallies = sum((closed[key]["tx_bytes"], closed[key]["rx_bytes"]) == ends[key][1:] for key in seen)
            return Found(len(seen), len(ends), owners, tallies)

        return Result(storm.elapsed_s, 2 * load.count, {"columns": columns, "ebtop": ebtop})


STORMS: dict[str, Storm] = {"exec": ExecStorm(), "tcp": TcpStorm()}
