"""The tables and views of a snapshot file, and its version."""

from __future__ import annotations

from typing import Any

from ebtop.store.file.columns import Column, columns_of
from ebtop.store.records import (
    ConnectRecord,
    EventRecord,
    ExecRecord,
    ExitRecord,
    Frame,
    Record,
    RetransmitRecord,
    StackRecord,
    TcpRecord,
)

APPLICATION_ID = 0x65627470
""""ebtp", in the header of the file; `file` and others can tell it by that."""
VERSION = 1
"""PRAGMA user_version. A file of a later one is refused; added columns, tables and views do not make a later one."""
SAMPLES_S = 10
"""Samples of a stack are added up over so many seconds in `sample_rows`; by the second they are in the segments."""

EVENTS: dict[type[Record], tuple[str, str]] = {
    ExecRecord: ("exec_rows", "execs"),
    ExitRecord: ("exit_rows", "exits"),
    TcpRecord: ("tcp_rows", "tcp_events"),
    RetransmitRecord: ("retransmit_rows", "retransmits"),
    ConnectRecord: ("connect_rows", "connects"),
    EventRecord: ("event_rows", "events"),
}
"""Table and view of each type of record but stacks."""
OPEN, PENDING = "open_rows", "pending_rows"
"""Connections that were open, and connects that were pending, when that was written down last."""
NOT_OF_A_TASK = frozenset({"time_ns", "samples", "amount", "frames"})
"""The fields of a stack's record that are not in `tasks`."""

_TABLES = """
CREATE TABLE facts(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE strings(id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE chapters(
    id INTEGER PRIMARY KEY, start_ns INTEGER NOT NULL, newest_ns INTEGER NOT NULL, first_batch INTEGER NOT NULL,
    first_segment INTEGER NOT NULL, segments INTEGER NOT NULL, records INTEGER NOT NULL, scanned INTEGER NOT NULL);
CREATE TABLE keyframes(chapter INTEGER PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE segments(
    id INTEGER PRIMARY KEY, newest_ns INTEGER NOT NULL, events BLOB NOT NULL, stacks BLOB NOT NULL);
CREATE TABLE health_blocks(first_ns INTEGER PRIMARY KEY, last_ns INTEGER NOT NULL, seconds BLOB NOT NULL);
CREATE TABLE stack_paths(id INTEGER PRIMARY KEY, frames TEXT NOT NULL);
CREATE TABLE sample_rows(
    time_s INTEGER, task INTEGER, stack INTEGER, samples INTEGER NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY(time_s, task, stack)
) WITHOUT ROWID;
CREATE TABLE note_rows(time_ns INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE gap_rows(from_ns INTEGER NOT NULL, until_ns INTEGER NOT NULL, what TEXT NOT NULL);
CREATE TABLE narrowing_rows(time_ns INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE users(uid INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE containers(
    cgroup INTEGER PRIMARY KEY, runtime TEXT NOT NULL, id TEXT NOT NULL, name TEXT, pod TEXT, namespace TEXT);
CREATE TABLE modules(
    name TEXT, path TEXT, build_id TEXT, symbols TEXT NOT NULL, PRIMARY KEY(name, path, build_id)) WITHOUT ROWID;
CREATE TABLE checks(position INTEGER PRIMARY KEY, name TEXT, status TEXT, value TEXT, need TEXT, fix TEXT);
CREATE TABLE second_rows(
    time_ns INTEGER PRIMARY KEY, execs REAL, exits REAL, exec_failures REAL, connects REAL, accepts REAL, closes REAL,
    retransmits REAL, tx_bytes REAL, rx_bytes REAL, samples REAL, cpu_percent REAL, load1 REAL, memory_used INTEGER,
    memory_total INTEGER, pressure_cpu REAL, pressure_memory REAL, pressure_io REAL, own_cpu_ns INTEGER,
    rss_bytes INTEGER, lost INTEGER, narrowed TEXT);
CREATE TABLE loss_rows(
    time_ns INTEGER NOT NULL, probe TEXT NOT NULL, reason TEXT NOT NULL, lost INTEGER NOT NULL);
CREATE TABLE probes(
    name TEXT PRIMARY KEY, state TEXT, error TEXT, fix TEXT, events INTEGER, lost TEXT, runs INTEGER, run_ns INTEGER,
    map_bytes INTEGER, notes TEXT) WITHOUT ROWID;
"""

_TIME = "strftime('%Y-%m-%d %H:%M:%f', {0} / 1e9, 'unixepoch')"
_TEXT = "(SELECT text FROM strings WHERE id = r.{0})"
_PLACE = """
    (SELECT name FROM users u WHERE u.uid = r.uid) AS user,
    (SELECT ifnull(name, substr(id, 1, 12)) FROM containers c WHERE c.cgroup = r.cgroup) AS container,
    (SELECT pod FROM containers c WHERE c.cgroup = r.cgroup) AS pod"""

