"""What was started on this node, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from ebtop.store.rows import CommandRow, ExecRow, Snapshot
from ebtop.store.source import ProbeHealth
from ebtop.ui.columns import Column, number, process_id
from ebtop.ui.focus import Copied
from ebtop.ui.moment import Moment
from ebtop.ui.panes import focusing
from ebtop.ui.panes.cells import alarm, pace, presence, tally, user_column, users
from ebtop.ui.panes.mode import Mode
from ebtop.ui.panes.table_pane import TablePane
from ebtop.ui.title import Figure
from ebtop.units import count, duration, rate, wall_clock


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
        attrgetter("time_ns"),
        descending=True,
        rank=3,
    ),
    process_id(lambda r: r.pid),
    Column("PPID", 7, lambda r: str(r.ppid), "pid of the parent", "dim", lambda r: r.ppid, right=True, hidden=True),
    user_column(lambda r: r.uid, rank=5),
    Column(
        "UID",
        5,
        lambda r: "-" if r.uid is None else str(r.uid),
        "user id",
        "dim",
        lambda r: r.uid,
        right=True,
        hidden=True,
    ),
    Column("PARENT", 10, lambda r: r.parent_comm, "name of the parent", "dim", lambda r: r.parent_comm, rank=4),
    Column("COMM", 15, lambda r: r.comm, "name of the process", "text", lambda r: r.comm, hidden=True),
    Column(
        "STATUS", 7, lambda r: r.status, "run, exit code, signal, or why exec failed", status_style, lambda r: r.status
    ),
    number("LIVED", 6, lambda r: r.duration_s, duration, "how long it lived, or lives", "dim", rank=1),
    number("TRIED", 5, lambda r: r.failures, _tried, "places of the PATH tried in vain before", "warn", rank=6),
    Column("COMMAND", 16, lambda r: r.command, "arguments, as executed", "text", lambda r: r.command, stretch=1),
    Column("CGROUP", 24, lambda r: r.cgroup or "-", "its control group", "dim", lambda r: r.cgroup, hidden=True),
)

COMMANDS: tuple[Column[CommandRow], ...] = (
    Column("COMM", 15, lambda r: r.comm, "name that the process gets by its exec", "text", lambda r: r.comm),
    number("EXECS", 7, lambda r: r.execs, count, "how often it was started", "strong"),
    number("/s", 5, lambda r: r.rate, pace, "starts a second over the last 10 s", lambda r: presence(r.rate)),
    number("RUN", 6, lambda r: r.running, tally, "running now", lambda r: presence(r.running, "good")),
    number(
        "FAILED",
        6,
        lambda r: r.failures,
        tally,
        "execs that failed; a PATH search that ended well is none",
        lambda r: alarm(r.failures),
        rank=2,
    ),
    number("EXIT≠0", 6, lambda r: r.nonzero, tally, "ended with another exit code than 0", lambda r: alarm(r.nonzero)),
    number("KILLED", 6, lambda r: r.killed, tally, "ended by a signal", lambda r: alarm(r.killed, "bad"), rank=1),
    number("MEAN", 6, lambda r: r.mean_s, duration, "mean lifetime of those that ended", "dim", rank=3),
    number("MAX", 6, lambda r: r.max_s, duration, "longest lifetime of those that ended", "dim", rank=6),
    number(
        "UNSEEN",
        6,
        lambda r: r.unseen,
        tally,
        "gone, but how they ended was lost",
        lambda r: alarm(r.unseen),
        rank=8,
    ),
    Column(
        "LAST",
        8,
        lambda r: wall_clock(r.time_ns),
        "when it was started last",
        "dim",
        lambda r: r.time_ns,
        descending=True,
        rank=5,
    ),
    Column("USERS", 9, lambda r: users(r.uids), "who starts it", "dim", lambda r: r.uids, rank=7),
    Column(
        "LATEST COMMAND",
        12,
        lambda r: r.command,
        "arguments of the latest start",
        "dim",
        lambda r: r.command,
        stretch=1,
        rank=4,
    ),
)


def _busiest(snapshot: Snapshot) -> Sequence[CommandRow]:
    return sorted(snapshot.commands, key=attrgetter("rate", "execs", "failures"), reverse=True)


class ExecPane(TablePane):
    probe = "exec"
    number = 2
    heading = "EXEC"
    nothing_yet = "exec seen yet"
    words = (
        "Every program that was started, newest first: who started it, with which arguments, how long it lived "
        "and how it ended. STATUS is run while it lives, then its exit code or the signal that killed it, or ? where "
        "that was lost and the process found gone; a failed exec shows its error. TRIED counts the places of the PATH "
        "that were tried before. …+N B means that N bytes of arguments were cut. t adds them up by command: starts, "
        "starts a second, how many run, fail or are killed, and how long they live."
    )
    source_words = (
        "The kernel reports each exec and each end of a process as it happens, none is sampled. Processes that only "
        "fork show nothing until they exec; those that were running before ebtop are not listed. The rows are the "
        "latest 2,000; what they add up to counts everything since the time in the title."
    )
    high_words = (
        "Tens of starts a second are normal for shells and health checks, hundreds are a loop: each start costs about "
        "a millisecond of CPU. Many short lives with another exit code than 0 are something that fails and is "
        "tried again; SIGKILL is often the kernel out of memory."
    )
    next_words = (
        "Press t and look which command leads, and how it ends. PARENT says who starts it. Enter shows the process or "
        "the command alone, with its CPU time and connections; y copies the command line."
    )

    def __init__(self) -> None:
        container = self.container_column(rank=8)
        by_command = self.container_column(rank=9)
        super().__init__(
            Mode(
                "events",
                "",
                (*COLUMNS[:-2], container, *COLUMNS[-2:]),
                attrgetter("pid", "time_ns"),
                attrgetter("execs"),
                lambda row: focusing.process(row.pid, row.comm),
                copied=lambda row: Copied("command", row.command),
            ),
            Mode(
                "commands",
                "by command",
                (*COMMANDS[:-1], by_command, COMMANDS[-1]),
                attrgetter("comm"),
                _busiest,
                lambda row: focusing.command(row.comm),
                attrgetter("commands"),
            ),
        )

    def leading(self, moment: Moment) -> list[Figure]:
        rates, floor = moment.snapshot.rates, self.floor(moment)
        failures = [Figure(f"{floor}{rate(rates.exec_failures)} failed/s", "warn", 2)] if rates.exec_failures else []
        return [Figure(f"{floor}{rate(rates.execs)}/s", "text"), *failures, *self.about_mode(moment)]

    def completeness(self, moment: Moment, probe: ProbeHealth) -> list[Figure]:
        if not moment.snapshot.execs:
            return []
        cut = sum(1 for row in moment.snapshot.execs if row.command.endswith(" B") and "…+" in row.command)
        return [Figure(f"{cut} argv cut", "warn", 2)] if cut else [Figure("argv whole", "good", 2)]
