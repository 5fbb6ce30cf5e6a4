"""A live look at everything, or at what a selection lets through."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from ebtop.store.history.arrived import Arrived
from ebtop.store.rows import Snapshot, StackSpan, with_stacks
from ebtop.store.scene import Shown
from ebtop.store.selection import Selection
from ebtop.store.stack_queue import StackQueue


class View:
    """Made by the timeline, which feeds it until it is closed. While nobody looks at it only the feeding costs."""

    def __init__(
        self,
        lock: Lock,
        selection: Selection | None,
        shown: Shown,
        since_ns: int,
        on_close: Callable[[View], None],
        *,
        behind: bool,
    ) -> None:
        """`lock` is the timeline's. `behind`: the past is still to be fed, what comes in waits until `catch_up`."""
        self.selection = selection
        self.since_ns = since_ns
        """Everything since then has gone through the tables; of what was before, only what was still in the tables of
        everything at that moment."""
        self._lock = lock
        self._shown = shown
        self._queue = StackQueue()
        self._on_close = on_close
        self._backlog: list[Arrived] | None = [] if behind else None

    def snapshot(self) -> Snapshot:
        """At this moment. Stacks are handed out once: for one reader only."""
        with self._lock:
            snapshot = self._shown.snapshot()
            taken = self._queue.take()
            dropped = self._queue.dropped
        return with_stacks(snapshot._replace(dropped_rows=snapshot.dropped_rows + dropped), *taken)

    def close(self) -> None:
        """Not fed any more. May be called twice."""
        self._on_close(self)

    def take(self, arrived: Arrived) -> None:
        """For the timeline, with its lock: a batch came in."""
        if self._backlog is None:
            self._feed(arrived)
        else:
            self._backlog.append(arrived)

    def spans(self, from_ns: int, until_ns: int) -> list[StackSpan] | None:
        """For the timeline, with its lock: see `Shown.spans`."""
        return None if self._backlog is not None else self._shown.spans(from_ns, until_ns)

    def catch_up(self) -> None:
        """For the timeline, without its lock: take what came in meanwhile, and from now on everything at once."""
        while True:
            with self._lock:
                backlog = self._backlog
                if not backlog:
                    self._backlog = None
                    return
                self._backlog = []
            for arrived in backlog:
                self._feed(arrived)

    def _feed(self, arrived: Arrived) -> None:
        span = self._shown.feed(arrived)
        if span.stacks or span.sampled_s:
            self._queue.add(list(span.stacks), span.sampled_s, span.sampled_kind)
