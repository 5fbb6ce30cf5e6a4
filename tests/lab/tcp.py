"""TCP connections with known truth: a loopback storm, and processes that do what they are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.lab import build
from tests.lab.process import run

CLIENT_COMM = "ebt-tcp-client"
SERVER_COMM = "ebt-tcp-server"
WORKER_COMM = "ebt-tcp-worker"
"""A forked worker of the server."""
THREAD_COMM = "ebt-tcp-thread"
"""A thread of the server that serves; its process is called SERVER_COMM."""

FAMILIES = ("4", "6", "mapped")
"""mapped: both ends hold AF_INET6 sockets, the packets are IPv4."""

ENDINGS = (
    "client-first",
    "server-first",
    "both",
    "client-reset",
    "server-reset",
    "half-close",
    "send-only",
    "never-read",
    "empty",
    "early-reset",
)

SERVERS = ("single", "forked", "threads")
"""One process; a listener whose forked workers accept; an acceptor that hands over to threads."""


@dataclass(frozen=True)
class Connection:
    """One finished loopback connection. Bytes are payload, each pair counted by two processes independently."""

    family: str
    ending: str
    client_port: int
    server_port: int
    client_pid: int
    server_pid: int
    """Who accepted; with `forked` this is not who listened."""
    client_tx: int
    client_rx: int
    server_tx: int
    server_rx: int

    @property
    def ip(self) -> int:
        """4 or 6 as seen on the wire."""
        return 6 if self.family == "6" else 4

    @property
    def address(self) -> str:
        """Of both ends."""
        return "::1" if self.ip == 6 else "127.0.0.1"


@dataclass(frozen=True)
class TcpStorm:
    """What a storm did.

    The kernel may give a pair of ports to one connection after another when a reset freed them: compare with
    collections.Counter, not with a dict keyed by ports.
    """

    elapsed_s: float
    listener_pid: int
    connections: tuple[Connection, ...]

    @property
    def per_second(self) -> float:
        return len(self.connections) / self.elapsed_s


def tcp_storm(
    count: int,
    *,
    clients: int = 2,
    server: str = "single",
    workers: int = 2,
    per_second: int = 0,
    families: Sequence[str] = FAMILIES,
    endings: Sequence[str] = ENDINGS,
    enter: Callable[[], None] | None = None,
) -> TcpStorm:
    """`count` connections over loopback by `clients` processes; `per_second` 0 = at full speed.

    The families and endings are mixed evenly; `enter` is as for Workload. Raises RuntimeError when the two ends
    do not agree on which connections there were: then there is no truth to compare with.
    """
    options = ["-n", str(count), "-c", str(clients), "-k", server, "-s", str(workers), "-r", str(per_second)]
    options += ["-f", "".join("46m"[FAMILIES.index(f)] for f in families)]
    options += ["-e", "".join(str(ENDINGS.index(e)) for e in endings)]
    said = run([build.binary("tcp_storm", "ebt-tcp-storm"), *options], enter)
    connections = []
    # Sorted by family, ending, ports and time, both lists name the same connections in the same order.
    for client_end, server_end in zip(sorted(said["client"]), sorted(said["server"]), strict=True):
        if client_end[:4] != server_end[:4]:
            raise RuntimeError(f"client and server do not name the same connections: {client_end}, {server_end}")
        family, ending, client_port, server_port, _, client_pid, client_tx, client_rx = client_end
        server_pid, server_tx, server_rx = server_end[5:]
        pids, ports = (client_pid, server_pid), (client_port, server_port)
        tallies = (client_tx, client_rx, server_tx, server_rx)
        connections.append(Connection(family, ending, *ports, *pids, *tallies))
    return TcpStorm(said["elapsed_s"], said["listener_pid"], tuple(connections))
