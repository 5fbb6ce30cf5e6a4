"""Chapters as they were at one moment: bytes that nobody changes any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ebtop.store.history.chapter import unpacked_state
from ebtop.store.history.codec import Text, same_text
from ebtop.store.store import StoreState


class FrozenSegment(NamedTuple):
    """As in a chapter."""

    newest_ns: int
    events: bytes
    stacks: bytes


class FrozenChapter(NamedTuple):
    """Implements StoredChapter."""

    start_ns: int
    end_ns: int
    first: int
    keyframe: bytes
    segments: tuple[FrozenSegment, ...]
    records: int
    scanned: int

    @property
    def text(self) -> Text:
        return same_text

    @property
    def events(self) -> Sequence[bytes]:
        return [segment.events for segment in self.segments]

    @property
    def stacks(self) -> Sequence[bytes]:
        return [segment.stacks for segment in self.segments]

    @property
    def newest_ns(self) -> Sequence[int]:
        return [segment.newest_ns for segment in self.segments]

    def state(self) -> StoreState:
        return unpacked_state(self.keyframe, same_text)
