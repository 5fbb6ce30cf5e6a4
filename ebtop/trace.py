"""`ebtop trace`: what the probes see as lines on standard output, for people or for programs."""

from __future__ import annotations

import json
import os
import select
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TextIO

from ebtop.ending import on_signal
from ebtop.errors import EbtopError
from ebtop.export.columns import Columns
from ebtop.export.ndjson import JsonLines
from ebtop.export.record_types import types_of
from ebtop.probes import REGISTRY
from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.session import LiveSource
from ebtop.store.containers import ContainerLookup
from ebtop.store.records import Batch, ConnectRecord, Record, StackRecord, TcpRecord
from ebtop.store.source import ProbeHealth
from ebtop.store.stack_kinds import STACK_KINDS

if TYPE_CHECKING:
    from ebtop.store.filter import Filter


class TraceOptions(NamedTuple):
    """What `trace` was asked for."""

    probes: tuple[str, ...]
    as_json: bool = False
    duration_s: float | None = None
    interval_s: float | None = None
    """How often stacks are printed; None = once, at the end."""
    settings: Settings = Settings()
    filter_spec: FilterSpec = FilterSpec()
    chosen: Filter | None = None
    """What is printed of what passes `filter_spec`; None = all."""


def trace(options: TraceOptions) -> int:
    """Print until the time is up, SIGINT, SIGTERM, or nobody reads any more. Returns the exit code."""
    output = _output()
    source = LiveSource(options.probes, options.settings, options.filter_spec, on_log=_say)
    printer = _Printer(options, output, source.stop, source.containers)
    on_signal(source.stop)
    try:
        if options.chosen is not None:
            source.narrow(options.chosen.pushed(), frozenset(options.probes))
        source.open()
        failures = source.failures
        printer.begin([name for name in options.probes if name in source.loaded], failures)
        if len(failures) == len(options.probes):
            return 1
        timers = [threading.Timer(options.duration_s, source.stop)] if options.duration_s is not None else []
        for timer in timers:
            timer.daemon = True
            timer.start()
        source.run(printer.take)
        printer.end(source.health().probes)
    finally:
        source.close()
        printer.close()
    return 1 if printer.failed else 0


class _Printer:
    """Turns batches into lines. Batches come from two threads."""

    def __init__(
        self, options: TraceOptions, output: TextIO, stop: Callable[[], None], containers: ContainerLookup
    ) -> None:
        self._options = options
        self._output = output
        self._stop = stop
        self.failed = False
        """Lines were lost because they could not be written, though somebody wanted them."""
        self._columns = Columns(options.probes)
        self._format: Callable[[Record], str] = JsonLines(containers).line if options.as_json else self._columns.line
        self._passes = options.chosen.predicate(containers) if options.chosen is not None else None
        self._filtered: Counter[type[Record] | str] = Counter()
        self._lock = threading.Lock()
        self._connections: dict[int, TcpRecord] = {}
        self._pending: frozenset[tuple[int, int, str, int]] = frozenset()
        self._stacks: dict[tuple[object, ...], StackRecord] = {}
        self._stacks_due_ns = 0

    def begin(self, attached: list[str], failures: dict[str, EbtopError]) -> None:
        """The ready line, and one for each probe that could not be attached."""
        if self._options.as_json:
            lines = [json.dumps({"type": "ready", "probes": attached})] if attached else []
            lines += [
                json.dumps(
                    {"type": "probe-failed", "probe": name, "error": _error_text(error), "fix": error.fix or None}
                )
                for name, error in failures.items()
            ]
            self._write(lines)
        elif attached:
            self._write([line for line in [self._columns.header()] if line])

    def take(self, batch: Batch) -> None:
        """Sink for the source. Comes once a second even when nothing happens."""
        if _reader_is_gone():
            self._stop()
        with self._lock:
            records = self._wanted(batch.records, counted=True)
            events: list[Record] = [r for r in records if not isinstance(r, StackRecord)]
            for record in records:
                if isinstance(record, StackRecord):
                    self._add_stack(record)
            if batch.tcp_scan is not None:
                events.extend(self._wanted(self._changed(batch.tcp_scan.connections)))
            if batch.pending_connects is not None:
                events.extend(self._wanted(self._newly_pending(batch.pending_connects)))
            lines = [self._format(record) for record in events]
            interval = self._options.interval_s
            if interval is not None and batch.time_ns >= self._stacks_due_ns:
                if self._stacks_due_ns:
                    lines += self._stack_lines()
                self._stacks_due_ns = batch.time_ns + int(interval * 1e9)
            if lines:
                self._write(lines)

    def end(self, probes: Iterable[ProbeHealth]) -> None:
        """The stacks that are left, then one line of totals for each probe."""
        with self._lock:
            lines = self._stack_lines()
            totals = probe_stats(self._options.probes, probes, self._filtered)
            if self._options.as_json:
                lines += [json.dumps({"type": "stats", **stats._asdict()}) for stats in totals]
            self._write(lines)
            if not self._options.as_json:
                for stats in totals:
                    _say_stats(stats)

    def close(self) -> None:
        """Make sure that a reader who left does not become a traceback when Python flushes at exit."""
        try:
            self._output.flush()
        except (OSError, ValueError):
            _discard_output()

    def _wanted(self, records: list[Record], counted: bool = False) -> list[Record]:
        """What the filter lets through; `counted` where the records are a probe's events."""
        passes = self._passes
        if passes is None:
            return records
        wanted = []
        for record in records:
            if passes(record):
                wanted.append(record)
            elif counted:
                self._filtered.update(
                    {record.kind: record.samples} if isinstance(record, StackRecord) else {type(record): 1}
                )
        return wanted

    def _add_stack(self, record: StackRecord) -> None:
        key = (
            record.kind, record.pid, record.comm, record.frames, record.complete, record.thread, record.state,
            record.waker, record.waker_pid,
        )  # fmt: skip
        known = self._stacks.get(key)
        if known is not None:
            record = record._replace(samples=known.samples + record.samples, amount=known.amount + record.amount)
        self._stacks[key] = record

    def _stack_lines(self) -> list[str]:
        """By kind, the heaviest first."""
        stacks = sorted(self._stacks.values(), key=lambda r: (STACK_KINDS.index(r.kind), -r.amount, -r.samples))
        self._stacks.clear()
        return [self._format(record) for record in stacks]

    def _changed(self, connections: tuple[TcpRecord, ...]) -> list[Record]:
        """Connections that are new or in which something moved; the source reuses the records of the others."""
        before, self._connections = self._connections, {record.key: record for record in connections}
        return [record for record in connections if before.get(record.key) is not record]

    def _newly_pending(self, pending: tuple[ConnectRecord, ...]) -> list[Record]:
        before = self._pending
        identity = {(r.key, r.pid, r.daddr, r.dport): r for r in pending}
        self._pending = frozenset(identity)
        return [record for key, record in identity.items() if key not in before]

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        try:
            self._output.write("\n".join(lines) + "\n")
            self._output.flush()
        except BrokenPipeError:
            _discard_output()
            self._stop()
        except OSError as error:
            _say(f"can't write to standard output: {error.strerror}")
            self.failed = True
            _discard_output()
            self._stop()


