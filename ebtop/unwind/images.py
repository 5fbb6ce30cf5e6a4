"""What is mapped executable in which process: from /proc when first asked, then as the side band tells it."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple

from ebtop.kernel.side_band import EXECUTED, FORKED, MAPPED, Mapped, SideBandEvent, mapped
from ebtop.process.mappings import MAPPINGS_MAX, Mapping, Mappings, mapped_file, read_mappings

IMAGES_MAX = 4096
READ_AGAIN_S = 0.5
_ANONYMOUS = (b"//anon", b"")


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


class Happened(NamedTuple):
    """What a process did."""

    kind: int
    """As in ebtop.kernel.side_band."""
    pid: int
    parent: int = 0
    gone: Image | None = None
    """What there is of a process, or of its program, that is no more."""


class Images:
    """Images by pid, the longest unused forgotten first. One thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_pid: OrderedDict[int, Image] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_pid)

    @property
    def pids(self) -> Container[int]:
        """Of processes that are known."""
        return self._by_pid

    def known(self, pid: int) -> Image | None:
        return self._by_pid.get(pid)

    def get(self, pid: int, events: Iterable[SideBandEvent] = ()) -> Image:
        """The image of a process that was sampled; empty when nothing can be known any more.

        `events`: what it did lately, in case that it is not known.
        """
        if pid not in self._by_pid:
            self._keep(Image(pid, (), whole=False))
            for _ in self.apply(events):
                pass
        image = self._keep(self._by_pid.get(pid) or Image(pid, (), whole=False))
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
        for _, kind, pid, parent, record in events:
            image = self._by_pid.get(pid)
            if kind == MAPPED:
                if image is not None:
                    new = mapped(record)
                    if new is not None:
                        image.add(_mapping(new))
                        yield Happened(kind, pid)
                continue
            if image is not None:
                del self._by_pid[pid]
            of_parent = self._by_pid.get(parent)
            if kind == EXECUTED:
                self._keep(Image(pid, (), whole=True))
            elif kind == FORKED and of_parent is not None and of_parent.whole:
                self._keep(_child(of_parent, pid))
            yield Happened(kind, pid, parent, image)

    def _keep(self, image: Image) -> Image:
        self._by_pid[image.pid] = image
        self._by_pid.move_to_end(image.pid)
        if len(self._by_pid) > IMAGES_MAX:
            self._by_pid.popitem(last=False)
        return image


def programs(pid: int, events: Iterable[SideBandEvent]) -> list[Mappings]:
    """What a process had mapped, one program after the other, as far as these events tell."""
    images = Images()
    found = [happened.gone for happened in images.apply(events) if happened.gone is not None]
    last = images.known(pid)
    return [Mappings(image.mappings) for image in [*found, *([last] if last is not None else [])] if image.mappings]


def _mapping(new: Mapped) -> Mapping:
    path, inode = (b"", 0) if new.path in _ANONYMOUS else (new.path, new.inode)
    return Mapping(new.start, new.start + new.length, new.offset, mapped_file(new.device, inode, path))


def _child(parent: Image, pid: int) -> Image:
    child = Image.__new__(Image)
    child.pid, child.whole, child.changed, child.read_at = pid, True, True, parent.read_at
    child.generated = ()
    child.mappings, child.spans, child.starts = parent.mappings, parent.spans, parent.starts
    if parent.generated:
        child.set(parent.mappings)
    return child
