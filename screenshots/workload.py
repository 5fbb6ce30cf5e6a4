"""A small service for pictures: spawns commands, serves and calls over TCP, burns CPU, loses packets.

Everything runs in one cgroup of its own, and ebtop is filtered on it: no other process is in the picture.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.lab.cgroup import ChildCgroup
from tests.lab.net import DATA, NetLab, percent

_COMMANDS = (
    (["/bin/sh", "-c", "exit 0"], 0.1),
    (["/usr/bin/gzip", "--version"], 0.3),
    (["/bin/ls", "/usr/share"], 0.2),
    (["/usr/bin/env", "LANG=C", "sort", "--version"], 0.2),
    (["/bin/sh", "-c", "exit 3"], 0.3),
    (["/bin/grep", "-c", "root", "/etc/passwd"], 0.2),
    (["/bin/sleep", "2"], 0.1),
    (["backup-agent", "--once"], 0.4),
    (["/bin/sh", "-c", "kill -9 $$"], 0.5),
)
_CHUNK = 16 << 10


@contextlib.contextmanager
def running(cgroup: ChildCgroup) -> Iterator[None]:
    """The workload while the body runs."""
    context = get_context("fork")
    with NetLab(gso=False) as net, contextlib.ExitStack() as stack:
        port = _free_port()
        service = _compile_service(stack)
        jobs = [
            ("cron", _spawn, ()),
            ("img-service", _become, (service,)),
            ("api-server", _serve, ("127.0.0.1", port, None)),
            ("web-worker", _call, ("127.0.0.1", port, 6, None)),
            ("replica", _serve, (net.b.ipv4, 5432, net.b.name)),
            ("postgres", _call, (net.b.ipv4, 5432, 2, net.a.name)),
            ("metrics", _fail, (net.a.name,)),
        ]
        net.b.drop(DATA, percent(2))
        for name, target, arguments in jobs:
            process = context.Process(target=_named, args=(name, cgroup, target, arguments), daemon=True)
            process.start()
            stack.callback(_end, process)
        yield


def _named(name: str, cgroup: ChildCgroup, target: object, arguments: tuple[object, ...]) -> None:
    cgroup.enter()
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(name)
    assert callable(target)
    with contextlib.suppress(KeyboardInterrupt):
        target(*arguments)


def _compile_service(stack: contextlib.ExitStack) -> str:
    """With frame pointers, as a distribution that cares for profiling builds its programs."""
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-"))
    program = f"{directory}/img-service"
    source = Path(__file__).with_name("service.c")
    flags = ["-O1", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"]
    subprocess.run(["gcc", *flags, "-o", program, str(source)], check=True)
    return program


def _become(program: str) -> None:
    os.execv(program, ["img-service"])


def _end(process: BaseProcess) -> None:
    process.terminate()
    process.join()


def _spawn() -> None:
    while True:
        for command, pause in _COMMANDS:
            with contextlib.suppress(OSError):
                subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).poll()
            time.sleep(pause)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _serve(address: str, port: int, netns: str | None) -> None:
    _enter(netns)
    with socket.create_server((address, port), backlog=64) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        while data := connection.recv(65536):
            connection.sendall(data[: len(data) // 4])


def _call(address: str, port: int, connections: int, netns: str | None) -> None:
    _enter(netns)
    time.sleep(0.5)
    kept = [socket.create_connection((address, port), 5) for _ in range(connections)]
    rounds = 0
    while True:
        for number, connection in enumerate(kept):
            connection.sendall(b"x" * _CHUNK * (number + 1))
            connection.recv(65536)
        rounds += 1
        if rounds % 3 == 0:
            with contextlib.suppress(OSError), socket.create_connection((address, port), 2) as short:
                short.sendall(b"GET /health\r\n")
                short.recv(100)
        time.sleep(0.15)


def _fail(netns: str) -> None:
    """Connects that are refused, that hang, and that give up."""
    with contextlib.suppress(OSError):
        for _ in range(10_000):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", 9), 1).close()
            time.sleep(0.4)
            with contextlib.suppress(OSError):
                # TEST-NET-1: nobody answers.
                socket.create_connection(("192.0.2.7", 443), 0.7).close()


def _enter(netns: str | None) -> None:
    if netns is not None:
        with open(f"/run/netns/{netns}", encoding="ascii") as file:
            _setns(file.fileno())


def _setns(fd: int) -> None:
    from ebtop.kernel.syscall import CLONE_NEWNET, setns

    setns(fd, CLONE_NEWNET)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
