"""PATH searches: the failed execs that a shell or execvp(3) tries before the one that counts."""

from __future__ import annotations

from collections import OrderedDict
from errno import ENOENT
from typing import NamedTuple

from ebtop.store.records import ExecRecord

SEARCH_TIMEOUT_NS = 1_000_000_000


class Search(NamedTuple):
    """A run of execs of one process that all failed with ENOENT and has no result so far."""

    attempts: int
    last: ExecRecord

    def expired_at(self, time_ns: int) -> bool:
        """Whether its last attempt is too long ago for a result to follow."""
        return time_ns - self.last.time_ns > SEARCH_TIMEOUT_NS


class PathSearchesState(NamedTuple):
    """All that `PathSearches` knows."""

    last: list[ExecRecord]
    attempts: list[int]
    """Of the same search."""


class PathSearches:
    """Runs of ENOENT failures that wait for their result, by pid, the one tried longest ago first."""

    def __init__(self, max_searches: int = 1000) -> None:
        self._max_searches = max_searches
        self._searches: OrderedDict[int, Search] = OrderedDict()

    def miss(self, record: ExecRecord) -> list[Search]:
        """Take in a failed exec with -ENOENT; return the searches that are over because of it."""
        over = []
        earlier = self._searches.pop(record.pid, None)
        attempts = 1
        if earlier is not None:
            if earlier.expired_at(record.time_ns):
                over.append(earlier)
            else:
                attempts += earlier.attempts
        self._searches[record.pid] = Search(attempts, record)
        if len(self._searches) > self._max_searches:
            over.append(self._searches.popitem(last=False)[1])
        return over

    def take(self, pid: int) -> Search | None:
        """End the search of a process, if it has one."""
        return self._searches.pop(pid, None)

    def take_expired(self, now_ns: int) -> list[Search]:
        """End the searches that no result can follow any more."""
        expired = []
        while self._searches:
            pid, search = next(iter(self._searches.items()))
            if not search.expired_at(now_ns):
                break
            del self._searches[pid]
            expired.append(search)
        return expired

    def state(self) -> PathSearchesState:
        searches = self._searches.values()
        return PathSearchesState([search.last for search in searches], [search.attempts for search in searches])

    def restore(self, state: PathSearchesState) -> None:
        """Go on from a state; what was held here is forgotten."""
        searches = map(Search, state.attempts, state.last)
        self._searches = OrderedDict((search.last.pid, search) for search in searches)


def is_miss(record: ExecRecord) -> bool:
    """Whether a failed exec may be one step of a PATH search."""
    return record.ret == -ENOENT
