"""What was started on this node, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.store.rows import ExecRow, Snapshot
from ebtop.store.source import ProbeHealth
from ebtop.ui.moment import Moment
from ebtop.ui.panes.table_pane import TablePane
from ebtop.ui.table import Column, number, process_id
from ebtop.ui.title import Figure
from ebtop.units import duration, rate, wall_clock


def status_style(row: ExecRow) -> str:
    if row.ret:
        return "warn"
    if row.status in ("run", "0"):
        return "good" if row.status == "run" else "dim"
    return "bad"


def _tried(places: float) -> str:
    return f"{places:.0f}" if places else ""


COLUMNS: tuple[Column[ExecRow], ...] = (
    Column(
        "TIME",
        8,
        lambda r: wall_clock(r.time_ns),
        "when it was started",
        "dim",
        lambda r: r.time_ns,
        descending=True,
        rank=3,
    ),
    process_id(lambda r: r.pid),
    Column(
        "UID", 5, lambda r: "-" if r.uid is None else str(r.uid), "user id", "dim", lambda r: r.uid, right=True, rank=5
    ),
    Column("PARENT", 10, lambda r: r.parent_comm, "name of the parent", "dim", lambda r: r.parent_comm, rank=4),
    Column(
        "STATUS", 7, lambda r: r.status, "run, exit code, signal, or why exec failed", status_style, lambda r: r.status
    ),
    number("LIVED", 6, lambda r: r.duration_s, duration, "how long it lived, or lives", "dim", rank=1),
    number("TRIED", 5, lambda r: r.failures, _tried, "places of the PATH tried in vain before", "warn", rank=6),
    Column("COMMAND", 16, lambda r: r.command, "arguments, as executed", "text", lambda r: r.command, stretch=1),
)


class ExecPane(TablePane[ExecRow]):
    probe = "exec"
    number = 2
    heading = "EXEC"
    nothing_yet = "exec seen yet"
    words = (
        "Every program that was started, newest first: who started it, with which arguments, how long it lived "
        "and how it ended. STATUS is run while it lives, then its exit code or the signal that killed it; a failed "
        "exec shows its error. TRIED counts the places of the PATH that were tried before. …+N B means that N "
        "bytes of arguments were cut."
    )

    def __init__(self) -> None:
        super().__init__(COLUMNS, lambda row: (row.pid, row.time_ns))

    def rows_of(self, snapshot: Snapshot) -> Sequence[ExecRow]:
        return snapshot.execs

    def leading(self, moment: Moment) -> list[Figure]:
        rates, floor = moment.snapshot.rates, self.floor(moment)
        failures = [Figure(f"{floor}{rate(rates.exec_failures)} failed/s", "warn", 2)] if rates.exec_failures else []
        return [Figure(f"{floor}{rate(rates.execs)}/s", "text"), *failures]

    def completeness(self, moment: Moment, probe: ProbeHealth) -> list[Figure]:
        if not moment.snapshot.execs:
            return []
        cut = sum(1 for row in moment.snapshot.execs if row.command.endswith(" B") and "…+" in row.command)
        return [Figure(f"{cut} argv cut", "warn", 2)] if cut else [Figure("argv whole", "good", 2)]
