"""Which processes were forked by which, from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable


def descendants(pids: Iterable[int], proc: str = "/proc") -> set[int]:
    """The processes below `pids` in the process tree, without `pids` themselves.

    One whose parent ended meanwhile belongs to another and is not found. Source: /proc/PID/stat, field ppid.
    """
    children: defaultdict[int, list[int]] = defaultdict(list)
    for name in os.listdir(proc):
        if name.isdecimal() and (parent := _parent(f"{proc}/{name}/stat")):
            children[parent].append(int(name))
    tops = set(pids)
    found: set[int] = set()
    pending = list(tops)
    while pending:
        new = set(children[pending.pop()]) - found - tops
        found |= new
        pending.extend(new)
    return found


def _parent(stat: str) -> int:
    """0 for a process that ended meanwhile."""
    try:
        with open(stat, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0
