"""Reads a snapshot file that anybody may have made. Nothing of it is held but an index."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from ebtop.errors import EbtopError
from ebtop.store.check import Check
from ebtop.store.containers import Container, ContainerLookup
from ebtop.store.evidence import ContainerFacts, Note
from ebtop.store.file import facts
from ebtop.store.file.chapters import FileChapters
from ebtop.store.file.opening import Database
from ebtop.store.file.seconds import unpack_seconds
from ebtop.store.history.corrupt import CorruptData
from ebtop.store.history.history import SECOND_NS
from ebtop.store.passing import events, summed_stacks
from ebtop.store.past import Past
from ebtop.store.records import ModuleFacts, Record, StackRecord
from ebtop.store.rows import Rates, Snapshot, StackSpan, with_stacks
from ebtop.store.selection import Selection
from ebtop.store.source import Health, NodeLoad, Pressure, ProbeHealth
from ebtop.store.ticks import Tick
from ebtop.text import clean
from ebtop.units import wall_clock

_WINDOW_NS = 720 * SECOND_NS
"""A filter or a drill-down looks back as far as it does live."""
_MAX_TICKS = 4000
"""Ticks handed out of a long time."""
_NO_HEALTH = Health(0, (), 0, 0, 1, False, ())
_FIGURES = (
    "execs", "exits", "exec_failures", "connects", "accepts", "closes", "retransmits", "tx_bytes", "rx_bytes",
    "samples", "cpu_percent", "load1", "memory_used", "memory_total", "pressure_cpu", "pressure_memory",
    "pressure_io", "own_cpu_ns", "rss_bytes", "narrowed",
)  # fmt: skip
"""Of `second_rows`, after the time: ten rates, then what health has of it."""

Found = TypeVar("Found")


class SnapshotFile:
    """Implements Evidence. Every method raises EbtopError for what is damaged."""

    def __init__(self, path: Path) -> None:
        """Opens in well under a second whatever its size. Raises EbtopError, one line, for what can't be read."""
        self.path = path
        self._database = Database(path)
        values = dict(self._database.rows("SELECT name, value FROM facts LIMIT 1000"))
        self._facts = facts.read(values, clean)
        self.host, self.collection = self._facts.host, self._facts.collection
        self._chapters = FileChapters(self._database, clean)
        self._past = Past(self._chapters.reach, _WINDOW_NS)
        self._containers = self._all_containers()
        self.containers: ContainerLookup = self._container_of
        self.users = {
            uid: clean(name) for uid, name in self._optional("users", "uid, name")
            if isinstance(uid, int) and isinstance(name, str)
        }  # fmt: skip

    def close(self) -> None:
        self._database.close()

    @property
    def bytes(self) -> int:
        return os.stat(self.path).st_size

    @property
    def period(self) -> facts.PeriodFacts:
        """As it stands in the file now."""
        values = dict(self._database.rows("SELECT name, value FROM facts WHERE name >= 'period.' LIMIT 100"))
        return facts.read(values, clean).period

    @property
    def from_ns(self) -> int:
        chapters = self._chapters.all
        return chapters[0].start_ns if chapters else self._facts.period.began_ns

    @property
    def until_ns(self) -> int:
        reach = self._chapters.reach()
        if not reach.chapters:
            return self._facts.period.began_ns
        return max(chapter.reached_ns for chapter in self._chapters.all[-2:])

    @property
    def seen(self) -> int:
        """Records in it."""
        return sum(chapter.records for chapter in self._chapters.all)

    @property
    def masked(self) -> int | None:
        masked = self.period.masked
        return masked if masked >= 0 else None

    @property
    def being_written(self) -> bool:
        """It was not ended: somebody still writes to it, or was killed."""
        return not self.period.ended_ns

    @property
    def incomplete(self) -> tuple[str, ...]:
        told = []
        if self._database.stale:
            told.append("what lies beside the file (-wal) can't be read here: seconds at its end are missing")
        elif self.being_written and not os.path.exists(f"{self.path}-wal"):
            told.append("it was not ended, and nothing lies beside it (-wal): some seconds at its end may be missing")
        elif self.being_written:
            told.append("it was not ended: it is still being written, or its writer was killed")
        told += [
            f"{wall_clock(since)} to {wall_clock(until)}: {clean(what)}"
            for since, until, what in self._optional("gap_rows", "from_ns, until_ns, what")
            if isinstance(since, int) and isinstance(until, int) and isinstance(what, str)
        ]
        return tuple(told)

    def _container_of(self, cgroup: str | None) -> Container | None:
        while cgroup:
            found = self._containers.get(cgroup)
            if found is not None:
                return found
            cgroup = cgroup.rpartition("/")[0]
        return None

    def user(self, uid: int) -> str | None:
        return self.users.get(uid)

    def known_containers(self) -> Sequence[ContainerFacts]:
        return [ContainerFacts(cgroup, container) for cgroup, container in self._containers.items()]

    def modules(self) -> Sequence[ModuleFacts]:
        rows = self._optional("modules", "name, path, build_id, symbols")
        return [ModuleFacts(*map(clean, row)) for row in rows if all(isinstance(value, str) for value in row)]

    def checks(self) -> Sequence[Check]:
        found = []
        for name, status, value, need, fix in self._optional("checks", "name, status, value, need, fix"):
            if status in ("ok", "warn", "fail") and all(isinstance(text, str) for text in (name, value, need)):
                found.append(Check(clean(name), status, clean(value), clean(need), clean(fix) if fix else None))
        return found

    def notes(self) -> Sequence[Note]:
        rows = self._optional("note_rows", "time_ns, text")
        return sorted(Note(at, clean(text)) for at, text in rows if isinstance(at, int) and isinstance(text, str))

    def narrowed_at(self, time_ns: int) -> str:
        """What the kernel filtered at a moment, on top of what was asked for at first."""
        rows = self._optional("narrowing_rows", "time_ns, text", "WHERE time_ns <= ? ORDER BY time_ns DESC", (time_ns,))
        return next((clean(text) for _, text in rows if isinstance(text, str)), "")

    def health(self) -> Health:
        ticks = self.healths(self.until_ns + 60 * SECOND_NS, 1)
        return ticks[-1].health if ticks else _NO_HEALTH

    def healths(self, until_ns: int, count: int) -> list[Tick]:
        """The last ticks up to a moment as they were, so many at most, oldest first."""
        rows = self._optional(
            "health_blocks", "first_ns, seconds", "WHERE first_ns <= ? ORDER BY first_ns DESC LIMIT 2", (until_ns,)
        )
        found: list[Tick] = []
        for _, block in reversed(rows):
            if isinstance(block, bytes):
                with self._damaged():
                    found += unpack_seconds(block, clean)
        found = found[: bisect_right(found, until_ns, key=lambda tick: tick.time_ns)]
        return found[-count:]

    def ticks(self, from_ns: int | None = None, until_ns: int | None = None) -> Sequence[Tick]:
        """Their health has the node's load and what each probe had lost, not what it cost: see `healths`."""
        first, last = self.from_ns if from_ns is None else from_ns, self.until_ns if until_ns is None else until_ns
        step_ns = max(1, (last - first) // _MAX_TICKS)
        # Of several seconds the highest: a spike must not get lost.
        figures = ", ".join(f"max({name})" for name in _FIGURES)
        rows = self._optional(
            "second_rows", f"min(time_ns), {figures}",
            "WHERE time_ns BETWEEN ? AND ? GROUP BY (time_ns - ?) / ? ORDER BY 1", (first, last, first, step_ns),
        )  # fmt: skip
        return self._with_losses([tick for row in rows if (tick := self._tick(row)) is not None])

    def _with_losses(self, ticks: Sequence[Tick]) -> Sequence[Tick]:
        rows = [
            (at, clean(probe), clean(reason), lost)
            for at, probe, reason, lost in self._optional("loss_rows", "time_ns, probe, reason, lost")
            if isinstance(at, int) and isinstance(probe, str) and isinstance(reason, str) and isinstance(lost, int)
        ]
        changes = deque(sorted(rows))
        lost_by: dict[str, dict[str, int]] = {name: {} for name in self.collection.probes}
        probes = _probes(lost_by)
        found = []
        for tick in ticks:
            if changes and changes[0][0] <= tick.time_ns:
                while changes and changes[0][0] <= tick.time_ns:
                    _, probe, reason, lost = changes.popleft()
                    lost_by.setdefault(probe, {})[reason] = lost
                probes = _probes(lost_by)
            found.append(tick._replace(health=tick.health._replace(probes=probes)))
        return found

    def _tick(self, row: Sequence[Any]) -> Tick | None:
        *numbers, narrowed = row
        if not all(value is None or isinstance(value, (int, float)) for value in numbers) or row[0] is None:
            return None
        time_ns, *rates = [value or 0 for value in numbers[:11]]
        cpu, load, used, total, *pressure = numbers[11:18]
        node = None
        if load is not None:
            waits = None if None in pressure else Pressure(*pressure)
            node = NodeLoad(cpu, (load, load, load), int(used or 0), int(total or 0), waits)
        health = _NO_HEALTH._replace(
            time_ns=time_ns, cpus=max(1, self.host.cpus), own_cpu_ns=int(numbers[18] or 0),
            rss_bytes=int(numbers[19] or 0), node=node, narrowed=clean(narrowed) if isinstance(narrowed, str) else "",
        )  # fmt: skip
        return Tick(time_ns, Rates(*rates), health)

    def records(self, from_ns: int | None = None, until_ns: int | None = None) -> Iterator[Record]:
        return self._pass(events(self._chapters.reach(), *self._range(from_ns, until_ns)))

    def stacks(self, from_ns: int | None = None, until_ns: int | None = None) -> Iterator[StackRecord]:
        return self._pass(summed_stacks(self._chapters.reach(), *self._range(from_ns, until_ns)))

    def snapshot(self, time_ns: int | None = None) -> Snapshot:
        return with_stacks(self.at(self.until_ns if time_ns is None else time_ns), (), {})

    def at(self, time_ns: int, selection: Selection | None = None) -> Snapshot:
        """How it was at a moment, with the stacks of the last second; see `Past.at`."""
        return self._read(lambda: self._past.at(time_ns, selection))

    def spans(self, seconds: float, until_ns: int, selection: Selection | None = None) -> list[StackSpan]:
        """The stacks that came in during so many seconds up to a moment, oldest first."""
        return self._read(lambda: self._past.spans(seconds, until_ns, selection))

    def _range(self, from_ns: int | None, until_ns: int | None) -> tuple[int, int]:
        return 0 if from_ns is None else from_ns, 1 << 62 if until_ns is None else until_ns

    def _pass(self, found: Iterator[Found]) -> Iterator[Found]:
        with self._damaged():
            yield from found

    def _read(self, action: Callable[[], Found]) -> Found:
        with self._damaged():
            return action()

    @contextmanager
    def _damaged(self) -> Iterator[None]:
        try:
            yield
        except CorruptData as error:
            raise EbtopError(f"{self.path} is damaged", str(error), "other times of it may still be whole") from None

    def _optional(
        self, table: str, columns: str, rest: str = "", values: tuple[Any, ...] = ()
    ) -> list[tuple[Any, ...]]:
        """Of a table that need not be there."""
        if not self._database.has(table):
            return []
        found = self._database.chunks(f"SELECT {columns} FROM {table} {rest}", values)
        return list(chain.from_iterable(found))

    def _all_containers(self) -> dict[str, Container]:
        if not (self._database.has("containers") and self._database.has("strings")):
            return {}
        rows = self._database.rows(
            "SELECT s.text, c.runtime, c.id, c.name, c.pod, c.namespace FROM containers c "
            "JOIN strings s ON s.id = c.cgroup LIMIT 100000"
        )
        found = {}
        for cgroup, runtime, identity, *names in rows:
            if isinstance(cgroup, str) and isinstance(runtime, str) and isinstance(identity, str):
                known = [clean(name) if isinstance(name, str) else None for name in names]
                found[clean(cgroup)] = Container(clean(runtime), clean(identity), *known)
        return found


def _probes(lost_by: Mapping[str, Mapping[str, int]]) -> tuple[ProbeHealth, ...]:
    """With nothing but their losses."""
    return tuple([ProbeHealth(name, "on", "", "", (), (), 0.0, 0, dict(lost), ()) for name, lost in lost_by.items()])
