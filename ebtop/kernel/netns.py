"""Network namespaces: which there are, and doing something inside one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from ebtop.kernel import syscall

_OWN = "/proc/thread-self/ns/net"
_NAMED = "/run/netns"
_COUNTERS = "/proc/thread-self/net/snmp"
_COUNTERS_MAX = 16 << 10


def own() -> int:
    """Inode number of this thread's network namespace."""
    return os.stat(_OWN).st_ino


def find() -> dict[int, str]:
    """Inode number to a path that opens the namespace, for every one that a process or a name holds.

    Nothing is kept open: a descriptor would keep a namespace alive that its container has given up.
    """
    found: dict[int, str] = {}
    for pid in os.listdir("/proc"):
        if pid.isdecimal():
            _note(found, f"/proc/{pid}/ns/net")
    with contextlib.suppress(OSError):
        for name in os.listdir(_NAMED):
            _note(found, f"{_NAMED}/{name}")
    return found


def tcp_counters() -> bytes:
    """What TCP has counted in this thread's network namespace: segments, connections. b"" where it is not told.

    While this stays the same no byte came or went, and no connection was opened or closed but by a timer.
    """
    try:
        file = os.open(_COUNTERS, os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(file, _COUNTERS_MAX)
        finally:
            os.close(file)
    except OSError:
        return b""
    # Two lines, names and numbers.
    return text.rpartition(b"\nTcp: ")[2].partition(b"\n")[0]


@contextlib.contextmanager
def inside(inode: int, path: str) -> Iterator[None]:
    """Run the body in another namespace, this thread only.

    Raises OSError when the namespace is gone, or the path now leads to another one.
    """
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(target).st_ino != inode:
                raise ProcessLookupError(3, "the namespace is gone")
            syscall.setns(target, syscall.CLONE_NEWNET)
        finally:
            os.close(target)
        try:
            yield
        finally:
            syscall.setns(home, syscall.CLONE_NEWNET)
    finally:
        os.close(home)


def _note(found: dict[int, str], path: str) -> None:
    with contextlib.suppress(OSError):
        found.setdefault(os.stat(path).st_ino, path)
