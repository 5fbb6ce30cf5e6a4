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
        self._found: dict[int, SocketHolder] = {}
        self._absent: set[int] = set()
        self._next_scan = 0.0

    def find(self, inodes: set[int]) -> dict[int, SocketHolder]:
        """Holders of those of the inodes that have one. Reads /proc again when one is new, but not too often."""
        self._found = {inode: holder for inode, holder in self._found.items() if inode in inodes}
        self._absent &= inodes
        missing = inodes - self._found.keys()
        if missing - self._absent and time.monotonic() >= self._next_scan:
            began = time.monotonic()
            self._found.update(self._scan(missing))
            # The kernel's own sockets are nobody's; looking for them again and again would be in vain.
            self._absent = missing - self._found.keys()
            now = time.monotonic()
            self._next_scan = now + max(_MIN_PAUSE_S, (now - began) * _COST_SHARE)
        return dict(self._found)

    def _scan(self, wanted: set[int]) -> dict[int, SocketHolder]:
        found: dict[int, SocketHolder] = {}
        for name in os.listdir("/proc"):
            if not name.isdecimal():
                continue
            held = wanted.intersection(_socket_inodes(name)) - found.keys()
            holder = self._read_holder(int(name)) if held else None
            if holder is not None:
                found.update(dict.fromkeys(held, holder))
        return found

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
