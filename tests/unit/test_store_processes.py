from __future__ import annotations

import random

import pytest

from ebtop.store.processes import ProcessTable
from ebtop.store.records import ExecRecord, ExitRecord
from ebtop.store.rows import ExecRow
from tests.unit.record_makers import at, exec_, exit_, miss, unseen_end


def feed(*records: ExecRecord | ExitRecord, max_rows: int = 2000) -> ProcessTable:
    table = ProcessTable(max_rows)
    for record in records:
        if isinstance(record, ExecRecord):
            table.add_exec(record)
        else:
            table.add_exit(record)
    return table


def rows(*records: ExecRecord | ExitRecord, now: float = 100.0, max_rows: int = 2000) -> tuple[ExecRow, ...]:
    table = feed(*records, max_rows=max_rows)
    table.expire(at(now))
    return table.rows(at(now))


def only(*records: ExecRecord | ExitRecord, now: float = 100.0) -> ExecRow:
    (row,) = rows(*records, now=now)
    return row


def test_a_running_process_has_its_age() -> None:
    row = only(exec_(1, 7, "sleep 60", cgroup="/a", parent_comm="bash"), now=3.5)
    assert row == ExecRow(at(1), 7, 1, 1000, "sleep", "bash", "sleep 60", 0, "run", 2.5, 0, "/a")


def test_age_is_never_negative() -> None:
    assert only(exec_(5), now=4).duration_s == 0


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ({"exit_code": 0}, "0"),
        ({"exit_code": 127}, "127"),
        ({"signal": 9}, "SIGKILL"),
        ({"signal": 11, "core_dumped": True}, "SIGSEGV"),
        ({"signal": 35}, "SIGRTMIN+1"),
    ],
)
def test_status_of_an_ended_process(ending: dict[str, int], status: str) -> None:
    row = only(exec_(1), exit_(2, duration_s=1.25, **ending))
    assert (row.status, row.duration_s) == (status, 1.25)


def test_second_exec_replaces_the_command_and_keeps_the_start() -> None:
    row = only(exec_(1, args="sh -c true", comm="sh"), exec_(2, args="true", comm="true"), now=4)
    assert (row.time_ns, row.command, row.comm, row.duration_s) == (at(1), "true", "true", 3)


def test_rows_of_a_running_process_follow_it() -> None:
    table = feed(exec_(1, args="sh"))
    assert [(row.command, row.duration_s) for row in table.rows(at(2))] == [("sh", 1)]
    assert [(row.command, row.duration_s) for row in table.rows(at(3))] == [("sh", 2)]
    table.add_exec(exec_(3, args="true"))
    assert [(row.command, row.duration_s) for row in table.rows(at(4))] == [("true", 3)]
    table.add_exit(exit_(5, duration_s=4.1))
    assert [(row.status, row.duration_s) for row in table.rows(at(6))] == [("0", 4.1)]


def test_newest_first() -> None:
    table = rows(exec_(2, 20), exec_(1, 10), exec_(3, 30), exit_(4, 10, 3))
    assert [row.pid for row in table] == [30, 20, 10]


def test_exit_without_exec_makes_no_row() -> None:
    assert rows(exit_(1)) == ()


def test_reused_pid_gets_a_row_of_its_own() -> None:
    new, old = rows(exec_(1, args="old"), exit_(2, duration_s=1), exec_(3, args="new"), now=4)
    assert (old.command, old.status) == ("old", "0")
    assert (new.command, new.status, new.time_ns) == ("new", "run", at(3))


def test_both_users_of_a_reused_pid_end_on_their_own() -> None:
    new, old = rows(
        exec_(1, args="old"),
        exit_(2, duration_s=1, exit_code=1),
        exec_(3, args="new"),
        exit_(4, duration_s=1, exit_code=2),
    )
    assert (old.status, new.status) == ("1", "2")


def test_exit_that_is_read_before_its_exec() -> None:
    row = only(exit_(1.001, duration_s=0.002, exit_code=3), exec_(1))
    assert (row.status, row.duration_s) == ("3", 0.002)


def test_exit_of_an_earlier_process_does_not_end_a_later_one() -> None:
    assert only(exit_(1, duration_s=0.1), exec_(1.5)).status == "run"


def test_exit_that_is_read_early_ends_only_one_process() -> None:
    new, old = rows(exit_(1.1, duration_s=0.2), exec_(1), exec_(1.2))
    assert (old.status, new.status) == ("0", "run")


def test_exit_that_is_read_early_must_be_of_the_same_life() -> None:
    """The pid was reused within the time that early exits are kept, by a process that never exec'd."""
    assert only(exit_(3.9, duration_s=0.01), exec_(1)).status == "run"


def test_early_exit_waits_while_others_pass() -> None:
    assert only(exit_(1.1, duration_s=0.2), exit_(3.5, pid=9), exec_(1)).status == "0"


