"""The part of some evidence that is exported: a range, what a filter lets through, with secrets masked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice

from ebtop.export.about import About, Loss
from ebtop.export.stack_sums import EMPTY, Profile, profiles
from ebtop.store.evidence import Evidence, Note
from ebtop.store.filter import Filter
from ebtop.store.records import Batch, Record, StackRecord, TcpRecord, TcpScan
from ebtop.store.redact import Redactor
from ebtop.store.rows import Snapshot, TcpRow
from ebtop.store.selection import Predicate
from ebtop.store.store import Store

_BATCH = 4096
_SECOND_NS = 1_000_000_000


class Extract:
    """Hands out everything as an export needs it. `about` is right when all else has been read."""

    def __init__(
        self,
        evidence: Evidence,
        chosen: Filter | None = None,
        from_ns: int | None = None,
        until_ns: int | None = None,
        redactor: Redactor | None = None,
        kind: str = "",
    ) -> None:
        """`from_ns` and `until_ns` None = as far as there is anything. `redactor` None = secrets stay. `kind` of stacks
        is for formats with room for one; "" = cpu where there is any."""
        self.evidence = evidence
        self.chosen = chosen if chosen else None
        self.from_ns = evidence.from_ns if from_ns is None else max(from_ns, evidence.from_ns)
        self.until_ns = evidence.until_ns if until_ns is None else min(until_ns, evidence.until_ns)
        self.redactor = redactor
        self.kind = kind

    @property
    def seconds(self) -> float:
        return max(0, self.until_ns - self.from_ns) / _SECOND_NS

    @cached_property
    def _passes(self) -> Predicate | None:
        return self.chosen.predicate(self.evidence.containers) if self.chosen else None

    def records(self, from_ns: int | None = None, until_ns: int | None = None) -> Iterator[Record]:
        """What happened, in order of time."""
        records = self.evidence.records(*self._range(from_ns, until_ns))
        chosen = records if self._passes is None else filter(self._passes, records)
        return iter(chosen) if self.redactor is None else map(self.redactor.record, chosen)

    def stacks(self, from_ns: int | None = None, until_ns: int | None = None) -> Iterator[StackRecord]:
        stacks = self.evidence.stacks(*self._range(from_ns, until_ns))
        return iter(stacks) if self._passes is None else filter(self._passes, stacks)

    def text(self, text: str) -> str:
        """A text that may hold a command line."""
        return text if self.redactor is None else self.redactor.text(text)

    @cached_property
    def profiles(self) -> tuple[Profile, ...]:
        """One for each kind of stacks there is, cpu first."""
        return profiles(self.stacks(), distinct=True)

    @property
    def profile(self) -> Profile:
        """The one that a format with room for a single kind shows."""
        if self.kind:
            return next((p for p in self.profiles if p.kind == self.kind), replace(EMPTY, kind=self.kind))
        return self.profiles[0] if self.profiles else EMPTY

    @property
    def partial(self) -> bool:
        """Whether `snapshot` is of a part, and made for it."""
        return self.chosen is not None or self.from_ns > self.evidence.from_ns

    def open_connections(self) -> list[TcpRecord]:
        """What is open at the end, with its bytes so far."""
        live = [_live(row, self.until_ns) for row in self._at_end.tcp if row.open]
        return live if self._passes is None else [record for record in live if self._passes(record)]

    @cached_property
    def _at_end(self) -> Snapshot:
        return self.evidence.snapshot(self.until_ns)

    @cached_property
    def snapshot(self) -> Snapshot:
        """The tables at the end, adding up what happened in the range and passes. Command lines are not masked yet.

        With a filter or a later start they are made from the records, and from the connections open at the end.
        """
        at_end = self._at_end
        if not self.partial:
            return at_end
        store = Store(lambda: self.until_ns, keep_stacks=False, own_histogram=True)
        records = self.evidence.records(self.from_ns, self.until_ns)
        passing = iter(records) if self._passes is None else filter(self._passes, records)
        while batch := list(islice(passing, _BATCH)):
            store.ingest(Batch(batch[-1].time_ns, batch))
        live = tuple(self.open_connections())
        scan = TcpScan(self.until_ns, live, at_end.tcp_netns, at_end.tcp_netns_missed)
        store.ingest(Batch(self.until_ns, [], scan))
        return store.snapshot()

    @cached_property
    def notes(self) -> Sequence[Note]:
        """Those of the range."""
        notes = [note for note in self.evidence.notes() if self.from_ns <= note.time_ns <= self.until_ns]
        return [note._replace(text=self.text(note.text)) for note in notes]

    @property
    def masked(self) -> int | None:
        """Secrets masked so far; None = nobody looked for any."""
        if self.redactor is None:
            return self.evidence.masked
        return self.redactor.masked + (self.evidence.masked or 0)

    def about(self) -> About:
        evidence = self.evidence
        host, collection = evidence.host, evidence.collection
        health = evidence.health()
        seen = dict.fromkeys(f"{probe.name}: {note}" for probe in health.probes for note in probe.notes)
        failed = [f"{p.name} did not run: {p.error or 'it was off'}" for p in health.probes if p.state == "failed"]
        return About(
            host=host.name,
            kernel=host.kernel,
            distribution=host.distribution,
            cpus=host.cpus,
            from_ns=self.from_ns,
            until_ns=self.until_ns,
            chosen=self.text(self.chosen.text) if self.chosen else "",
            recorded=self.text(collection.filters),
            losses=self._losses(),
            limits=(*evidence.incomplete, *failed, *map(self.text, seen)),
            notes=tuple(self.notes),
            masked=self.masked,
            title=collection.title,
        )

    def _losses(self) -> tuple[Loss, ...]:
        """In the range, as far as the seconds tell; counters run since a probe was loaded."""
        latest = {(p.name, reason): n for p in self.evidence.health().probes for reason, n in p.lost.items()}
        if self.until_ns < self.evidence.until_ns or self.from_ns > self.evidence.from_ns:
            ticks = self.evidence.ticks(None, self.until_ns)
            if ticks:
                latest = {(p.name, reason): n for p in ticks[-1].health.probes for reason, n in p.lost.items()}
                before = [tick for tick in ticks if tick.time_ns <= self.from_ns]
                for probe in before[-1].health.probes if before else ():
                    for reason, n in probe.lost.items():
                        now = latest.get((probe.name, reason), 0)
                        # Fewer than before: the probe was loaded anew.
                        latest[probe.name, reason] = now - n if now >= n else now
        return tuple(Loss(name, reason, n) for (name, reason), n in sorted(latest.items()) if n)

    def _range(self, from_ns: int | None, until_ns: int | None) -> tuple[int, int]:
        return (self.from_ns if from_ns is None else from_ns), (self.until_ns if until_ns is None else until_ns)


def _live(row: TcpRow, time_ns: int) -> TcpRecord:
    """A connection that is open, as a scan sees it."""
    return TcpRecord(
        time_ns, row.pid, row.comm, row.uid, row.cgroup, "live", row.key, row.ip, row.saddr, row.sport, row.daddr,
        row.dport, row.state, row.tx_bytes, row.rx_bytes, row.duration_s, row.direction, row.netns, row.owner, None,
        None, row.retransmits,
    )  # fmt: skip
