"""One sick service that does a little of everything, for going from a symptom to its cause."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time

from ebtop.demo import network
from ebtop.demo.network import connect

_KEPT = 3
_BURST, _ROW = 12, 1000
_PRICES = 6000
_ROUND_S = 0.1
_RETRY_S = 0.2
_LOG_IN_EVERY_S, _INVOICE_EVERY_S = 2.0, 1.5


def serve() -> None:
    """Prices goods, writes rows to the database, logs in at a server that is hard to reach, has invoices printed."""
    for every_s, work in ((_LOG_IN_EVERY_S, _log_in), (_INVOICE_EVERY_S, _print_invoice)):
        threading.Thread(target=_repeat, args=(every_s, work), daemon=True).start()
    while True:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            kept = [
                stack.enter_context(connect(network.ORDERS_DB, network.DB_PORT, network.ORDERS, 30.0))
                for _ in range(_KEPT)
            ]
            for connection in kept:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_discard, args=(connection.dup(),), daemon=True).start()
            while True:
                _price_goods()
                _write_rows(kept)
                time.sleep(_ROUND_S)
        time.sleep(_RETRY_S)


def _price_goods() -> float:
    return sum([_with_tax(net) for net in range(_PRICES)])


def _with_tax(net: int) -> float:
    return net * 1.19


def _write_rows(connections: list[socket.socket]) -> None:
    """Each row in a segment of its own."""
    for number, connection in enumerate(connections):
        for _ in range(_BURST >> number):
            connection.sendall(b"r" * _ROW)


def _discard(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        while connection.recv(1 << 16):
            pass


def _repeat(every_s: float, work: object) -> None:
    assert callable(work)
    while True:
        with contextlib.suppress(OSError):
            work()
        time.sleep(every_s)


def _log_in() -> None:
    connect(network.IDENTITY, network.LDAP_PORT, network.ORDERS).close()


def _print_invoice() -> None:
    subprocess.run(["/bin/sh", "-c", "date; exit 75"], stdout=subprocess.DEVNULL)
