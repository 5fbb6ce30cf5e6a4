"""Moments worth going to: what was noted, and where something suddenly happened far more often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ebtop.store.keeper import Keeper
from ebtop.store.spikes import spikes
from ebtop.units import rate, wall_clock


class Mark(NamedTuple):
    """One of them."""

    time_ns: int
    text: str


def marks(timeline: Keeper, kind: str) -> list[Mark]:
    """Those that are kept, oldest first; `kind`: note or spike."""
    if kind == "note":
        found = [Mark(note.time_ns, note.text) for note in timeline.notes()]
    else:
        found = [
            Mark(spike.time_ns, f"{rate(spike.value)} {spike.what}, usually {rate(spike.usual)}")
            for spike in spikes(timeline.ticks())
        ]
    kept = timeline.kept
    return [mark for mark in found if kept.oldest_ns <= mark.time_ns <= kept.newest_ns]


def next_mark(found: Sequence[Mark], at_ns: int, step: int) -> int | None:
    """The place of the first one after a moment, or of the last one before it with a `step` of -1."""
    places = [place for place, mark in enumerate(found) if (mark.time_ns - at_ns) * step > 0]
    return (places[0] if step > 0 else places[-1]) if places else None


def told(found: Sequence[Mark], place: int, kind: str) -> str:
    """A mark for the last line."""
    mark = found[place]
    return f"{kind} {place + 1} of {len(found)}, {wall_clock(mark.time_ns)}: {mark.text}"
