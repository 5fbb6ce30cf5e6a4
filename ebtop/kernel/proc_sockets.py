"""Who holds a socket, from /proc: for connections that are older than ebtop."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from ebtop.kernel.cgroups import CgroupHierarchy
from ebtop.text import c_string, clean

_PREFIX = "socket:["
_MIN_PAUSE_S = 5.0
_COST_SHARE = 100
"""A scan may take one part in this many of the time: large nodes have 100,000 descriptors to read."""


class SocketHolder(NamedTuple):
    """A process that has a socket open."""

    pid: int
    comm: str
    uid: int
    cgroup: str | None
    cgroup_id: int


class SocketHolders:
    """Socket inode to holder. The first process found that holds it counts."""

    def __init__(self, hierarchy: CgroupHierarchy) -> None:
        self._hierarchy = hierarchy
        self._pid_of: dict[int, int] = {}
        self._holders: dict[int, SocketHolder | None] = {}
        self._next_scan = 0.0

    def find(self, inodes: set[int]) -> dict[int, SocketHolder]:
        """Holders of those of the inodes that have one. Reads /proc again when one is new, but not too often."""
        if not inodes <= self._pid_of.keys() and time.monotonic() >= self._next_scan:
            began = time.monotonic()
            self._scan()
            now = time.monotonic()
            self._next_scan = now + max(_MIN_PAUSE_S, (now - began) * _COST_SHARE)
        found = {}
        for inode in inodes & self._pid_of.keys():
            holder = self._holder(self._pid_of[inode])
            if holder is not None:
                found[inode] = holder
        return found

    def _scan(self) -> None:
        self._pid_of.clear()
        self._holders.clear()
        for name in os.listdir("/proc"):
            if name.isdecimal():
                for inode in _socket_inodes(name):
                    self._pid_of.setdefault(inode, int(name))

    def _holder(self, pid: int) -> SocketHolder | None:
        if pid not in self._holders:
            self._holders[pid] = self._read_holder(pid)
        return self._holders[pid]

    def _read_holder(self, pid: int) -> SocketHolder | None:
        try:
            uid = os.stat(f"/proc/{pid}").st_uid
            with open(f"/proc/{pid}/comm", "rb") as file:
                comm = c_string(file.read().removesuffix(b"\n"))
            with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
                lines = [line.rstrip("\n").split(":", 2) for line in file]
        except OSError:
            return None
        path = next((p for _, names, p in lines if self._hierarchy.controller in names.split(",")), None)
        cgroup_id = 0
        if path is not None:
            try:
                cgroup_id = os.stat(self._hierarchy.mount + path).st_ino
            except OSError:
                path = None
        return SocketHolder(pid, comm, uid, clean(path) if path is not None else None, cgroup_id)


def _socket_inodes(pid: str) -> list[int]:
    inodes: list[int] = []
    try:
        directory = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return inodes
    try:
        for fd in os.listdir(directory):
            try:
                target = os.readlink(fd, dir_fd=directory)
            except OSError:
                continue
            if target.startswith(_PREFIX):
                inodes.append(int(target[len(_PREFIX) : -1]))
    except OSError:
        pass
    finally:
        os.close(directory)
    return inodes
