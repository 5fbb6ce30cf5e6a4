"""Two network namespaces joined by a wire that loses what a test wants lost.

Loss is made by nftables where packets arrive, so the sender believes it sent them and the kernel's own counters of
retransmitted segments are the truth. (sch_netem is a module many kernels lack.)
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tests.lab.actor import Actor
from tests.lab.process import TIMEOUT_S

SYN = "tcp flags & (syn | ack) == syn"
SYN_ACK = "tcp flags & (syn | ack) == (syn | ack)"
DATA = "tcp flags & (syn | fin | rst) == 0 meta length > 200"
"""Packets with payload. Matches are nftables expressions; those below count the packets that got that far."""

_NETNS = Path("/run/netns")
_serial = itertools.count()


def first(count: int) -> str:
    """The first `count` of the packets that the expressions before it match."""
    return f"numgen inc mod 1000000000 < {count}"


def nth(number: int) -> str:
    """Only that one of them, counted from 1."""
    return f"numgen inc mod 1000000000 == {number - 1}"


def percent(share: float) -> str:
    """Each of them with that probability."""
    return f"numgen random mod 10000 < {round(share * 100)}"


class Drop:
    """A rule that drops arriving packets."""

    def __init__(self, namespace: Namespace, counter: str) -> None:
        self._namespace = namespace
        self._counter = counter

    @property
    def packets(self) -> int:
        """Dropped so far. A packet is up to 64 KiB unless the lab was made with `gso=False`."""
        said = json.loads(self._namespace.execute("nft", "-j", "list", "counter", "inet", "ebt", self._counter))
        return next(int(item["counter"]["packets"]) for item in said["nftables"] if "counter" in item)


class Namespace:
    """One end of the wire, with its addresses, rules and counters."""

    def __init__(self, name: str, device: str, ipv4: str, ipv6: str) -> None:
        self.name = name
        self.path = _NETNS / name
        self.device = device
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self._drops = itertools.count()
        self._keeper = Actor("ebt-keeper", self.path)

    @property
    def inode(self) -> int:
        """What the kernel calls this namespace (net.ns.inum)."""
        return self.path.stat().st_ino

    def execute(self, *command: str, stdin: str = "") -> str:
        """Run a command inside; returns what it printed."""
        full = ["ip", "netns", "exec", self.name, *command]
        done = subprocess.run(full, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S)
        if done.returncode:
            raise RuntimeError(f"{' '.join(full)}: {done.stderr.strip()}")
        return done.stdout

    def drop(self, *matches: str) -> Drop:
        """Drop arriving packets that match all of these (none: every packet, a black hole)."""
        counter = f"drop{next(self._drops)}"
        self.execute("nft", "-f", "-", stdin=(
            "add table inet ebt\n"
            "add chain inet ebt arriving { type filter hook prerouting priority raw; }\n"
            f"add counter inet ebt {counter}\n"
            f"add rule inet ebt arriving {' '.join(matches)} counter name {counter} drop\n"
        ))  # fmt: skip
        return Drop(self, counter)

    def refuse_with_icmp(self, *matches: str) -> None:
        """Answer arriving packets that match with ICMP host unreachable."""
        self.execute("nft", "-f", "-", stdin=(
            "add table inet ebt\n"
            "add chain inet ebt input { type filter hook input priority filter; }\n"
            f"add rule inet ebt input {' '.join(matches)} reject with icmpx type host-unreachable\n"
        ))  # fmt: skip

    def heal(self) -> None:
        """Remove all rules; what they dropped can still be read."""
        self.execute("nft", "-f", "-", stdin="add table inet ebt\nflush table inet ebt\n")

    def sysctl(self, name: str, value: object) -> None:
        """Set net.NAME, which is this namespace's own."""
        self.execute("sysctl", "-q", "-w", f"net.{name}={value}")

    def limit_rate(self, bits_per_second: int, queue_bytes: int) -> None:
        """Send no faster than that and drop what does not fit the queue (tail drops, by the sender's own qdisc)."""
        limits = ("rate", f"{bits_per_second}bit", "burst", "5kb", "limit", str(queue_bytes))
        self.execute("tc", "qdisc", "replace", "dev", self.device, "root", "tbf", *limits)

    def counters(self) -> dict[str, int]:
        """The kernel's counters of this namespace: "Tcp.RetransSegs", "TcpExt.TCPLossProbes"...

        Source: /proc/net/snmp and /proc/net/netstat.
        """
        values: dict[str, int] = {}
        for table in ("snmp", "netstat"):
            lines = iter(Path(f"/proc/{self._keeper.pid}/net/{table}").read_text().splitlines())
            for names, numbers in zip(lines, lines, strict=True):
                prefix, _, rest = names.partition(":")
                for name, number in zip(rest.split(), numbers.split()[1:], strict=True):
                    values[f"{prefix}.{name}"] = int(number)
        return values

    def wait_for(self, enough: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        """The counters as soon as `enough` says so; TimeoutError when that does not come."""
        deadline = time.monotonic() + TIMEOUT_S
        while not enough(counters := self.counters()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"counters of {self.name} never got there")
            time.sleep(0.005)
        return counters

    def close(self) -> None:
        self._keeper.stop()


def growth(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What has been counted between two readings; names that did not move are left out, others read as 0."""
    return {name: value - before[name] for name, value in after.items() if value != before[name]}


class NetLab:
    """Namespaces `a` and `b` with a wire between them, gone after the `with` block.

    gso=False makes every packet on the wire one segment, so that rules drop segments.
    """

    absent_ipv4 = "10.99.0.99"
    absent_ipv6 = "fd99::99"
    """On the wire's subnet, but nobody answers for them."""
    no_route_ipv4 = "10.98.0.1"

    def __init__(self, gso: bool = True) -> None:
        _remove_orphans()
        stem = f"ebt-{os.getpid()}-{next(_serial)}"
        self._names = (f"{stem}a", f"{stem}b")
        try:
            for name in self._names:
                _ip("netns", "add", name)
            _ip("link", "add", "va", "netns", self._names[0], "type", "veth", "peer", "vb", "netns", self._names[1])
            ends = (self._names[0], "va"), (self._names[1], "vb")
            for name, device in ends:
                if not gso:
                    _ip("-n", name, "link", "set", device, "gso_max_segs", "1")
                _ip("-n", name, "link", "set", "lo", "up")
                _ip("-n", name, "link", "set", device, "up")
            # Addresses after both ends have a carrier: IPv6 neighbour discovery loses a second otherwise.
            self.a = self._addressed(*ends[0], 1)
            self.b = self._addressed(*ends[1], 2)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _addressed(name: str, device: str, host: int) -> Namespace:
        ipv4, ipv6 = f"10.99.0.{host}", f"fd99::{host}"
        _ip("-n", name, "addr", "add", f"{ipv4}/24", "dev", device)
        _ip("-n", name, "addr", "add", f"{ipv6}/64", "dev", device, "nodad")
        return Namespace(name, device, ipv4, ipv6)

    def __enter__(self) -> NetLab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the namespaces and with them the wire. Processes still inside keep theirs until they end."""
        for end in ("a", "b"):
            if hasattr(self, end):
                getattr(self, end).close()
        for name in self._names:
            if (_NETNS / name).exists():
                _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _remove_orphans() -> None:
    """Namespaces of test runs that were killed."""
    for path in _NETNS.glob("ebt-*"):
        owner = re.fullmatch(r"ebt-(\d+)-\d+[ab]", path.name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            _ip("netns", "del", path.name)
