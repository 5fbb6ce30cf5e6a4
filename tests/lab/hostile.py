"""Processes whose names, arguments and cgroup would do harm in a terminal or a markup parser, seen by every probe.

As a program: python -m tests.lab.hostile DIRECTORY runs one process for each of NAMES in a network namespace of their
own and a cgroup below DIRECTORY each, until its standard input closes. Each burns CPU, starts programs with hostile
arguments, and has connections that lose segments, are refused, and stay open.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

from ebtop.demo import network
from ebtop.demo.loss import Loss, lose
from ebtop.demo.pace import Pace
from ebtop.kernel import syscall

NAMES = (
    b"\x1b]0;PWNED\x07",
    b"\x1b[41;37mRED",
    b"\x9b41mC1",
    b"a[/foo]b",
    b"[bold]x[/]",
    b"\xe2\x80\xaertl\xe2\x80\xac",
    b"two\nlines\ttab",
    "漢字漢字漢".encode(),
    b"\xff\xfebad\xc3",
    b"100%{x}$(y)",
)
"""Each at most 15 bytes, what the kernel keeps of a name."""
RAW = (
    b"\x1b]0;PWNED",
    b"\x1b[41;37mRED",
    b"\x9b41m",
    b"\xc2\x9b41m",
    b"\xe2\x80\xaertl",
    b"two\nlines",
    b"\xff\xfebad",
)
"""What must never be among the bytes that go to a terminal."""
SHOWN = (r"\x1b]0;PWNED", "a[/foo]b", "[bold]x[/]", r"\u202ertl", r"two\x0alines", "漢字")
"""How some of them look when they are shown as they are."""


def main() -> None:
    network.make_private()
    for number, name in enumerate(NAMES):
        if os.fork() == 0:
            try:
                _work(name, number)
            finally:
                os._exit(1)
    print("ready", flush=True)
    sys.stdin.read()


def _work(name: bytes, number: int) -> None:
    syscall.end_with_parent()
    # Folders can be called anything but these.
    cgroup = os.path.join(os.fsencode(sys.argv[1]), name.replace(b"\n", b" ").replace(b"/", b"|") + b"%d" % number)
    os.mkdir(cgroup)
    with open(os.path.join(cgroup, b"cgroup.procs"), "w", encoding="ascii") as file:
        file.write("0")
    with open("/proc/self/comm", "wb") as file:
        file.write(name)
    address = f"10.20.0.{100 + number}"
    with socket.create_server((address, 80)) as server:
        lose(server, Loss(data=0.2))
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        threading.Thread(target=_call, args=(address,), daemon=True).start()
        threading.Thread(target=_spawn, args=(name,), daemon=True).start()
        pace = Pace(0.02)
        while True:
            sum(range(20_000))
            pace.rest()


def _serve(server: socket.socket) -> None:
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_read, args=(connection,), daemon=True).start()


def _read(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        while connection.recv(1 << 16):
            pass


def _call(address: str) -> None:
    with network.connect(address, 80, timeout_s=60.0) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            for _ in range(8):
                connection.sendall(b"x" * 500)
            with contextlib.suppress(OSError):
                network.connect(address, 9)
            time.sleep(0.3)


def _spawn(name: bytes) -> None:
    while True:
        subprocess.run([name, name, b"--" + name], executable="/bin/true", stderr=subprocess.DEVNULL)
        with contextlib.suppress(OSError):
            subprocess.run([b"/nowhere/" + name], stderr=subprocess.DEVNULL)
        time.sleep(1.0)


if __name__ == "__main__":
    main()
