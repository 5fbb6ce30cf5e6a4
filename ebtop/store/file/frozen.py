"""The kept minutes of a live timeline on their way into a file: as bytes, which cost nothing to hand over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ebtop.store.check import Check
from ebtop.store.containers import Container
from ebtop.store.evidence import CollectionFacts, ContainerFacts, HostFacts, Note
from ebtop.store.file.writer import FileWriter
from ebtop.store.history.arrived import Arrived
from ebtop.store.history.chapter import ChapterReader, ChapterWriter, packed_state
from ebtop.store.history.frozen import FrozenChapter, FrozenSegment
from ebtop.store.records import EventRecord, ExecRecord, Frame, ModuleFacts, StackRecord
from ebtop.store.redact import Redactor, Rules
from ebtop.store.ticks import Tick

_TICKS_AT_ONCE = 20


class Job(NamedTuple):
    """What is to be done."""

    path: str
    """Of the file; the bundle's folder has the same name without .ebtop."""
    rules: Rules | None
    """What a user adds to what is masked; None = nothing is masked."""
    screen: str
    """The screen as SVG; "" = none."""


class FrozenFacts(NamedTuple):
    """What is known besides."""

    host: HostFacts
    collection: CollectionFacts
    began_ns: int
    notes: tuple[Note, ...]
    narrowings: tuple[Note, ...]
    """What the kernel filtered from then on."""
    modules: tuple[ModuleFacts, ...]
    containers: tuple[tuple[str, Container], ...]
    """By cgroup."""
    chapters: int
    ticks: int


class Frozen(NamedTuple):
    """All of it."""

    facts: FrozenFacts
    chapters: tuple[FrozenChapter, ...]
    ticks: Sequence[Tick]

    def pieces(self) -> Iterator[Any]:
        """In the order in which they are wanted, none of them large: packing one must not hold up anybody."""
        yield self.facts
        for chapter in self.chapters:
            yield chapter._replace(segments=())
            yield from chapter.segments
            yield None
        for first in range(0, len(self.ticks), _TICKS_AT_ONCE):
            yield self.ticks[first : first + _TICKS_AT_ONCE]


class FrozenWriter:
    """Writes frozen minutes, and masks what is secret in them."""

    def __init__(self, writer: FileWriter, facts: FrozenFacts, redactor: Redactor | None) -> None:
        self._writer, self._facts, self._redactor = writer, facts, redactor
        self._frames: dict[Frame, Frame] = {}
        """Of all chapters: those that are the same one are compared, and numbered, quickly."""
        self._first = True
        self._masked_any = False
        """Something was masked so far: only then can a later state hold it, too."""

    def chapter(self, chapter: FrozenChapter, *, last: bool) -> None:
        """The next one; in a transaction of its own."""
        writer = self._writer
        writer.begin()
        keyframe, segments = chapter.keyframe, chapter.segments
        arrived = list(_batches(chapter, self._frames, scans=last))
        redactor = self._redactor
        if redactor is not None:
            if self._first or self._masked_any:
                keyframe = self._clean_keyframe(chapter, redactor)
            before = redactor.masked
            arrived = [_masked_batch(each, redactor) for each in arrived]
            # Rare: mostly the bytes are handed on as they are.
            if redactor.masked != before:
                self._masked_any = True
                masked = redactor.masked
                segments = tuple(_packed_anew(chapter, redactor))
                redactor.masked = masked
            writer.masked(redactor.masked)
        self._first = False
        writer.chapter(chapter.start_ns, chapter.first, keyframe)
        records, scanned = chapter.records, chapter.scanned
        for segment in segments:
            writer.segment(*segment, records, scanned)
            records = scanned = 0
        writer.rows(arrived)
        writer.commit()

    def _clean_keyframe(self, chapter: FrozenChapter, redactor: Redactor) -> bytes:
        state, before = chapter.state(), redactor.masked
        clean_state = masked_in(state, redactor)
        redactor.masked = before  # what tables still hold was counted when it came in
        if clean_state is state:
            return chapter.keyframe
        self._masked_any = True
        return packed_state(clean_state)

    def ticks(self, ticks: Sequence[Tick]) -> None:
        self._writer.begin()
        self._writer.ticks(ticks)
        self._writer.commit()

    def end(
        self, containers: Callable[[str], Container | None], user: Callable[[int], str | None], checks: Sequence[Check]
    ) -> None:
        """All else, and the end of the file. The lookups are asked for what nobody has told so far."""
        writer, facts, known = self._writer, self._facts, dict(self._facts.containers)
        writer.begin()
        for note in facts.notes:
            writer.note(note if self._redactor is None else note._replace(text=self._redactor.text(note.text)))
        if self._redactor is not None:
            writer.masked(self._redactor.masked)
        for narrowing in facts.narrowings:
            writer.narrowing(*narrowing)
        writer.modules(facts.modules)
        writer.checks(checks)
        found = [(cgroup, known.get(cgroup) or containers(cgroup)) for cgroup in writer.new_cgroups]
        writer.containers([ContainerFacts(cgroup, container) for cgroup, container in found if container is not None])
        writer.users([(uid, name) for uid in writer.new_uids if (name := user(uid)) is not None])
        writer.commit()
        writer.end("it was frozen")


def masked_in(value: Any, redactor: Redactor) -> Any:
    """The same with every record in it masked; the very same where there was nothing to mask."""
    if type(value) in (ExecRecord, EventRecord):
        return redactor.record(value)
    if isinstance(value, list):
        masked = [masked_in(item, redactor) for item in value]
        return masked if any(a is not b for a, b in zip(masked, value, strict=True)) else value
    if isinstance(value, tuple):
        items = [masked_in(item, redactor) for item in value]
        if all(a is b for a, b in zip(items, value, strict=True)):
            return value
        return tuple.__new__(type(value), items)
    return value


def _batches(chapter: FrozenChapter, frames: dict[Frame, Frame], *, scans: bool) -> Iterator[Arrived]:
    reader = ChapterReader(chapter, scans=scans, stacks_from_ns=0, frames=frames)
    while (found := reader.next()) is not None:
        yield from found[1]


def _masked_batch(arrived: Arrived, redactor: Redactor) -> Arrived:
    records = [
        redactor.record(record) if type(record) is not StackRecord else record for record in arrived.batch.records
    ]
    return arrived._replace(batch=arrived.batch._replace(records=records))


def _packed_anew(chapter: FrozenChapter, redactor: Redactor) -> Iterator[FrozenSegment]:
    reader, writer = ChapterReader(chapter, scans=True, stacks_from_ns=0), ChapterWriter()
    for segment in chapter.segments:
        found = reader.next()
        assert found is not None
        first, arrived = found
        events, stacks = writer.pack(first, [_masked_batch(each, redactor) for each in arrived])
        yield FrozenSegment(segment.newest_ns, events, stacks)
