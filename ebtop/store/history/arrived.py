"""A batch with the time it came in."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.store.records import Batch


class Arrived(NamedTuple):
    """A batch, and when it came in, which is later than its own time: stacks wait for their names."""

    time_ns: int
    batch: Batch
