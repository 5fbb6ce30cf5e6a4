"""Ends of processes whose record was lost, found by looking: a process that is not in /proc any more has ended.

Each process that was seen to exec is remembered until its end is. Once records were lost, /proc is read; who is
remembered and not there is a suspect, as its end may only be on its way. A process is in /proc until after its end was
put into the ring buffer, or lost: one that is missing in the next look, too, and whose end did not come with all that
was in the buffers at the first, ended without being seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from ebtop.kernel.pid_listing import all_pids
from ebtop.store.records import ExecRecord, ExitRecord

MAX_REMEMBERED = 100_000
"""Processes that run, and ends that came before what the process exec'd; when there are more, the oldest go."""
_LONGEST_PAUSE = 64
"""Looks, of which there is one a second."""
_FEW = 1024

_Life = tuple[int, int, str, int | None, str | None, int]
"""Kernel time (CLOCK_MONOTONIC, ns) of its last exec, then pid, comm, uid, cgroup and ppid as that said them."""


class UnseenEnds:
    """Fed with what is drained, asked once a second. One thread only."""

    def __init__(
        self,
        pids: Callable[[], frozenset[int] | None] = all_pids,
        clock: Callable[[], int] = time.monotonic_ns,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        """`pids`: see `all_pids`. `clock`: CLOCK_MONOTONIC, ns."""
        self._pids, self._clock, self._max = pids, clock, max_remembered
        self._running: dict[int, _Life] = {}
        self._early: dict[int, int] = {}
        """By pid: kernel time of the last end. Execs from before one may come after it; older ones do no harm."""
        self._early_room = _FEW
        self._drained_ns = 0
        self._suspects: dict[int, _Life] = {}
        self._suspected_ns = 0
        self._lost = 0
        self._pause = self._wait = 0

    def drained(self, execs: Iterable[ExecRecord], ends: Mapping[int, int], offset_ns: int, until_ns: int) -> None:
        """What one drain brought: execs, failed ones too, and the kernel time of the last end of each pid.

        `offset_ns` is what the execs' wall time is ahead of kernel time. No record from before `until_ns` (kernel time)
        is still to come.
        """
        self._drained_ns = max(self._drained_ns, until_ns)
        self._add_execs(execs, offset_ns)
        self._add_ends(ends)

    def look(self, lost: int, offset_ns: int) -> list[ExitRecord]:
        """Ends that are known by now to have been lost, each told once; `lost` records were so far, of any kind.

        Nothing is read until `lost` has grown; then in this call and the next, and ever more rarely while nothing is
        found: a process can be found only when its parent has waited for it, and which of the lost were ends, nobody
        knows.
        """
        if lost > self._lost:
            self._lost, self._pause, self._wait = lost, 1, 0
        if not self._is_due():
            return []
        there = self._pids()
        if there is None:
            return []
        now_ns = self._clock()
        missing = {pid: life for pid, life in self._running.items() if pid not in there}
        gone = [life for pid, life in self._suspects.items() if missing.get(pid) is life]
        records = [self._told(life, offset_ns) for life in gone]
        for life in gone:
            del missing[life[1]]
        if gone:
            self._pause = 1
        self._suspects, self._suspected_ns = missing, now_ns
        self._wait, self._pause = self._pause - 1, min(2 * self._pause, _LONGEST_PAUSE)
        return records

    def _is_due(self) -> bool:
        if not self._lost or not self._running:
            return False
        if self._wait:
            self._wait -= 1
            return False
        return not self._suspects or self._drained_ns >= self._suspected_ns

    def _told(self, life: _Life, offset_ns: int) -> ExitRecord:
        """The time is that of the look which missed it first: it ended at some time before."""
        del self._running[life[1]]
        return ExitRecord(self._suspected_ns + offset_ns, *life[1:], None, None, None, None)

    def _add_execs(self, execs: Iterable[ExecRecord], offset_ns: int) -> None:
        running, early = self._running, self._early
        for record in execs:
            if record[7]:  # ret
                continue
            time_ns, pid = record[0] - offset_ns, record[1]
            known = running.get(pid)
            if (known is None or known[0] <= time_ns) and (pid not in early or early[pid] < time_ns):
                running[pid] = (time_ns, pid, record[2], record[3], record[4], record[5])
        _shrink(running, self._max)

    def _add_ends(self, ends: Mapping[int, int]) -> None:
        running, drained_ns = self._running, self._drained_ns
        for pid, time_ns in ends.items():
            life = running.pop(pid, None)
            if life is not None and life[0] > time_ns:  # it is that of an earlier process
                running[pid] = life
        self._early.update(ends)
        if len(self._early) > self._early_room:
            self._early = {pid: time_ns for pid, time_ns in self._early.items() if time_ns >= drained_ns}
            _shrink(self._early, self._max)
            self._early_room = max(_FEW, 2 * len(self._early))


def _shrink(entries: dict[int, Any], most: int) -> None:
    """Many at once: looking for the first entry of a dict takes as long as entries were deleted before it."""
    if len(entries) > most:
        for pid in list(islice(entries, len(entries) - most + most // 8)):
            del entries[pid]
