"""The stacks of a chapter: each is kept once, what repeats every second is its number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from ebtop.store.history.arrived import Arrived
from ebtop.store.history.codec import Text, pack, same_text, unpack
from ebtop.store.history.corrupt import CorruptData
from ebtop.store.records import Frame, StackRecord

Stack = tuple[Frame, ...]

_FRAMES = StackRecord._fields.index("frames")
_FRAME_BYTES, _STACK_BYTES = 120, 140
"""What an entry of the writer's tables takes, the texts of a frame aside: those belong to whoever names addresses."""


class Drain(NamedTuple):
    """A batch as far as stacks go."""

    batch: int
    """Its place in the segment."""
    arrived_ns: int
    time_ns: int
    sampled_s: float
    stacks: int
    sampled_kind: str = "cpu"


class StackSegment(NamedTuple):
    """What is packed: frames and stacks that are new in the chapter, then the drains of one segment."""

    frames: list[Frame]
    depths: list[int]
    """Of each new stack."""
    path: list[int]
    """The numbers of the frames of the new stacks, one stack after the other."""
    drains: list[Drain]
    records: list[StackRecord]
    """Without frames."""
    stacks: list[int]
    """The number of each record's stack."""


_NAMES = frozenset({"frames", "depths", "path"})


class StackWriter:
    """Packs the stacks of one chapter, in order."""

    def __init__(self) -> None:
        self._frames: dict[Frame, int] = {}
        self._stacks: dict[Stack, int] = {}
        self.bytes = 0
        """Estimate of what its tables take."""

    def pack(self, arrived: Sequence[Arrived]) -> bytes:
        """b"" when nothing was sampled."""
        drains: list[Drain] = []
        found: list[StackRecord] = []
        for at, (arrived_ns, batch) in enumerate(arrived):
            before = len(found)
            found += [record for record in batch.records if type(record) is StackRecord]
            if len(found) > before or batch.sampled_s:
                drains.append(
                    Drain(at, arrived_ns, batch.time_ns, batch.sampled_s, len(found) - before, batch.sampled_kind)
                )
        if not drains:
            return b""
        old_frames, old_stacks = len(self._frames), len(self._stacks)
        numbers = [self._number(record.frames) for record in found]
        frames = list(islice(self._frames, old_frames, None))
        stacks = list(islice(self._stacks, old_stacks, None))
        path = [self._frames[frame] for stack in stacks for frame in stack]
        self.bytes += len(frames) * _FRAME_BYTES + len(stacks) * _STACK_BYTES + len(path) * 8
        return pack(
            StackSegment(
                frames,
                [len(stack) for stack in stacks],
                path,
                drains,
                [_with_frames(record, ()) for record in found],
                numbers,
            )
        )

    def _number(self, stack: Stack) -> int:
        number = self._stacks.get(stack)
        if number is None:
            for frame in stack:
                self._frames.setdefault(frame, len(self._frames))
            number = self._stacks[stack] = len(self._stacks)
        return number


class StackReader:
    """Unpacks the stacks of one chapter, in order. Raises CorruptData for what can't be read."""

    def __init__(self, text: Text = same_text, known: dict[Frame, Frame] | None = None) -> None:
        """`known`: frames that were read elsewhere, this one's are added. Of equal ones there is then only one, which
        makes it quick to compare stacks of several chapters."""
        self._text = text
        self._known = known
        self._frames: list[Frame] = []
        self._stacks: list[Stack] = []

    def unpack(self, data: bytes, *, names_only: bool = False) -> list[tuple[Drain, list[StackRecord]]]:
        """Every drain and its stacks. `names_only`: nobody wants these, only later ones."""
        segment = unpack(StackSegment, data, only=_NAMES if names_only else None, text=self._text)
        try:
            self._learn(segment)
            records = list(map(self._named, segment.records, segment.stacks))
        except IndexError:
            raise CorruptData("a frame is missing") from None
        found: list[tuple[Drain, list[StackRecord]]] = []
        position = 0
        for drain in segment.drains:
            found.append((drain, records[position : position + drain.stacks]))
            position += drain.stacks
        return found

    def _learn(self, segment: StackSegment) -> None:
        frames = segment.frames
        self._frames += frames if self._known is None else map(self._known.setdefault, frames, frames)
        path = list(map(self._frames.__getitem__, segment.path))
        position = 0
        for depth in segment.depths:
            self._stacks.append(tuple(path[position : position + depth]))
            position += depth

    def _named(self, record: StackRecord, number: int) -> StackRecord:
        return _with_frames(record, self._stacks[number])


def _with_frames(record: StackRecord, frames: Stack) -> StackRecord:
    return _make((*record[:_FRAMES], frames, *record[_FRAMES + 1 :]))


_make = partial(tuple.__new__, StackRecord)
