"""Exits that were read before the exec of the same process."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.store.records import ExitRecord

_KEEP_NS = 2_000_000_000
_MAX_GENERATION = 4096


class EarlyExitsState(NamedTuple):
    """All that `EarlyExits` knows."""

    young: list[ExitRecord]
    old: list[ExitRecord]
    young_since_ns: int


class EarlyExits:
    """Exits of processes that have no row, kept for two to four seconds.

    Execs and exits come through two ring buffers, so that the exit of a short process can be one batch
    ahead of its exec. Most of what is held here never exec'd at all, which is why it is held in two
    generations that are dropped whole.
    """

    def __init__(self) -> None:
        self._young: dict[int, ExitRecord] = {}
        self._old: dict[int, ExitRecord] = {}
        self._young_since_ns = 0

    def add(self, record: ExitRecord) -> None:
        if record.time_ns - self._young_since_ns > _KEEP_NS or len(self._young) >= _MAX_GENERATION:
            self._old = self._young
            self._young = {}
            self._young_since_ns = record.time_ns
        self._young[record.pid] = record

    def take(self, pid: int) -> ExitRecord | None:
        """The latest exit of this pid, once."""
        young = self._young.pop(pid, None)
        old = self._old.pop(pid, None)
        return young or old

    def state(self) -> EarlyExitsState:
        return EarlyExitsState(list(self._young.values()), list(self._old.values()), self._young_since_ns)

    def restore(self, state: EarlyExitsState) -> None:
        """Go on from a state; what was held here is forgotten."""
        self._young = {record.pid: record for record in state.young}
        self._old = {record.pid: record for record in state.old}
        self._young_since_ns = state.young_since_ns
