"""An extract as CSV (RFC 4180): one table whose first column says what a row is about.

The columns are those that the types in it have, under the names of `ebtop trace --json`: `--filter type:exec` gives a
table of execs alone. Rows of type about, limit, loss, note and end say in `text` where it is from, what is missing, and
that it is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from ebtop.export.about import completeness
from ebtop.export.escape import csv_cell
from ebtop.export.extract import Extract
from ebtop.export.folded_stack import folded
from ebtop.export.record_types import owner_known
from ebtop.export.timestamps import rfc3339
from ebtop.store.command_line import command_line
from ebtop.store.containers import ContainerLookup
from ebtop.store.records import (
    ConnectRecord,
    EventRecord,
    ExecRecord,
    ExitRecord,
    Record,
    RetransmitRecord,
    StackRecord,
    TcpRecord,
)
from ebtop.store.type_names import type_name

_SHARED = ("type", "time", "pid", "comm", "uid", "cgroup", "container", "pod")
_TEXT = "text"
_ADDRESSES = ("ip", "saddr", "sport", "daddr", "dport")
_FIELDS: dict[type[Record], tuple[str, ...]] = {
    ExecRecord: ("ppid", "parent_comm", "ret", "command", "filename", "args_truncated"),
    ExitRecord: ("ppid", "exit_code", "signal", "core_dumped", "duration_s"),
    TcpRecord: (
        "event", *_ADDRESSES, "state", "tx_bytes", "rx_bytes", "duration_s", "direction", "netns", "owner", "error",
        "reset", "retransmits",
    ),
    RetransmitRecord: (*_ADDRESSES, "state", "segments", "kind", "netns", "owner"),
    ConnectRecord: (*_ADDRESSES, "latency_ms", "result", "error", "netns"),
    StackRecord: ("kind", "thread", "count", "complete", "stack"),
}  # fmt: skip
_MADE: dict[str, Callable[[Any], Any]] = {
    "command": command_line,
    "count": lambda stack: stack.samples,
    "stack": folded,
    "thread": lambda stack: stack.thread or stack.comm,
}
"""Columns that are not a field of that name."""


def csv_lines(extract: Extract) -> Iterator[str]:
    """Lines with their ends. Reads the records twice: the types in it decide the columns."""
    columns = list(_SHARED)
    for record_type, names in _columns(extract).items():
        columns += [name for name in names or _FIELDS.get(record_type, ()) if name not in columns]
    columns.append(_TEXT)
    yield _line(columns)
    about = extract.about()
    for line in about.facts():
        yield _says(columns, "about", line, about.from_ns)
    for line in about.limits:
        yield _says(columns, "limit", line, about.from_ns)
    for loss in about.losses:
        yield _says(columns, "loss", f"{loss.probe}: {loss.records} lost, {loss.reason}", about.until_ns)
    for note in about.notes:
        yield _says(columns, "note", note.text, note.time_ns)
    written = 0
    row = _Rows(columns, extract.evidence.containers)
    for record in _all(extract):
        yield row(record)
        written += 1
    end = [f"{written} rows", extract.about().masked_line, *map(completeness, extract.profiles)]
    yield _says(columns, "end", "; ".join(end), about.until_ns)


def _all(extract: Extract) -> Iterator[Record]:
    yield from extract.records()
    yield from extract.open_connections()
    for profile in extract.profiles:
        yield from [stack.record for stack in profile.stacks]


def _columns(extract: Extract) -> dict[type[Record], tuple[str, ...]]:
    """The types there are, in the order of the contract; of events their fields."""
    found: dict[type[Record], dict[str, None]] = {}
    for record in _all(extract):
        fields = found.setdefault(type(record), {})
        if type(record) is EventRecord:
            fields.update(dict.fromkeys([name for name, _ in record.fields]))
    order = [*_FIELDS, EventRecord]
    return {each: tuple(found[each]) for each in order if each in found}


class _Layout(NamedTuple):
    """The cells of one record type behind those that all have."""

    kind: str
    """Its first cell."""
    cells: str
    """A mark for each that has a value."""
    getters: Sequence[Callable[[Any], Any]]
    """Of the values."""


class _Rows:
    """Writes records as rows of some columns."""

    def __init__(self, columns: list[str], containers: ContainerLookup) -> None:
        self._columns = columns
        self._containers = containers
        self._layouts: dict[type[Record], _Layout] = {}
        self._places: dict[str | None, str] = {}

    def __call__(self, record: Record) -> str:
        known = owner_known(record)
        if type(record) is EventRecord:
            kind = csv_cell(type_name(record))
            values = dict(record.fields)
            own = ",".join([_text(values.get(name)) for name in self._columns[len(_SHARED) :]])
        else:
            layout = self._layouts.get(type(record)) or self._layout_of(record)
            kind = layout.kind
            own = layout.cells % tuple([_text(get(record)) for get in layout.getters])
        who = f"{record.pid},{csv_cell(record.comm)}" if known else ","
        place = self._places.get(record.cgroup) or self._place(record.cgroup)
        return f"{kind},{rfc3339(record.time_ns)},{who},{_text(record.uid)},{place},{own}\r\n"

    def _place(self, cgroup: str | None) -> str:
        container = self._containers(cgroup)
        if container is not None and container.runtime == "systemd":
            container = None
        names = (container.name or container.id, container.pod) if container else (None, None)
        found = self._places[cgroup] = ",".join([_text(cgroup), *map(_text, names)])
        return found

    def _layout_of(self, record: Record) -> _Layout:
        fields, own = _FIELDS[type(record)], self._columns[len(_SHARED) :]
        getters = [_MADE.get(name) or attrgetter(name) for name in own if name in fields]
        cells = ",".join(["%s" if name in fields else "" for name in own])
        found = self._layouts[type(record)] = _Layout(csv_cell(type_name(record)), cells, getters)
        return found


def _says(columns: list[str], kind: str, text: str, time_ns: int) -> str:
    cells = {"type": kind, "time": rfc3339(time_ns) if time_ns else "", _TEXT: text}
    return _line([cells.get(column, "") for column in columns])


def _line(cells: Iterable[str]) -> str:
    return ",".join(map(csv_cell, cells)) + "\r\n"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return csv_cell(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)
