"""The exec table: one row per process that exec'd, one per failed exec."""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import chain
from typing import NamedTuple

from ebtop.store.command_line import command_line
from ebtop.store.command_table import CommandTable
from ebtop.store.early_exits import EarlyExits, EarlyExitsState
from ebtop.store.names import errno_name, signal_name
from ebtop.store.path_search import PathSearches, PathSearchesState, Search, is_miss
from ebtop.store.pid_reuse import is_of_a_successor, started_after
from ebtop.store.records import ExecRecord, ExitRecord
from ebtop.store.rows import ExecRow


class Process:
    """A process by its latest exec, or one failed exec."""

    __slots__ = ("_command", "_row", "end_seen", "exit", "failures", "record", "start_ns")

    def __init__(self, record: ExecRecord, failures: int) -> None:
        self.record = record
        self.failures = failures
        self.start_ns = record.time_ns
        self.exit: ExitRecord | None = None
        self.end_seen = True
        self._command: str | None = None
        self._row: ExecRow | None = None

    def replace_image(self, record: ExecRecord, failures: int) -> None:
        """The process exec'd again; it keeps its start."""
        self.record = record
        self.failures = failures
        self._command = None
        self._row = None

    def end(self, exit_record: ExitRecord) -> None:
        self.exit = exit_record

    def end_unseen(self) -> None:
        """It is gone, but how it ended was lost."""
        self.end_seen = False

    def was_alive_at(self, time_ns: int) -> bool:
        """As far as is known: a process without an exit counts as alive."""
        return self.exit is None or self.start_ns <= time_ns <= self.exit.time_ns

    def row(self, now_ns: int) -> ExecRow:
        if self._row is not None:
            return self._row
        record = self.record
        if self._command is None:
            self._command = command_line(record)
        status, duration_s = self._outcome(now_ns)
        row = ExecRow(
            self.start_ns,
            record.pid,
            record.ppid,
            record.uid,
            record.comm,
            record.parent_comm,
            self._command,
            record.ret,
            status,
            duration_s,
            self.failures,
            record.cgroup,
        )
        if status != "run":
            self._row = row
        return row

    def _outcome(self, now_ns: int) -> tuple[str, float | None]:
        if self.record.ret < 0:
            return errno_name(-self.record.ret), None
        if not self.end_seen:
            return "?", None
        if self.exit is None:
            return "run", max(0, now_ns - self.start_ns) / 1e9
        status = signal_name(self.exit.signal) if self.exit.signal else str(self.exit.exit_code)
        return status, self.exit.duration_s


class Life(NamedTuple):
    """What is known of a process besides its records."""

    running: bool
    start_ns: int
    failures: int
    end_seen: bool
    exited: bool
    """It has an exit record."""


class ProcessTableState(NamedTuple):
    """All that `ProcessTable` knows, without what `commands` does."""

    execs: list[ExecRecord]
    """Those running, then those that ended, each in the order in which they make room."""
    lives: list[Life]
    """Of the same process."""
    exits: list[ExitRecord]
    """Of those that exited, in that order."""
    searches: PathSearchesState
    early_exits: EarlyExitsState
    dropped: int


