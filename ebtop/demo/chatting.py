"""Clients and a server that have much to say to each other, over connections of different volumes."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time

from ebtop.demo import network
from ebtop.demo.network import connect

_PORT = 8080
_KEPT = 6
_CHUNK = 8 << 10
_ROUND_S = 0.2
_SHORT_EVERY = 2
_RETRY_S = 0.2


def serve() -> None:
    """Answers a quarter of what it gets, over IPv4 and IPv6."""
    with contextlib.ExitStack() as stack:
        servers = (
            socket.create_server((network.API, _PORT), backlog=64),
            socket.create_server(("::1", _PORT), family=socket.AF_INET6, backlog=64),
        )
        threads = [threading.Thread(target=_accept, args=(stack.enter_context(server),)) for server in servers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _accept(server: socket.socket) -> None:
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_answer, args=(connection,)).start()


def _answer(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        while data := connection.recv(1 << 16):
            connection.sendall(data[: len(data) // 4 + 1])


def call() -> None:
    """A few connections stay open, the first with the least to say; others are short."""
    while True:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            kept = [stack.enter_context(connect(network.API, _PORT, network.WEB)) for _ in range(_KEPT)]
            kept.append(stack.enter_context(connect("::1", _PORT)))
            for number in itertools.count():
                _talk(kept)
                if number % _SHORT_EVERY == 0:
                    _check_health()
                time.sleep(_ROUND_S)
        time.sleep(_RETRY_S)


def _talk(connections: list[socket.socket]) -> None:
    for volume, connection in enumerate(connections, 1):
        connection.sendall(b"x" * _CHUNK * volume)
        connection.recv(1 << 16)


def _check_health() -> None:
    for address, source in ((network.API, network.WEB), ("::1", "")):
        with connect(address, _PORT, source) as short:
            short.sendall(b"GET /health HTTP/1.1\r\n\r\n")
            short.recv(100)
