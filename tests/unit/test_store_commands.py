from __future__ import annotations

from ebtop.store.command_table import CommandTable
from ebtop.store.processes import ProcessTable
from ebtop.store.recent import Window
from ebtop.store.records import ExecRecord, ExitRecord
from ebtop.store.rows import CommandRow
from tests.unit.record_makers import at, exec_, exit_, miss, unseen_end


def fed(*records: ExecRecord | ExitRecord, max_rows: int = 2000, max_commands: int = 2000) -> CommandTable:
    """As the store feeds it: through the table of processes."""
    commands = CommandTable(max_commands)
    processes = ProcessTable(max_rows, commands)
    for record in records:
        if isinstance(record, ExecRecord):
            processes.add_exec(record)
        else:
            processes.add_exit(record)
    processes.expire(at(1000))
    return commands


def rows(table: CommandTable, now: float = 1000) -> dict[str, CommandRow]:
    return {row.comm: row for row in table.rows(Window(at(now)))}


def test_execs_ends_and_lifetimes_of_one_command_add_up() -> None:
    table = fed(
        exec_(1, 10, "job --first", uid=0),
        exec_(2, 11, "job --second", uid=33),
        exec_(3, 12, "job --third", uid=33, cgroup="/batch"),
        exit_(4, 10, 3.0, comm="job"),
        exit_(5, 11, 1.0, comm="job", exit_code=2),
    )
    assert rows(table, 5)["job"] == CommandRow(
        "job", 1, 3, 0.3, 0, 2, 1, 0, 2.0, 3.0, at(3), "job --third", "/batch", (0, 33)
    )
    assert rows(fed(exec_(1), exit_(2, signal=9)))["prog"][5:8] == (1, 0, 1)


def test_nothing_is_known_of_lifetimes_before_an_end() -> None:
    row = rows(fed(exec_(1)))["prog"]
    assert (row.running, row.mean_s, row.max_s) == (1, None, None)


def test_counts_hold_for_what_has_no_row_any_more() -> None:
    """5,000 processes through a table of 10 rows: of 1,250 the end is still to come."""
    records: list[ExecRecord | ExitRecord] = []
    for pid in range(1, 5001):
        records.append(exec_(pid / 1000, pid, "true"))
        if pid % 4:
            records.append(exit_(pid / 1000 + 0.0005, pid, 0.0005, comm="true", exit_code=pid % 2))
    row = rows(fed(*records, max_rows=10))["true"]
    assert (row.execs, row.exits, row.nonzero, row.running) == (5000, 3750, 2500, 1250)


def test_one_process_that_runs_one_command_after_the_other() -> None:
    found = rows(fed(exec_(1, 7, "sh"), exec_(2, 7, "nginx"), exit_(3, 7, 2.0, comm="nginx")))
    assert (found["sh"].running, found["sh"].exits, found["sh"].execs) == (0, 0, 1)
    assert (found["nginx"].running, found["nginx"].exits) == (0, 1)


def test_an_exit_ahead_of_its_exec_is_counted() -> None:
    row = rows(fed(exit_(1.2, 7, 0.2), exec_(1.1, 7)))["prog"]
    assert (row.running, row.exits) == (0, 1)


def test_an_exit_of_an_earlier_process_with_the_same_pid_is_not() -> None:
    row = rows(fed(exec_(5, 7), exit_(4, 7)))["prog"]
    assert (row.running, row.exits) == (1, 0)


def test_a_lost_exit_ends_the_running_but_says_nothing_of_how() -> None:
    row = rows(fed(exec_(5, 7), exit_(100, 7, 3.0, comm="other")))["prog"]
    assert (row.running, row.exits, row.unseen) == (0, 0, 1)


def test_an_end_that_was_not_seen_counts_as_no_other() -> None:
    """Ten were killed at once, the record of three ends was lost."""
    started = [exec_(1, pid) for pid in range(1, 11)]
    seen = [exit_(5, pid, 4.0, signal=9) for pid in range(1, 8)]
    row = rows(fed(*started, *seen, *[unseen_end(6, pid) for pid in range(8, 11)]))["prog"]
    assert (row.execs, row.running, row.exits, row.nonzero, row.killed, row.unseen) == (10, 0, 7, 0, 7, 3)
    assert (row.mean_s, row.max_s) == (4.0, 4.0)
    nobody = rows(fed(exec_(1, 7), unseen_end(2, 7)))["prog"]
    assert (nobody.running, nobody.mean_s, nobody.max_s) == (0, None, None)


def test_an_end_that_was_not_seen_is_not_that_of_a_later_process() -> None:
    row = rows(fed(exec_(5, 7), unseen_end(4, 7)))["prog"]
    assert (row.running, row.unseen) == (1, 0)


def test_an_exit_without_an_exec_counts_for_no_command() -> None:
    assert rows(fed(exit_(4, 7))) == {}


def test_a_failed_exec_counts_for_what_was_to_be_run() -> None:
    denied = exec_(1, 7, comm="bash", ret=-13, filename="/opt/tools/a-very-long-program-name")
    assert [(row.comm, row.failures, row.execs) for row in rows(fed(denied)).values()] == [("a-very-long-pro", 1, 0)]


def test_a_path_search_that_ends_well_is_no_failure() -> None:
    found = fed(miss(1, 7, filename="/usr/local/bin/git"), miss(1.1, 7, filename="/usr/bin/git"), exec_(1.2, 7, "git"))
    assert [(row.comm, row.failures, row.execs) for row in rows(found).values()] == [("git", 0, 1)]


def test_a_path_search_that_finds_nothing_is_one_failure() -> None:
    table = fed(*[miss(1 + n / 100, 7, filename=f"/{n}/nope") for n in range(6)])
    assert [(row.comm, row.failures) for row in rows(table).values()] == [("nope", 1)]


def test_bounded_by_the_command_used_longest_ago_of_which_nothing_runs() -> None:
    table = fed(
        exec_(1, 1, "daemon"),
        exec_(2, 2, "old"),
        exit_(2.5, 2, 0.5, comm="old"),
        exec_(3, 3, "young"),
        exec_(4, 4, "new"),
        max_commands=3,
    )
    assert sorted(rows(table)) == ["daemon", "new", "young"]
    assert table.let_go == 1


def test_a_state_can_be_gone_on_from() -> None:
    first = fed(
        exec_(1, 1, "a"),
        exec_(2, 2, "b"),
        exit_(3, 2, 1.0, comm="b"),
        exec_(9, 3, "b"),
        exec_(9, 5, "a"),
        unseen_end(9, 5),
    )
    second = CommandTable()
    second.restore(first.state())
    for table in (first, second):
        table.ended(exit_(10, 1, 9.0, comm="a"))
        table.started(exec_(10, 4, "b"))
    assert second.rows(Window(at(10.5))) == first.rows(Window(at(10.5)))
    assert rows(second, 10.5)["a"].max_s == 9.0
    assert rows(second, 10.5)["a"].unseen == 1