class ProcessTable:
    """Bounded; when it is full the row that ended longest ago goes first, then the oldest running one.

    Records must come ordered by time within a batch. Between batches an exit may be ahead of its exec.
    """

    def __init__(self, max_rows: int = 2000, commands: CommandTable | None = None) -> None:
        """`commands` is told of what belongs together here: it counts also what has no row any more."""
        self._max_rows = max_rows
        self._commands = CommandTable() if commands is None else commands
        self._running: OrderedDict[int, Process] = OrderedDict()
        self._ended: deque[Process] = deque()
        self._ended_by_pid: dict[int, Process] = {}
        self._searches = PathSearches()
        self._early_exits = EarlyExits()
        self.dropped = 0

    def add_exec(self, record: ExecRecord) -> None:
        """Take in one exec, successful or not."""
        if record.ret < 0 and is_miss(record):
            for search in self._searches.miss(record):
                self._add_failed_search(search)
            return
        failures = self._attempts_before(record)
        if record.ret < 0:
            self._add_failed(record, failures)
            return
        self._commands.started(record)
        process = self._process_alive_at(record.pid, record.time_ns)
        if process is None:
            self._add_process(Process(record, failures))
        elif record.time_ns >= process.record.time_ns:
            process.replace_image(record, failures)

    def add_exit(self, record: ExitRecord) -> None:
        """Take in the end of a process, whether it exec'd or not."""
        search = self._searches.take(record.pid)
        if search is not None:
            self._add_failed_search(search)
        self._commands.ended(record)
        process = self._running.get(record.pid)
        if process is None:
            # What was not seen is told only once all execs from before are in: there is none to wait for.
            if record.exit_code is not None:
                self._early_exits.add(record)
        elif record.time_ns < process.record.time_ns:
            # An exec can not follow the exit: the pid was reused and this is its earlier owner's end.
            process.start_ns = process.record.time_ns
        else:
            del self._running[record.pid]
            if record.exit_code is None or is_of_a_successor(record, process.record.comm, process.record.time_ns):
                process.end_unseen()
            else:
                if started_after(record, process.start_ns):
                    process.start_ns = process.record.time_ns
                process.end(record)
                self._ended_by_pid[record.pid] = process
            self._add_ended(process)

    def expire(self, now_ns: int) -> None:
        """Turn PATH searches that found nothing into rows."""
        for search in self._searches.take_expired(now_ns):
            self._add_failed_search(search)

    def rows(self, now_ns: int) -> tuple[ExecRow, ...]:
        """Newest first."""
        processes = sorted(chain(self._running.values(), self._ended), key=_start_ns, reverse=True)
        return tuple([process.row(now_ns) for process in processes])

    def state(self) -> ProcessTableState:
        processes = [*self._running.values(), *self._ended]
        running = len(self._running)
        lives = [
            Life(at < running, process.start_ns, process.failures, process.end_seen, process.exit is not None)
            for at, process in enumerate(processes)
        ]
        exits = [process.exit for process in processes if process.exit is not None]
        return ProcessTableState(
            [process.record for process in processes],
            lives,
            exits,
            self._searches.state(),
            self._early_exits.state(),
            self.dropped,
        )

    def restore(self, state: ProcessTableState) -> None:
        """Go on from a state; what was held here is forgotten. `commands` has a state of its own."""
        self._running, self._ended, self._ended_by_pid = OrderedDict(), deque(), {}
        exits = iter(state.exits)
        for record, life in zip(state.execs, state.lives, strict=True):
            process = Process(record, life.failures)
            process.start_ns, process.end_seen = life.start_ns, life.end_seen
            if life.running:
                self._running[record.pid] = process
                continue
            self._ended.append(process)
            if life.exited:
                process.end(next(exits))
                self._ended_by_pid[record.pid] = process
        self._searches.restore(state.searches)
        self._early_exits.restore(state.early_exits)
        self.dropped = state.dropped

    def _attempts_before(self, result: ExecRecord) -> int:
        search = self._searches.take(result.pid)
        if search is None:
            return 0
        if search.expired_at(result.time_ns):
            self._add_failed_search(search)
            return 0
        return search.attempts

    def _process_alive_at(self, pid: int, time_ns: int) -> Process | None:
        process = self._running.get(pid)
        if process is not None:
            return process
        process = self._ended_by_pid.get(pid)
        return process if process is not None and process.was_alive_at(time_ns) else None

    def _add_process(self, process: Process) -> None:
        pid = process.record.pid
        exit_record = self._early_exits.take(pid)
        if exit_record is not None and _is_exit_of(exit_record, process):
            self._commands.ended(exit_record)
            process.end(exit_record)
            self._ended_by_pid[pid] = process
            self._add_ended(process)
            return
        self._running[pid] = process
        self._shrink()

    def _add_failed_search(self, search: Search) -> None:
        self._add_failed(search.last, search.attempts - 1)

    def _add_failed(self, record: ExecRecord, earlier_attempts: int) -> None:
        self._commands.failed(record)
        self._add_ended(Process(record, earlier_attempts))

    def _add_ended(self, process: Process) -> None:
        self._ended.append(process)
        self._shrink()

    def _shrink(self) -> None:
        while len(self._running) + len(self._ended) > self._max_rows:
            if self._ended:
                process = self._ended.popleft()
                if self._ended_by_pid.get(process.record.pid) is process:
                    del self._ended_by_pid[process.record.pid]
            else:
                self._running.popitem(last=False)
            self.dropped += 1


def _start_ns(process: Process) -> int:
    return process.start_ns


def _is_exit_of(exit_record: ExitRecord, process: Process) -> bool:
    exec_ns = process.record.time_ns
    return exec_ns <= exit_record.time_ns and not started_after(exit_record, exec_ns)
