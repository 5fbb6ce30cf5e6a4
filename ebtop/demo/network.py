"""A network namespace of the workload's own, in which nothing but itself can be reached."""

from __future__ import annotations

import fcntl
import socket
import struct

from ebtop.kernel import syscall

API, ORDERS_DB, IDENTITY, EXPORTER, ARCHIVE = (f"10.20.0.{host}" for host in (10, 20, 30, 40, 50))
"""Who serves."""
DB_PORT, LDAP_PORT = 5432, 636
WEB, ORDERS, METRICS = (f"10.20.0.{host}" for host in (11, 21, 41))
"""Who calls."""

_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
_IFF_UP, _IFF_RUNNING = 0x1, 0x40


def make_private() -> None:
    """Move the caller, and what it forks from now on, into a new namespace where all of 10.20.0.0/24 is local.

    Raises OSError: it takes CAP_SYS_ADMIN. The namespace ends with its last process.
    """
    syscall.unshare(syscall.CLONE_NEWNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("=16sH22x", b"lo", _IFF_UP | _IFF_RUNNING))
        # On the loopback device the kernel takes every address of the net for one of its own.
        for request, address in ((_SIOCSIFADDR, "10.20.0.1"), (_SIOCSIFNETMASK, "255.255.255.0")):
            value = struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, request, struct.pack("=16s24s", b"lo:1", value))


def connect(address: str, port: int, source: str = "", timeout_s: float = 5.0) -> socket.socket:
    """An open connection. Raises OSError."""
    return socket.create_connection((address, port), timeout_s, (source, 0) if source else None)