_VIEWS = f"""
CREATE VIEW connections AS
    SELECT * FROM tcp_events WHERE event = 'close' UNION ALL SELECT * FROM open_connections;
CREATE VIEW slow_connects AS
    SELECT * FROM (SELECT * FROM connects UNION ALL SELECT * FROM pending_connects)
    ORDER BY latency_ms DESC;
CREATE VIEW failed_execs AS SELECT * FROM execs WHERE ret < 0;
CREATE VIEW stacks AS
    SELECT {{task_columns}}, sum(s.samples) AS samples, sum(s.samples) * t.period_ns / 1e9 AS cpu_s,
        sum(s.amount) AS amount, (
        SELECT group_concat(name, ';') FROM (
            SELECT replace(f.name, ';', ':') || CASE f.kind WHEN 'kernel' THEN '_[k]' ELSE '' END AS name
            FROM json_each(p.frames) j JOIN frames f ON f.id = j.value ORDER BY j.key)
        ) AS stack
    FROM sample_rows s JOIN tasks t ON t.id = s.task JOIN stack_paths p ON p.id = s.stack
    GROUP BY s.task, s.stack ORDER BY sum(s.samples) DESC;
CREATE VIEW notes AS SELECT {_TIME.format("time_ns")} AS time, text, time_ns FROM note_rows ORDER BY time_ns;
CREATE VIEW gaps AS
    SELECT {_TIME.format("from_ns")} AS since, {_TIME.format("until_ns")} AS until, what FROM gap_rows ORDER BY from_ns;
CREATE VIEW seconds AS SELECT {_TIME.format("time_ns")} AS time, * FROM second_rows ORDER BY time_ns;
CREATE VIEW losses AS
    SELECT p.name AS probe, j.key AS reason, j.value AS lost, p.events FROM probes p, json_each(p.lost) j;
CREATE VIEW losses_by_time AS
    SELECT {_TIME.format("time_ns")} AS time, probe, reason, lost AS lost_so_far FROM loss_rows ORDER BY time_ns;
CREATE VIEW costs AS
    SELECT name AS probe, events, runs, run_ns / 1e9 AS cpu_s, run_ns * 1.0 / nullif(runs, 0) AS ns_a_run,
        100.0 * run_ns / nullif((SELECT value FROM facts WHERE name = 'host.cpus') *
            (SELECT max(time_ns) - min(time_ns) FROM second_rows), 0) AS percent_of_node,
        map_bytes FROM probes
    UNION ALL
    SELECT 'ebtop itself', NULL, NULL, (max(own_cpu_ns) - min(own_cpu_ns)) / 1e9, NULL,
        100.0 * (max(own_cpu_ns) - min(own_cpu_ns)) /
            nullif((SELECT value FROM facts WHERE name = 'host.cpus') * (max(time_ns) - min(time_ns)), 0),
        NULL FROM second_rows;
"""


def statements() -> str:
    """All that makes an empty file."""
    parts = [f"PRAGMA application_id = {APPLICATION_ID};", f"PRAGMA user_version = {VERSION};", _TABLES]
    for kind, (table, view) in EVENTS.items():
        parts += _table_and_view(kind, table, view)
    parts += _table_and_view(TcpRecord, OPEN, "open_connections")
    parts += _table_and_view(ConnectRecord, PENDING, "pending_connects")
    tasks = columns_of(StackRecord, NOT_OF_A_TASK)
    parts.append(f"CREATE TABLE task_rows(id INTEGER PRIMARY KEY, {_declared(tasks)});")
    parts.append(f"CREATE TABLE frame_rows(id INTEGER PRIMARY KEY, {_declared(columns_of(Frame))});")
    parts.append(f"CREATE VIEW tasks AS SELECT id, {_selected(tasks)}, {_PLACE} FROM task_rows r;")
    parts.append(f"CREATE VIEW frames AS SELECT id, {_selected(columns_of(Frame))} FROM frame_rows r;")
    shown = ", ".join(f"t.{column.name}" for column in tasks)
    parts.append(_VIEWS.format(task_columns=f"{shown}, t.user, t.container, t.pod"))
    return "\n".join(parts)


def _table_and_view(kind: Any, table: str, view: str) -> list[str]:
    columns = columns_of(kind)
    command = ""
    if "args" in kind._fields:
        args = _TEXT.format("args")
        command = f"(SELECT group_concat(value, ' ') FROM json_each({args})) AS command,"
    return [
        f"CREATE TABLE {table}({_declared(columns)});",
        f"CREATE VIEW {view} AS SELECT {_TIME.format('r.time_ns')} AS time, {command} {_selected(columns)}, {_PLACE} "
        f"FROM {table} r;",
    ]


def _declared(columns: tuple[Column, ...]) -> str:
    return ", ".join(column.declaration for column in columns)


def _selected(columns: tuple[Column, ...]) -> str:
    return ", ".join(
        f"{_TEXT.format(column.name)} AS {column.name}" if column.form in ("text", "list") else f'r."{column.name}"'
        for column in columns
    )