def test_early_exits_are_forgotten_after_a_while() -> None:
    filler = [exit_(1.1 + 3 * i, pid=5000 + i) for i in range(1, 4)]
    assert only(exit_(1.1, duration_s=0.2), *filler, exec_(1)).status == "run"


def test_second_exec_that_is_read_after_the_exit() -> None:
    row = only(exec_(1, args="sh"), exit_(2, duration_s=1), exec_(1.5, args="true"))
    assert (row.command, row.status) == ("true", "0")


def test_older_exec_that_is_read_late_does_not_win() -> None:
    assert only(exec_(2, args="newer"), exec_(1, args="older")).command == "newer"


def test_lost_exit_is_not_invented() -> None:
    """The exit that comes belongs to a process which was forked long after this exec, and never exec'd."""
    row = only(exec_(1, args="old"), exit_(60, duration_s=2, exit_code=5, comm="forked"))
    assert (row.status, row.duration_s) == ("?", None)


def test_end_that_was_not_seen_ends_the_row_and_says_no_more() -> None:
    row = only(exec_(1), unseen_end(5))
    assert (row.status, row.duration_s) == ("?", None)


def test_end_that_was_not_seen_is_kept_in_a_state() -> None:
    table, again = feed(exec_(1), unseen_end(5), exec_(6, 7)), ProcessTable()
    again.restore(table.state())
    assert again.rows(at(9)) == table.rows(at(9))
    assert [row.status for row in again.rows(at(9))] == ["run", "?"]


def test_pid_of_an_end_that_was_not_seen_is_used_again() -> None:
    new, old = rows(exec_(1, args="old"), unseen_end(5), exec_(6, args="new"), exit_(7, duration_s=1.1))
    assert (old.command, old.status) == ("old", "?")
    assert (new.command, new.status, new.time_ns) == ("new", "0", at(6))


def test_end_that_was_not_seen_is_older_than_the_exec_that_used_the_pid_again() -> None:
    row = only(exec_(1, args="old"), exec_(6, args="new"), unseen_end(5), now=7)
    assert (row.command, row.status, row.duration_s) == ("new", "run", 1)


def test_end_that_was_not_seen_of_a_dropped_process_ends_nothing_that_comes() -> None:
    assert [row.status for row in rows(unseen_end(5), exec_(5), exec_(6, 7))] == ["run", "run"]


def test_wall_clock_that_was_set_forward_does_not_hide_an_exit() -> None:
    row = only(exec_(1, args="daemon"), exit_(3601, duration_s=2, exit_code=5, comm="daemon"))
    assert (row.status, row.duration_s) == ("5", 2)


def test_lost_exit_then_a_reused_pid_with_exec_and_exit() -> None:
    row = only(exec_(1, args="old"), exec_(59, args="new"), exit_(60, duration_s=1.5))
    assert (row.command, row.status, row.time_ns, row.duration_s) == ("new", "0", at(59), 1.5)


def test_exit_that_is_older_than_the_latest_exec_is_an_earlier_owners() -> None:
    row = only(exec_(1, args="old"), exec_(5, args="new"), exit_(4, duration_s=3), now=6)
    assert (row.command, row.status, row.duration_s) == ("new", "run", 1)


def test_path_search_collapses_into_the_success() -> None:
    row = only(miss(1), miss(1.01), miss(1.02), exec_(1.03, args="ls -l"))
    assert (row.command, row.status, row.failures) == ("ls -l", "run", 3)


def test_path_search_without_success_is_its_last_failure() -> None:
    row = only(miss(1, filename="/usr/bin/x", args=""), miss(1.1, filename="/bin/x", args=""))
    assert (row.command, row.status, row.failures, row.duration_s) == ("/bin/x", "ENOENT", 1, None)


def test_path_search_is_no_row_while_a_success_may_follow() -> None:
    assert rows(miss(1), miss(1.5), now=2.4) == ()
    assert len(rows(miss(1), miss(1.5), now=2.6)) == 1


def test_success_after_more_than_a_second_is_another_result() -> None:
    success, failure = rows(miss(1), exec_(2.5))
    assert (success.status, success.failures) == ("run", 0)
    assert (failure.status, failure.failures) == ("ENOENT", 0)


def test_miss_after_more_than_a_second_begins_another_search() -> None:
    second, first = rows(miss(1), miss(1.2), miss(3))
    assert (first.failures, second.failures) == (1, 0)


def test_exit_ends_a_path_search_at_once() -> None:
    row = only(miss(1), miss(1.1), exit_(1.2, exit_code=127), now=1.3)
    assert (row.status, row.failures) == ("ENOENT", 1)


def test_searches_of_two_processes_do_not_mix() -> None:
    second, first = rows(miss(1, 1), miss(1, 2), miss(1.1, 2), exec_(1.2, 1), exec_(1.3, 2))
    assert (first.failures, second.failures) == (1, 2)


