"""A cgroup for the workload, in the hierarchy that ebtop filters by."""

from __future__ import annotations

import contextlib
import errno
import os
import time

from ebtop.kernel.cgroups import CgroupHierarchy

_STEM = "ebtop-demo-"
_EMPTY_S = 5.0
"""The kernel takes a moment to let go of processes that have ended."""


def make() -> str:
    """A new one at the top, named after the caller's pid; its path below the hierarchy's root, as "/ebtop-demo-12".

    "" where that is not possible: a read-only mount, no cgroups, or one that takes no processes.
    """
    _remove_orphans()
    path = f"/{_STEM}{os.getpid()}"
    try:
        os.mkdir(_directory(path))
    except OSError:
        return ""
    if _takes_processes(path):
        return path
    remove(path)
    return ""


def enter(path: str) -> None:
    """Move the caller in. Raises OSError."""
    with open(f"{_directory(path)}/cgroup.procs", "w", encoding="ascii") as file:
        file.write("0")


def remove(path: str) -> None:
    """Remove it as soon as its last process has gone; does nothing when it is not there."""
    deadline = time.monotonic() + _EMPTY_S
    while True:
        try:
            os.rmdir(_directory(path))
        except OSError as error:
            if error.errno == errno.EBUSY and time.monotonic() < deadline:
                time.sleep(0.005)
                continue
        return


def _directory(path: str) -> str:
    return f"{CgroupHierarchy.detect().mount}{path}"


def _takes_processes(path: str) -> bool:
    """A cpuset without CPUs takes none, for example; found out with a process that ends at once."""
    pid = os.fork()
    if pid == 0:
        try:
            enter(path)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def _remove_orphans() -> None:
    """Those of a supervisor that was killed."""
    mount = CgroupHierarchy.detect().mount
    with contextlib.suppress(OSError):
        for name in os.listdir(mount):
            owner = name.removeprefix(_STEM)
            if name.startswith(_STEM) and owner.isdecimal() and not os.path.exists(f"/proc/{owner}"):
                with contextlib.suppress(OSError):
                    os.rmdir(f"{mount}/{name}")
