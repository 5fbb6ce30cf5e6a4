"""Connections that have it hard: segments get lost, nobody listens, nobody answers."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time

from ebtop.demo import network
from ebtop.demo.loss import ALL, NONE, Loss, lose
from ebtop.demo.network import connect

_CLOSED_PORT = 9100
_LOSSY = Loss(data=0.03)
_OUTAGE_EVERY_S, _OUTAGE_S = 5.0, 0.7
_BAD_LINE = Loss(syn=0.4)
_REFUSED_EVERY_S, _SLOW_EVERY_S, _HANGING_EVERY_S = 1.0, 0.7, 1.0
_PATIENCE_S = 1.5


def serve_database() -> None:
    """Loses one segment in thirty, and everything for a moment now and then: fast retransmits, probes and timeouts."""
    accepted: list[socket.socket] = []
    with socket.create_server((network.ORDERS_DB, network.DB_PORT), backlog=16) as server:
        lose(server, _LOSSY)
        threading.Thread(target=_cut_off, args=(accepted,)).start()
        while True:
            connection, _ = server.accept()
            accepted.append(connection)
            threading.Thread(target=_read, args=(connection, accepted)).start()


def _read(connection: socket.socket, accepted: list[socket.socket]) -> None:
    with connection, contextlib.suppress(OSError):
        while data := connection.recv(1 << 16):
            connection.sendall(data[: len(data) // 100 + 1])
    accepted.remove(connection)


def _cut_off(accepted: list[socket.socket]) -> None:
    for turn in itertools.count():
        time.sleep(_OUTAGE_EVERY_S)
        if accepted:
            with contextlib.suppress(OSError):  # closed meanwhile
                victim = accepted[turn % len(accepted)]
                lose(victim, ALL)
                time.sleep(_OUTAGE_S)
                lose(victim, _LOSSY)


def serve_identity() -> None:
    """One address where many a SYN gets lost, one where all do."""
    with (
        socket.create_server((network.IDENTITY, network.LDAP_PORT)) as slow,
        socket.create_server((network.ARCHIVE, network.LDAP_PORT)) as deaf,
    ):
        lose(slow, _BAD_LINE)
        lose(deaf, ALL)
        while True:
            connection, _ = slow.accept()
            connection.close()


def scrape() -> None:
    """Connects that are refused, slow, given up, or time out."""
    trials = (
        (_REFUSED_EVERY_S, _try_closed_port),
        (_SLOW_EVERY_S, _try_bad_line),
        (_SLOW_EVERY_S, _try_with_lost_answers),
        (_HANGING_EVERY_S, _try_deaf_host_for_a_while),
        (_HANGING_EVERY_S, _try_deaf_host_to_the_end),
    )
    threads = [threading.Thread(target=_repeat, args=trial) for trial in trials]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _repeat(every_s: float, trial: object) -> None:
    assert callable(trial)
    while True:
        with contextlib.suppress(OSError):
            trial()
        time.sleep(every_s)


def _try_closed_port() -> None:
    connect(network.EXPORTER, _CLOSED_PORT, network.METRICS).close()


def _try_bad_line() -> None:
    connect(network.IDENTITY, network.LDAP_PORT, network.METRICS).close()


def _try_with_lost_answers() -> None:
    """The SYN arrives, its answer does not until a second has passed."""
    with socket.socket() as connecting:
        connecting.bind((network.METRICS, 0))
        lose(connecting, ALL)
        heal = threading.Timer(_PATIENCE_S / 2, lose, (connecting, NONE))
        heal.start()
        try:
            connecting.settimeout(_PATIENCE_S * 4)
            connecting.connect((network.IDENTITY, network.LDAP_PORT))
        finally:
            heal.join()


def _try_deaf_host_for_a_while() -> None:
    connect(network.ARCHIVE, network.LDAP_PORT, network.METRICS, _PATIENCE_S).close()


def _try_deaf_host_to_the_end() -> None:
    """The kernel gives up after one repetition."""
    with socket.socket() as connecting:
        connecting.bind((network.METRICS, 0))
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
        connecting.connect((network.ARCHIVE, network.LDAP_PORT))
