"""Cgroup ids to paths and back, on unified (v2) and on hybrid or v1 hosts."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from ebtop.errors import EbtopError
from ebtop.text import clean

_ROOT = "/sys/fs/cgroup"
_RESCAN_S, _RESCAN_SHARE = 0.1, 200
"""An unknown id is looked for at most so often, and takes at most one part in so many of the time."""
_MAX_DIRECTORIES = 20_000


class CgroupHierarchy(NamedTuple):
    """The hierarchy in which this host keeps its services and containers."""

    mount: str
    controller: str
    """The v1 controller, "" for the unified hierarchy."""

    @classmethod
    def detect(cls, mounts: str = "/proc/self/mounts") -> CgroupHierarchy:
        """The unified hierarchy where it is the only one, else the first v1 controller that holds containers."""
        v1: dict[str, str] = {}
        v2 = ""
        try:
            with open(mounts, encoding="utf-8", errors="replace") as file:
                for line in file:
                    _, mount, kind, options, *_ = line.split()
                    if kind == "cgroup2":
                        v2 = v2 or mount
                    elif kind == "cgroup":
                        for option in options.split(","):
                            v1.setdefault(option, mount)
        except (OSError, ValueError):
            pass
        for controller in ("memory", "pids", "cpu", "cpuset"):
            if controller in v1:
                return cls(v1[controller], controller)
        return cls(v2 or _ROOT, "")


class CgroupNames:
    """Path below the hierarchy's root for a cgroup id (the inode number of its directory)."""

    def __init__(self, hierarchy: CgroupHierarchy) -> None:
        self._mount = hierarchy.mount
        self._paths: dict[int, str] = {}
        self._next_scan = 0.0

    def path(self, cgroup_id: int) -> str | None:
        """ "/" for the root, "/system.slice/ssh.service"...; None for one that is not (or no longer) there."""
        found = self._paths.get(cgroup_id)
        if found is not None:
            return found
        if not cgroup_id or time.monotonic() < self._next_scan:
            return None
        self._scan()
        return self._paths.get(cgroup_id)

    def _scan(self) -> None:
        """Ids are kept after a cgroup is gone: its processes' last events come later."""
        began = time.monotonic()
        for directory in directories(self._mount):
            if inode := _inode(directory):
                self._paths[inode] = clean(directory.removeprefix(self._mount) or "/")
        now = time.monotonic()
        self._next_scan = now + max(_RESCAN_S, (now - began) * _RESCAN_SHARE)


def subtree_ids(hierarchy: CgroupHierarchy, path: str) -> set[int]:
    """Ids of a cgroup and everything below it.

    `path` is absolute, or relative to the hierarchy's root as "/system.slice" is. Raises EbtopError when it is
    no cgroup.
    """
    inside = os.path.realpath(path)
    if not _is_below(inside, hierarchy.mount):
        inside = os.path.realpath(f"{hierarchy.mount}/{path.lstrip('/')}")
    if not _is_below(inside, hierarchy.mount) or not os.path.isfile(f"{inside}/cgroup.procs"):
        raise EbtopError(
            f"there is no cgroup {clean(path)}", f"not below {hierarchy.mount}", "systemd-cgls shows what there is"
        )
    return {inode for directory in directories(inside) if (inode := _inode(directory))}


def directories(top: str) -> list[str]:
    """`top` and the directories below it, at most _MAX_DIRECTORIES."""
    found: list[str] = []
    pending = [top]
    while pending and len(found) < _MAX_DIRECTORIES:
        directory = pending.pop()
        found.append(directory)
        try:
            with os.scandir(directory) as entries:
                pending.extend(e.path for e in entries if e.is_dir(follow_symlinks=False))
        except OSError:
            continue
    return found


def _is_below(path: str, top: str) -> bool:
    """Also for `top` itself; /cgroup/cpuset is not below /cgroup/cpu."""
    return path == top or path.startswith(f"{top}/")


def _inode(directory: str) -> int:
    """0 for a directory that went away meanwhile."""
    try:
        return os.stat(directory).st_ino
    except OSError:
        return 0
