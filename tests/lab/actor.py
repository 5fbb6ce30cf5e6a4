"""A process that opens, uses and ends TCP connections on command, so that a test decides what happens when."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tests.lab import build
from tests.lab.process import Workload


class Opened(NamedTuple):
    """A socket of an actor."""

    socket: int
    port: int
    """Of a listener and a connector its own, of an accepted connection the peer's."""


class Totals(NamedTuple):
    """Payload bytes of one socket so far: accepted by the kernel for sending, and read."""

    tx: int
    rx: int


class ConnectFailure(NamedTuple):
    """How a connect() failed (errno, positive; ETIMEDOUT also when the actor gave up) and how long it took."""

    errno: int
    ms: float


class Actor:
    """One process with the comm `comm`, in the named network namespace if one is given.

    Every method waits until the thing is done; `start` and `finish` do the same in two steps, for two actors
    that have to act at once. OSError when the system call failed.
    """

    def __init__(self, comm: str, netns: Path | None = None, enter: Callable[[], None] | None = None) -> None:
        program: list[str | Path] = [build.binary("tcp_actor", "ebt-tcp-actor"), comm]
        self._workload = Workload([*program, netns] if netns else program, enter)
        self.comm = comm
        self.pid: int = self.finish()["pid"]

    def __enter__(self) -> Actor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill it; the kernel closes its connections."""
        self._workload.stop()

    def start(self, *command: object) -> None:
        """Send a command (see c/tcp_actor.c) without waiting for the answer."""
        self._workload.tell(" ".join(map(str, command)))

    def answer(self) -> dict[str, Any]:
        """The answer to the oldest command not yet answered, whether it worked (`ok`) or not."""
        answer: dict[str, Any] = self._workload.read()
        return answer

    def finish(self) -> dict[str, Any]:
        """The same; raises OSError when the command failed."""
        answer = self.answer()
        if not answer["ok"]:
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        return answer

    def do(self, *command: object) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.start(*command)
        return self.finish()

    def listen(self, address: str, port: int = 0) -> Opened:
        return self._opened("listen", address, port)

    def accept(self, listener: Opened) -> Opened:
        return self._opened("accept", listener.socket)

    def connect(self, address: str, port: int, limit_ms: int = 0) -> Opened:
        return self._opened("connect", address, port, limit_ms)

    def fail_to_connect(self, address: str, port: int, limit_ms: int = 0) -> ConnectFailure:
        """A connect() that is known to fail; AssertionError when it does not."""
        self.start("connect", address, port, limit_ms)
        answer = self.answer()
        assert not answer["ok"], f"connected to {address} port {port}"
        return ConnectFailure(answer["errno"], answer["ms"])

    def send(self, socket: Opened, size: int) -> Totals:
        return self._totals("send", socket.socket, size)

    def receive(self, socket: Opened, size: int) -> Totals:
        return self._totals("receive", socket.socket, size)

    def acknowledged(self, socket: Opened) -> Totals:
        """Wait until the peer has acknowledged all that was sent."""
        return self._totals("acknowledged", socket.socket)

    def shutdown(self, socket: Opened) -> Totals:
        return self._totals("shutdown", socket.socket)

    def close(self, socket: Opened) -> Totals:
        return self._totals("close", socket.socket)

    def reset(self, socket: Opened) -> Totals:
        return self._totals("reset", socket.socket)

    def set_option(self, socket: Opened, level: int, name: int, value: int) -> None:
        self.do("option", socket.socket, level, name, value)

    def _opened(self, *command: object) -> Opened:
        answer = self.do(*command)
        return Opened(answer["socket"], answer["port"])

    def _totals(self, *command: object) -> Totals:
        answer = self.do(*command)
        return Totals(answer["tx"], answer["rx"])


class Pair(NamedTuple):
    """An open connection between two actors."""

    client: Opened
    server: Opened
    listener: Opened


def connect(client: Actor, server: Actor, address: str) -> Pair:
    """Connect `client` to `server`, which listens on `address` on a port of the kernel's choice."""
    listener = server.listen(address)
    server.start("accept", listener.socket)
    outgoing = client.connect(address, listener.port)
    answer = server.finish()
    return Pair(outgoing, Opened(answer["socket"], answer["port"]), listener)


def transfer(sender: Actor, outgoing: Opened, receiver: Actor, incoming: Opened, size: int) -> None:
    """Move `size` bytes from one actor to the other; returns when they are read and acknowledged."""
    receiver.start("receive", incoming.socket, size)
    sender.send(outgoing, size)
    receiver.finish()
    sender.acknowledged(outgoing)
