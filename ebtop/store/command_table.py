"""Execs, failures and exits by command."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.store.bounded import Bounded
from ebtop.store.command_line import command_line, command_name
from ebtop.store.pid_reuse import is_of_a_successor
from ebtop.store.rates import SECOND_NS
from ebtop.store.recent import Recent, RecentState, Window
from ebtop.store.records import ExecRecord, ExitRecord
from ebtop.store.rows import CommandRow

_MAX_UIDS = 16


class CommandState(NamedTuple):
    name: str
    last: ExecRecord
    running: int
    execs: int
    recent: RecentState
    failures: int
    exits: int
    nonzero: int
    killed: int
    lived_s: float
    longest_s: float
    uids: tuple[int, ...]
    unseen: int = 0


class RunningState(NamedTuple):
    pid: int
    name: str
    exec_ns: int


class CommandTableState(NamedTuple):
    """All that `CommandTable` knows."""

    commands: list[CommandState]
    running: list[RunningState]
    let_go: int


class Command:
    """What is known of one command."""

    __slots__ = (
        "execs", "exits", "failures", "killed", "last", "lived_s", "longest_s", "name", "nonzero", "recent", "row",
        "running", "uids", "unseen",
    )  # fmt: skip

    def __init__(self, name: str, last: ExecRecord) -> None:
        self.name = name
        self.last = last
        self.running = 0
        self.execs = 0
        self.recent = Recent()
        self.failures = 0
        self.exits = 0
        self.nonzero = 0
        self.killed = 0
        self.lived_s = 0.0
        self.longest_s = 0.0
        self.uids: set[int] = set()
        self.unseen = 0
        self.row: CommandRow | None = None
        """As it was asked for last; None when something has changed since."""

    def tried(self, record: ExecRecord) -> None:
        """An exec, successful or not."""
        self.row = None
        if record.time_ns >= self.last.time_ns:
            self.last = record
        if record.uid is not None and len(self.uids) < _MAX_UIDS:
            self.uids.add(record.uid)

    def stopped(self) -> None:
        """One process fewer runs it."""
        self.row = None
        self.running -= 1

    def ended(self, record: ExitRecord) -> None:
        """What the end of a process was like."""
        self.row = None
        self.exits += 1
        if record.signal:
            self.killed += 1
        elif record.exit_code:
            self.nonzero += 1
        duration_s = record.duration_s or 0.0
        self.lived_s += duration_s
        if duration_s > self.longest_s:
            self.longest_s = duration_s

    def ended_unseen(self) -> None:
        """A process is gone, and what its end was like is not known."""
        self.row = None
        self.unseen += 1

    def as_row(self, window: Window) -> CommandRow:
        row, rate = self.row or self._new_row(), window.rate(self.recent)
        self.row = row if row.rate == rate else row._replace(rate=rate)
        return self.row

    def state(self) -> CommandState:
        return CommandState(
            self.name, self.last, self.running, self.execs, self.recent.state(), self.failures, self.exits,
            self.nonzero, self.killed, self.lived_s, self.longest_s, tuple(self.uids), self.unseen,
        )  # fmt: skip

    @classmethod
    def restored(cls, state: CommandState) -> Command:
        name, last, running, execs, recent, failures, exits, nonzero, killed, lived_s, longest_s, uids, unseen = state
        command = cls(name, last)
        command.running, command.execs, command.recent = running, execs, Recent.restored(recent)
        command.failures, command.exits, command.nonzero, command.killed = failures, exits, nonzero, killed
        command.lived_s, command.longest_s, command.uids = lived_s, longest_s, set(uids)
        command.unseen = unseen
        return command

    def _new_row(self) -> CommandRow:
        last, exits = self.last, self.exits
        return CommandRow(
            self.name,
            self.running,
            self.execs,
            0.0,
            self.failures,
            exits,
            self.nonzero,
            self.killed,
            self.lived_s / exits if exits else None,
            self.longest_s if exits else None,
            last.time_ns,
            command_line(last),
            last.cgroup,
            tuple(sorted(self.uids)),
            self.unseen,
        )


class CommandTable:
    """Bounded; the command used longest ago of which nothing runs goes first."""

    def __init__(self, max_rows: int = 2000, max_running: int = 100_000) -> None:
        self._commands: Bounded[str, Command] = Bounded(max_rows, lambda command: command.running > 0)
        self._running: dict[int, tuple[Command, int]] = {}
        """By pid: what its end will be counted for, and the time of its exec."""
        self._max_running = max_running

    @property
    def let_go(self) -> int:
        return self._commands.let_go

    def started(self, record: ExecRecord) -> None:
        """A successful exec. The command that the process ran before, if any, is over without an end of its own."""
        time_ns, pid, running = record.time_ns, record.pid, self._running
        command = self._command(record.comm, record)
        command.tried(record)
        command.execs += 1
        command.recent.add(time_ns // SECOND_NS)
        before = running.get(pid)
        if before is not None:
            if before[1] > time_ns:
                return
            before[0].stopped()
        elif len(running) >= self._max_running:
            running.pop(next(iter(running)))[0].stopped()
        running[pid] = (command, time_ns)
        command.running += 1

    def failed(self, record: ExecRecord) -> None:
        """An exec that came to nothing: of a PATH search that found nothing only the last one."""
        command = self._command(command_name(record), record)
        command.tried(record)
        command.failures += 1

    def ended(self, record: ExitRecord) -> None:
        """The end of a process; one that was not seen to exec counts for no command."""
        found = self._running.get(record.pid)
        if found is None or record.time_ns < found[1]:
            return
        del self._running[record.pid]
        command, exec_ns = found
        command.stopped()
        if record.exit_code is not None and (
            record.comm == command.name or not is_of_a_successor(record, command.name, exec_ns)
        ):
            command.ended(record)
        else:
            command.ended_unseen()

    def rows(self, window: Window) -> tuple[CommandRow, ...]:
        return tuple([command.as_row(window) for command in self._commands])

    def state(self) -> CommandTableState:
        return CommandTableState(
            [command.state() for command in self._commands],
            [RunningState(pid, command.name, exec_ns) for pid, (command, exec_ns) in self._running.items()],
            self.let_go,
        )

    def restore(self, state: CommandTableState) -> None:
        """Go on from a state; what was counted here is forgotten."""
        by_name = {command.name: command for command in map(Command.restored, state.commands)}
        self._commands.replace(by_name.items(), state.let_go)
        self._running = {pid: (by_name[name], exec_ns) for pid, name, exec_ns in state.running if name in by_name}

    def _command(self, name: str, record: ExecRecord) -> Command:
        command = self._commands.use(name)
        if command is None:
            command = Command(name, record)
            self._commands.add(name, command)
        return command
