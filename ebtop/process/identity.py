"""Who a pid is at the moment, from /proc: enough to notice that it became another program."""

from __future__ import annotations

import os
from typing import NamedTuple

_PF_KTHREAD = 0x00200000


class Identity(NamedTuple):
    """Changes when a pid is used again or executes another program."""

    start_time: int
    """Clock ticks since boot."""
    exe_device: int
    exe_inode: int
    """0 where there is none (kernel threads, zombies) or it is hidden from us."""
    kernel_thread: bool


def read_identity(pid: int) -> Identity | None:
    """None when there is no such process (any more)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name before the last parenthesis may hold spaces and parentheses.
            fields = file.read(4096).rpartition(b")")[2].split()
        flags, start_time = int(fields[6]), int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
    try:
        exe = os.stat(f"/proc/{pid}/exe")
    except OSError:
        return Identity(start_time, 0, 0, bool(flags & _PF_KTHREAD))
    return Identity(start_time, exe.st_dev, exe.st_ino, False)


def mount_namespace(pid: int | str) -> int:
    """Inode of the process's mount namespace, 0 where not known. `pid` may be "self"."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except OSError:
        return 0


class Ids(NamedTuple):
    """Pids and user of a process as others see them."""

    namespace_pid: int
    """Pid in the process's own pid namespace."""
    uid: int
    """Effective uid, in our user namespace."""


def read_ids(pid: int) -> Ids | None:
    """Source: /proc/PID/status. None when the process is gone."""
    namespace_pid, uid = pid, None
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                key, _, value = line.partition(b":")
                if key == b"Uid":
                    uid = int(value.split()[1])
                elif key == b"NSpid":
                    namespace_pid = int(value.split()[-1])
    except (OSError, ValueError, IndexError):
        return None
    return None if uid is None else Ids(namespace_pid, uid)
