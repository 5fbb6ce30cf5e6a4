"""What is mapped executable in which process: from /proc when first asked, then as the side band tells it."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ebtop.kernel.side_band import ENDED, EXECUTED, FORKED, MAPPED, SideBandEvent, mappings
from ebtop.process.mappings import MAPPINGS_MAX, Mapping, Mappings, mapped_file, read_mappings

IMAGES_MAX = 4096
READ_AGAIN_S = 0.5
_ANONYMOUS = (b"//anon", b"")
_RECORDS_BYTES = 256 << 10


class Image:
    """The executable mappings of one process. Forked ones share the list, which is never changed in place."""

    __slots__ = ("changed", "generated", "mappings", "pid", "read_at", "spans", "starts", "whole")

    def __init__(self, pid: int, mappings: Iterable[Mapping], *, whole: bool) -> None:
        self.pid = pid
        self.whole = whole
        """All of them are known; otherwise only those that came since ebtop runs."""
        self.changed = True
        """Since somebody took them over and cleared this."""
        self.generated: tuple[Mapping, ...] = ()
        """Code that was made at run time and of which there are tables: parts of `mappings`; not a child's."""
        self.read_at = 0.0
        self.set(mappings)

    def packed(self) -> Mappings:
        """Its mappings, to be kept."""
        return Mappings(self.mappings)

    def set(self, mappings: Iterable[Mapping]) -> None:
        self.mappings = sorted(mappings)
        self._overlay()

    def set_generated(self, generated: Iterable[Mapping]) -> None:
        """There are tables of these parts now, and of no others."""
        self.generated = tuple(generated)
        self._overlay()

    def _overlay(self) -> None:
        self.spans = self.mappings
        for mapping in self.generated:
            self.spans = _with(self.spans, mapping)
        self.starts = [m.start for m in self.spans]
        self.changed = True

    def find(self, address: int) -> Mapping | None:
        at = bisect_right(self.starts, address) - 1
        if at < 0 or address >= self.spans[at].end:
            return None
        return self.spans[at]

    def add_told(self, record: bytes) -> None:
        """Take in what the side band told."""
        for mapping in _mappings(record):
            self.add(mapping)

    def add(self, new: Mapping) -> None:
        """A mapping takes the place of what was there."""
        at = bisect_left(self.mappings, new)
        if len(self.mappings) < MAPPINGS_MAX and self.mappings[at : at + 1] != [new]:
            self.set(_with(self.mappings, new))


def _with(mappings: list[Mapping], new: Mapping) -> list[Mapping]:
    """`mappings` with one more, which takes the place of what was there; sorted."""
    kept = [new]
    for m in mappings:
        if m.end <= new.start or m.start >= new.end:
            kept.append(m)
            continue
        if m.start < new.start:
            kept.append(m._replace(end=new.start))
        if m.end > new.end:
            kept.append(m._replace(start=new.end, offset=m.offset + new.end - m.start))
    kept.sort()
    return kept


class Untold:
    """What the side band told of a process that nobody asked about, unread: most end before anybody does."""

    __slots__ = ("_records", "whole")

    def __init__(self, records: bytes = b"", *, whole: bool) -> None:
        self._records = records
        """Of ebtop.kernel.side_band, one behind the other."""
        self.whole = whole
        """As in `Image`."""

    def add(self, record: bytes) -> None:
        if len(self._records) < _RECORDS_BYTES:
            self._records += record
        else:
            self.whole = False

    def child(self) -> Untold:
        """Of a process forked from this one."""
        return Untold(self._records, whole=self.whole)

    def image(self, pid: int) -> Image:
        image = Image(pid, (), whole=self.whole)
        image.add_told(self._records)
        return image

    def packed(self) -> Mappings:
        return self.image(0).packed()


class Happened(NamedTuple):
    """What a process did."""

    kind: int
    """As in ebtop.kernel.side_band: MAPPED of a process that is known, or any of the others."""
    pid: int
    parent: int = 0
    gone: Image | Untold | None = None
    """What there is of a process, or of its program, that is no more."""


class Images:
    """Images by pid, the longest unused forgotten first. One thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_pid: OrderedDict[int, Image] = OrderedDict()
        self._untold: OrderedDict[int, Untold] = OrderedDict()
        """Of processes that are not in `_by_pid`, the longest running first."""

    def __len__(self) -> int:
        return len(self._by_pid) + len(self._untold)

    def known(self, pid: int) -> Image | None:
        """The image of a process that somebody asked for before."""
        return self._by_pid.get(pid)

    def get(self, pid: int) -> Image:
        """The image of a process that was sampled; empty when nothing can be known any more."""
        image = self._by_pid.get(pid)
        if image is None:
            untold = self._untold.pop(pid, None)
            image = self._keep(untold.image(pid) if untold is not None else Image(pid, (), whole=False))
        else:
            self._by_pid.move_to_end(pid)
        if not image.whole:
            self.read_again(image)
        return image

    def read_again(self, image: Image) -> bool:
        """Look in /proc; at most each READ_AGAIN_S. Returns whether anything is new."""
        now = self._clock()
        if now - image.read_at < READ_AGAIN_S:
            return False
        image.read_at = now
        try:
            mappings = list(read_mappings(image.pid))
        except OSError:
            return False
        if not mappings:
            return False
        image.whole = True
        if mappings == image.mappings:
            return False
        image.set(mappings)
        return True

    def apply(self, events: Iterable[SideBandEvent]) -> Iterator[Happened]:
        """Take in what happened; yields, one by one, what may be of interest to others."""
        by_pid, untold = self._by_pid, self._untold
        for _, kind, pid, parent, record in events:
            if kind == MAPPED:
                told = untold.get(pid)
                if told is not None:
                    told.add(record)
                elif (image := by_pid.get(pid)) is not None:
                    image.add_told(record)
                    yield Happened(kind, pid)
                else:
                    self._keep_untold(pid, Untold(record, whole=False))
                continue
            gone = untold.pop(pid, None) or by_pid.pop(pid, None)
            if kind == FORKED:
                self._fork(parent, pid)
            elif kind == EXECUTED:
                self._keep_untold(pid, Untold(whole=True))
            if gone is not None or kind != ENDED:
                yield Happened(kind, pid, parent, gone)

    def _fork(self, parent: int, pid: int) -> None:
        image = self._by_pid.get(parent)
        if image is not None:
            if image.whole:
                self._keep(_child(image, pid))
        elif (untold := self._untold.get(parent)) is not None and untold.whole:
            self._keep_untold(pid, untold.child())

    def _keep_untold(self, pid: int, untold: Untold) -> None:
        self._untold[pid] = untold
        if len(self._untold) > IMAGES_MAX:
            self._untold.popitem(last=False)

    def _keep(self, image: Image) -> Image:
        self._by_pid[image.pid] = image
        self._by_pid.move_to_end(image.pid)
        if len(self._by_pid) > IMAGES_MAX:
            self._by_pid.popitem(last=False)
        return image


def _mappings(records: bytes) -> Iterator[Mapping]:
    """What records of the side band say."""
    for start, length, offset, device, inode, path in mappings(records):
        file = mapped_file(device, 0, b"") if path in _ANONYMOUS else mapped_file(device, inode, path)
        yield Mapping(start, start + length, offset, file)


def _child(parent: Image, pid: int) -> Image:
    child = Image.__new__(Image)
    child.pid, child.whole, child.changed, child.read_at = pid, True, True, parent.read_at
    child.generated = ()
    child.mappings, child.spans, child.starts = parent.mappings, parent.spans, parent.starts
    if parent.generated:
        child.set(parent.mappings)
    return child