def test_other_failures_have_a_row_of_their_own() -> None:
    success, failure = rows(miss(1), exec_(1.1, ret=-13), miss(1.2), miss(1.3), exec_(1.4))
    assert (failure.status, failure.ret, failure.failures) == ("EACCES", -13, 1)
    assert (success.status, success.failures) == ("run", 2)


def test_failed_exec_of_a_running_process_does_not_touch_its_row() -> None:
    failure, running = rows(exec_(1, args="bash"), exec_(2, ret=-8), now=3)
    assert (running.command, running.status) == ("bash", "run")
    assert failure.status == "ENOEXEC"


def test_errno_without_a_name() -> None:
    assert only(exec_(1, ret=-999)).status == "errno 999"


def test_command_is_quoted_only_where_needed() -> None:
    args = ("sh", "-c", "echo 'hi'  there", "", "--x=/a,b:c@d%e+f", "a;b")
    row = only(exec_(1, args="x")._replace(args=args))
    assert row.command == """sh -c 'echo '"'"'hi'"'"'  there' '' --x=/a,b:c@d%e+f 'a;b'"""


def test_cut_command_says_how_much_is_missing() -> None:
    assert only(exec_(1, args="tar xf", args_truncated=299_000)).command == "tar xf…+299000 B"


def test_command_without_argv_is_the_filename() -> None:
    assert only(exec_(1, args="", filename="/bin/true")).command == "/bin/true"


def test_hostile_names_stay_as_they_came_and_printable() -> None:
    hostile = "\\x1b]0;[bold red]evil[/]\\x07"
    row = only(exec_(1, comm=hostile, parent_comm=hostile)._replace(args=(hostile, "[link=x]")))
    assert (row.comm, row.parent_comm) == (hostile, hostile)
    assert row.command == f"'{hostile}' '[link=x]'"
    assert row.command.isprintable()


def test_oldest_ended_go_first() -> None:
    table = feed(
        *[exec_(i, i) for i in range(1, 5)],
        exit_(10, 3, 7),
        exit_(11, 1, 10),
        exec_(12, 50),
        max_rows=4,
    )
    assert [row.pid for row in table.rows(at(20))] == [50, 4, 2, 1]
    assert table.dropped == 1


def test_running_ones_go_when_nothing_has_ended() -> None:
    table = feed(*[exec_(i, i) for i in range(1, 6)], max_rows=3)
    assert [row.pid for row in table.rows(at(20))] == [5, 4, 3]
    assert table.dropped == 2


def test_exit_of_a_dropped_process_makes_no_row() -> None:
    table = feed(exec_(1, 1), exec_(2, 2), exit_(3, 1, 2), max_rows=1)
    assert [(row.pid, row.status) for row in table.rows(at(20))] == [(2, "run")]


def test_nothing_is_remembered_of_dropped_processes() -> None:
    table = feed(*[record for pid in range(1, 501) for record in (exec_(pid, pid), exit_(pid + 0.5, pid))], max_rows=20)
    assert len(table._ended_by_pid) == 20


def test_searches_are_bounded() -> None:
    table = feed(*[miss(1 + i / 1e6, pid=i) for i in range(1, 3001)])
    assert len(table.rows(at(1.1))) == 2000
    table.expire(at(9))
    assert len(table.rows(at(9))) == 2000
    assert table.dropped == 1000


@pytest.mark.parametrize("seed", range(20))
def test_any_history_of_few_pids_stays_bounded_and_consistent(seed: int) -> None:
    """Few pids, reused all the time, with records swapped and lost: every row is of one life, none is counted twice."""
    chance = random.Random(seed)
    history: list[ExecRecord | ExitRecord] = []
    for life in range(400):
        pid, start = chance.randint(1, 9), life * 10.0
        lived: list[ExecRecord | ExitRecord] = [miss(start + 0.1, pid) for _ in range(chance.randint(0, 2))]
        lived += [exec_(start + 0.2 + i, pid, f"life-{life}") for i in range(chance.randint(0, 2))]
        lived.append(exit_(start + 3, pid, 3, exit_code=life % 200))
        history += [record for record in lived if chance.random() > 0.1]
    for i in range(len(history) - 1):
        if chance.random() < 0.1:
            history[i], history[i + 1] = history[i + 1], history[i]
    table = feed(*history, max_rows=50)
    table.expire(at(1e6))
    result = table.rows(at(1e6))
    assert len(result) <= 50
    assert [row.time_ns for row in result] == sorted((row.time_ns for row in result), reverse=True)
    running = [row.pid for row in result if row.status == "run"]
    assert len(running) == len(set(running))
    for row in result:
        if row.status.isdecimal():
            assert row.command == f"life-{(row.time_ns - at(0)) // (10 * 10**9)}"
            assert int(row.status) == int(row.command.removeprefix("life-")) % 200


def test_every_row_is_shown_or_counted_as_dropped() -> None:
    table = feed(*[exec_(i, i) for i in range(1, 501)], *[exit_(600 + i, i, 600) for i in range(1, 501)], max_rows=120)
    assert len(table.rows(at(2000))) + table.dropped == 500
