"""Network namespaces: which there are, and doing something inside one."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence

from ebtop.kernel import syscall

_OWN = "/proc/thread-self/ns/net"
_NAMED = "/run/netns"
_PATHS_MAX = 8


def own() -> int:
    """Inode number of this thread's network namespace."""
    return os.stat(_OWN).st_ino


def find() -> dict[int, list[str]]:
    """Inode number to some paths that open the namespace, for every one that a process or a name holds.

    More than one, because a process may be gone in a moment. Nothing is kept open: a descriptor would keep a namespace
    alive that its container has given up.
    """
    found: dict[int, list[str]] = {}
    for pid in os.listdir("/proc"):
        if pid.isdecimal():
            _note(found, f"/proc/{pid}/ns/net")
    with contextlib.suppress(OSError):
        for name in os.listdir(_NAMED):
            _note(found, f"{_NAMED}/{name}")
    return found


@contextlib.contextmanager
def inside(inode: int, paths: Sequence[str]) -> Iterator[None]:
    """Run the body in another namespace, this thread only.

    Raises OSError when the namespace is gone, or all paths lead to other ones now.
    """
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = _open(inode, paths)
        try:
            syscall.setns(target, syscall.CLONE_NEWNET)
        finally:
            os.close(target)
        try:
            yield
        finally:
            syscall.setns(home, syscall.CLONE_NEWNET)
    finally:
        os.close(home)


def _open(inode: int, paths: Sequence[str]) -> int:
    for path in paths:
        with contextlib.suppress(OSError):
            target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(target).st_ino == inode:
                return target
            os.close(target)
    raise ProcessLookupError(errno.ESRCH, "the namespace is gone")


def _note(found: dict[int, list[str]], path: str) -> None:
    with contextlib.suppress(OSError):
        paths = found.setdefault(os.stat(path).st_ino, [])
        if len(paths) < _PATHS_MAX:
            paths.append(path)
