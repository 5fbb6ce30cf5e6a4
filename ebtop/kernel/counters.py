"""What each probe counts in the kernel: events handed over, and losses by reason (enum counter in bpf/ebtop.h)."""

from __future__ import annotations

from typing import NamedTuple

RING_FULL = "ring buffer full"
LOSS_REASONS = (RING_FULL, "map full", "user memory not readable", "no scratch space")


class Counters(NamedTuple):
    """Totals since the module was loaded."""

    events: int
    lost: dict[str, int]
    """Reason -> how often; only reasons that occurred."""


def decode(values: list[int]) -> Counters:
    """The summed elements of a `counters` map."""
    events, *losses = values
    return Counters(events, {reason: n for reason, n in zip(LOSS_REASONS, losses, strict=True) if n})