class ProbeStats(NamedTuple):
    """Totals of one probe, with its share of what it needs from others."""

    probe: str
    events: int
    lost: int
    runs: int
    run_ns: int
    map_bytes: int
    lost_reasons: dict[str, int]
    notes: tuple[str, ...]
    filtered: int = 0
    """Of the events, those that were not printed: --filter left them out, and the kernel could not."""


def probe_stats(
    chosen: tuple[str, ...], probes: Iterable[ProbeHealth], filtered: Mapping[type[Record] | str, int] | None = None
) -> list[ProbeStats]:
    """One entry for each chosen probe; what internal ones cost is added to the first that requires them.

    `filtered` counts events that were left out, by their type, and stacks by their kind.
    """
    left_out = dict(filtered or {})
    by_name = {health.name: health for health in probes}
    extra: dict[str, list[ProbeHealth]] = {name: [] for name in chosen}
    for name, health in by_name.items():
        if name not in extra:
            users = [probe for probe in chosen if name in REGISTRY[probe].requires]
            extra[(users or list(chosen))[0]].append(health)
    stats = []
    for name in chosen:
        parts = [by_name[name], *extra[name]] if name in by_name else extra[name]
        reasons: dict[str, int] = {}
        for part in parts:
            for reason, n in part.lost.items():
                reasons[reason] = reasons.get(reason, 0) + n
        stats.append(
            ProbeStats(
                name, sum(p.events for p in parts), sum(reasons.values()), sum(p.runs for p in parts),
                sum(p.run_ns for p in parts), sum(p.map_bytes for p in parts), reasons,
                tuple(note for p in parts for note in p.notes),
                sum(left_out.pop(what, 0) for what in (name, *types_of((name,)))),
            )
        )  # fmt: skip
    return stats


def _output() -> TextIO:
    try:
        os.fstat(1)
    except OSError:
        raise EbtopError("there is nowhere to write", "standard output is closed", "redirect it to a file") from None
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    return sys.stdout


def _reader_is_gone() -> bool:
    """Whether standard output is a pipe that nobody reads any more; a write would only tell at the next event."""
    poll = select.poll()
    poll.register(1, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _discard_output() -> None:
    """Point standard output at nothing, so that whatever is still buffered can go somewhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _say(line: str) -> None:
    """A line for the person, beside the data."""
    print(f"ebtop: {line}", file=sys.stderr, flush=True)


def _say_stats(stats: ProbeStats) -> None:
    per_run = f", {stats.run_ns // stats.runs} ns a run" if stats.runs and stats.run_ns else ""
    lost = f"{stats.lost} lost ({', '.join(stats.lost_reasons)})" if stats.lost else "none lost"
    filtered = f", {stats.filtered} filtered out" if stats.filtered else ""
    cost = f"{stats.runs} runs{per_run}, {stats.map_bytes >> 10} KiB maps"
    _say(f"{stats.probe}: {stats.events} events{filtered}, {lost}, {cost}")


def _error_text(error: EbtopError) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what
