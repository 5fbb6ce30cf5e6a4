"""Writes a snapshot file: everything of one second in one transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ebtop.errors import EbtopError
from ebtop.store.check import Check
from ebtop.store.evidence import CollectionFacts, ContainerFacts, HostFacts, Note
from ebtop.store.file import facts, schema
from ebtop.store.file.columns import Rows, Value, as_json
from ebtop.store.file.facts import PeriodFacts
from ebtop.store.file.interning import AT_HAND, Interned
from ebtop.store.file.making import make, remove
from ebtop.store.file.seconds import pack_seconds
from ebtop.store.history.arrived import Arrived
from ebtop.store.records import ConnectRecord, ModuleFacts, Record, StackRecord, TcpRecord
from ebtop.store.ticks import Tick

_WAL_PAGES = 256
"""So many pages beside the file, 1 MiB, or one transaction: what is lost where the file is handed on without it."""
_PAGE = 4096
_BLOCK = 20
"""Seconds of health in one row."""
_STANDING_NS = 60 * 10**9
"""How often open connections are written down as rows, less often where there are more than a thousand."""

Made = TypeVar("Made")


class Written(NamedTuple):
    """A chapter, as far as it is in the file."""

    number: int
    start_ns: int
    newest_ns: int
    first_batch: int
    first_segment: int
    segments: int
    records: int
    scanned: int


class FileWriter:
    """One file, for one thread. Every method raises EbtopError where the file can't be written; what was committed
    before stays in it."""

    def __init__(
        self,
        path: Path,
        host: HostFacts,
        collection: CollectionFacts,
        began_ns: int,
        *,
        force: bool = False,
        at_hand: int = AT_HAND,
    ) -> None:
        """Makes the file; see `making.make` and, for `at_hand`, `interning.AT_HAND`."""
        self.path = path
        make(path, force=force)
        try:
            # One writer, one thread at a time: of the thread that ends it, too.
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30.0)
            self._database.execute(f"PRAGMA page_size = {_PAGE}")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
            self._database.execute("PRAGMA cache_size = -1024")
            self._database.execute("BEGIN")
            for statement in schema.statements().split(";\n"):
                self._database.execute(statement)
            self._write_facts("host", host)
            self._write_facts("collection", collection)
            self._period = PeriodFacts(began_ns=began_ns)
            self._write_facts("period", self._period)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._database.close()
            remove(path)
            raise self._failed(error) from None
        self._names = Interned(self._database, at_hand)
        self._makers = {kind: Rows.of(kind, self._names.texts) for kind in schema.EVENTS}
        self._inserts = {
            kind: f"INSERT INTO {table} VALUES ({','.join('?' * len(self._makers[kind].columns))})"
            for kind, (table, _) in schema.EVENTS.items()
        }
        self._chapter: Written | None = None
        self._segments = 0
        self._block: list[Tick] = []
        self._lost: dict[tuple[str, str], int] = {}
        self._standing_due_ns = 0
        self._open: Sequence[TcpRecord] = ()
        self._pending: Sequence[ConnectRecord] = ()
        self._cgroups: set[str] = set()
        self.new_cgroups: set[str] = set()
        """Cgroups of records that nobody has told the containers of."""
        self._uids: set[int] = set()
        self.new_uids: set[int] = set()
        """The same of users."""

    def begin(self) -> None:
        """What comes now is committed together, or not at all."""
        self._run("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._guard(self._names.flush)
        self._write_facts("period", self._period)
        self._run("COMMIT")

    def roll_back(self) -> None:
        """After an error."""
        if self._database.in_transaction:
            self._database.rollback()

    @property
    def size(self) -> int:
        """Bytes that the file will have when it is ended now."""
        (pages,) = self._guard(lambda: self._database.execute("PRAGMA page_count").fetchone())
        return int(pages) * _PAGE

    # The history, for replay

    def chapter(self, start_ns: int, first_batch: int, keyframe: bytes) -> None:
        """A new chapter begins."""
        number = 1 if self._chapter is None else self._chapter.number + 1
        self._chapter = Written(number, start_ns, start_ns, first_batch, self._segments + 1, 0, 0, 0)
        self._run("INSERT INTO keyframes VALUES (?, ?)", (number, keyframe))
        self._write_chapter()

    def segment(self, newest_ns: int, events: bytes, stacks: bytes, records: int, scanned: int) -> None:
        """The next segment of the chapter."""
        assert self._chapter is not None
        self._segments += 1
        self._run("INSERT INTO segments VALUES (?, ?, ?, ?)", (self._segments, newest_ns, events, stacks))
        self._chapter = self._chapter._replace(
            newest_ns=newest_ns, segments=self._chapter.segments + 1, records=self._chapter.records + records,
            scanned=self._chapter.scanned + scanned,
        )  # fmt: skip
        self._write_chapter()
        self._period = self._period._replace(
            written_ns=max(newest_ns, self._period.written_ns), seen=self._period.seen + records
        )

    def _write_chapter(self) -> None:
        assert self._chapter is not None
        self._run(f"INSERT OR REPLACE INTO chapters VALUES ({','.join('?' * len(self._chapter))})", self._chapter)

    def tick(self, tick: Tick) -> None:
        """One second of health, later than the one before."""
        if len(self._block) >= _BLOCK:
            self._block = []
        self._block.append(tick)
        self._write_block(self._block)
        self._write_seconds([tick])

    def ticks(self, ticks: Sequence[Tick]) -> None:
        """Many at once, oldest first."""
        for first in range(0, len(ticks), _BLOCK):
            self._write_block(ticks[first : first + _BLOCK])
        self._write_seconds(ticks)

    def _write_block(self, block: Sequence[Tick]) -> None:
        self._run(
            "INSERT OR REPLACE INTO health_blocks VALUES (?, ?, ?)",
            (block[0].time_ns, block[-1].time_ns, pack_seconds(block)),
        )

    def _write_seconds(self, ticks: Sequence[Tick]) -> None:
        self._many(f"INSERT OR REPLACE INTO second_rows VALUES ({','.join('?' * 22)})", map(_second, ticks))
        for tick in ticks:
            new = [
                (probe.name, reason, lost)
                for probe in tick.health.probes
                for reason, lost in probe.lost.items()
                if self._lost.get((probe.name, reason), 0) != lost
            ]
            if new:
                self._lost.update({(name, reason): lost for name, reason, lost in new})
                self._many("INSERT INTO loss_rows VALUES (?, ?, ?, ?)", [(tick.time_ns, *row) for row in new])
        if ticks:
            self._write_probes(ticks[-1])

    def _write_probes(self, tick: Tick) -> None:
        rows = [
            (
                probe.name, probe.state, probe.error, probe.fix, probe.events, as_json(tuple(probe.lost.items())),
                probe.runs, probe.run_ns, probe.map_bytes, as_json(probe.notes),
            )
            for probe in tick.health.probes
        ]  # fmt: skip
        self._many("INSERT OR REPLACE INTO probes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    # Rows, for people

    def rows(self, arrived: Iterable[Arrived]) -> None:
        """What came in, as rows."""
        records = list(chain.from_iterable([batch.records for _, batch in arrived]))
        for kind, maker in self._makers.items():
            of_kind: list[Any] = [record for record in records if type(record) is kind]
            if of_kind:
                self._look_at(of_kind)
                self._many(self._inserts[kind], self._made(maker, of_kind))
        self._samples([record for record in records if type(record) is StackRecord])
        for _, batch in arrived:
            if batch.tcp_scan is not None:
                self._open = batch.tcp_scan.connections
            if batch.pending_connects is not None:
                self._pending = batch.pending_connects
            if batch.modules:
                self.modules(batch.modules)
        if self._period.written_ns >= self._standing_due_ns:
            self.standing()
            self._standing_due_ns = self._period.written_ns + _STANDING_NS * max(1, len(self._open) // 1000)

    def standing(self) -> None:
        """Write down which connections are open and which connects hang, in place of what was written before."""
        for table, kind, records in (
            (schema.OPEN, TcpRecord, self._open), (schema.PENDING, ConnectRecord, self._pending),
        ):  # fmt: skip
            self._run(f"DELETE FROM {table}")
            self._look_at(records)
            insert = self._inserts[kind].replace(schema.EVENTS[kind][0], table)
            self._many(insert, self._made(self._makers[kind], records))

    def _samples(self, records: Sequence[StackRecord]) -> None:
        self._look_at(records)
        self._many(
            "INSERT INTO sample_rows VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET samples = samples + excluded.samples, amount = amount + excluded.amount",
            self._guard(lambda: self._sample_rows(records)),
        )

    def _sample_rows(self, records: Sequence[StackRecord]) -> list[Sequence[Value]]:
        times = [record.time_ns // (schema.SAMPLES_S * 10**9) * schema.SAMPLES_S for record in records]
        stacks = self._names.stacks([record.frames for record in records])
        samples, amounts = [record.samples for record in records], [record.amount for record in records]
        return list(zip(times, self._names.tasks(records), stacks, samples, amounts, strict=True))

    def _made(self, maker: Rows, records: Sequence[tuple[Any, ...]]) -> list[Sequence[Value]]:
        return self._guard(lambda: list(maker.rows(records)))

    def _look_at(self, records: Iterable[Record]) -> None:
        cgroups = {record.cgroup for record in records if record.cgroup is not None} - self._cgroups
        uids = {record.uid for record in records if record.uid is not None} - self._uids
        self._cgroups |= cgroups
        self._uids |= uids
        self.new_cgroups |= cgroups
        self.new_uids |= uids

    def containers(self, found: Iterable[ContainerFacts]) -> None:
        known = list(found)
        numbers = self._guard(lambda: self._names.texts([cgroup for cgroup, _ in known]))
        self._many(
            "INSERT OR REPLACE INTO containers VALUES (?, ?, ?, ?, ?, ?)",
            [(number, *container) for number, (_, container) in zip(numbers, known, strict=True)],
        )

    def users(self, names: Iterable[tuple[int, str]]) -> None:
        """uid and name."""
        self._many("INSERT OR REPLACE INTO users VALUES (?, ?)", names)

    def modules(self, modules: Iterable[ModuleFacts]) -> None:
        self._many("INSERT OR REPLACE INTO modules VALUES (?, ?, ?, ?)", modules)

    def checks(self, checks: Iterable[Check]) -> None:
        """What the doctor found."""
        self._many("INSERT INTO checks VALUES (?, ?, ?, ?, ?, ?)", [(n, *check) for n, check in enumerate(checks)])

    def note(self, note: Note) -> None:
        self._run("INSERT INTO note_rows VALUES (?, ?)", note)

    def narrowing(self, time_ns: int, text: str) -> None:
        """What the kernel filtered from then on."""
        self._run("INSERT INTO narrowing_rows VALUES (?, ?)", (time_ns, text))

    def gap(self, from_ns: int, until_ns: int, what: str) -> None:
        """Something is missing."""
        self._run("INSERT INTO gap_rows VALUES (?, ?, ?)", (from_ns, until_ns, what))

    def masked(self, count: int) -> None:
        """How many secrets were masked so far."""
        self._period = self._period._replace(masked=count)

    # The end

    def end(self, why: str = "") -> None:
        """Write down the end, and leave one file. Call it once; not within a transaction."""
        self._period = self._period._replace(ended_ns=time.time_ns(), ended_why=why)
        self.begin()
        self.standing()
        self.commit()
        # Back to one file; a reader that has it open at this moment keeps the other there, which does no harm.
        self._guard(lambda: self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        try:
            self._database.execute("PRAGMA busy_timeout = 0")
            self._database.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError:
            pass
        self.close()

    def close(self) -> None:
        """Without an end; for after an error."""
        self._guard(self._database.close)

    def _write_facts(self, prefix: str, values: tuple[Any, ...]) -> None:
        self._many("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.rows(prefix, values))

    def _run(self, statement: str, values: Sequence[Value] = ()) -> None:
        self._guard(lambda: self._database.execute(statement, values))

    def _many(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        # Rows are made before: making them may look up numbers in the file.
        self._guard(lambda: self._database.executemany(statement, rows))

    def _guard(self, action: Callable[[], Made]) -> Made:
        try:
            return action()
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def _failed(self, error: sqlite3.Error) -> EbtopError:
        text = str(error)
        fix = "make room, or name a file elsewhere" if "full" in text else "name a file elsewhere"
        return EbtopError(f"can't write {self.path}", text, fix)


def _second(tick: Tick) -> tuple[Value, ...]:
    node, health = tick.health.node, tick.health
    pressure = node.pressure if node is not None else None
    return (
        tick.time_ns, *tick.rates, *((node.cpu_percent, node.load[0], node.memory_used, node.memory_total)
        if node is not None else (None,) * 4), *(pressure or (None,) * 3), health.own_cpu_ns, health.rss_bytes,
        sum(probe.lost_total for probe in health.probes), health.narrowed,
    )  # fmt: skip
