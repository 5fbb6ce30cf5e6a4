# ruff: noqa: E501  (the expected tables are as wide as they print)
from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ebtop.export.columns import Columns
from ebtop.store.records import EventRecord, Frame, Record
from tests.unit.record_makers import at, connect, exec_, exit_, miss, retransmit, stack, tcp, unseen_end


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def printed(probes: str, *records: Record) -> list[str]:
    columns = Columns(probes.split(","))
    return [*columns.header().split("\n"), *[columns.line(record) for record in records]]


def test_exec() -> None:
    assert printed(
        "exec",
        exec_(0.1239, 4711, "ls -l", ppid=4700),
        exec_(0.2, 12, ppid=4700)._replace(args=("sh", "-c", "echo hi"), args_truncated=70_000),
        miss(0.3, 4712, args="", filename="/usr/bin/x"),
        exit_(0.4, 4711, 0.0021, comm="ls", ppid=4700),
    ) == [
        "TIME         TYPE       PID     COMM",
        "             exec                                PPID    RET  ARGS",
        "             exit                                PPID    AGE(s)    EXIT_CODE",
        "14:00:00.123 exec       4711    ls               4700    0    ls -l",
        "14:00:00.200 exec       12      prog             4700    0    sh -c 'echo hi'…+70000 B",
        "14:00:00.300 exec       4712    sh               1       -2   /usr/bin/x",
        "14:00:00.400 exit       4711    ls               4700    0.002     0",
    ]


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        ({}, "0"),
        ({"exit_code": 3}, "code 3"),
        ({"signal": 9}, "signal 9 (KILL)"),
        ({"signal": 6, "core_dumped": True}, "signal 6 (ABRT), core dumped"),
        ({"signal": 34}, "signal 34 (RTMIN)"),
    ],
)
def test_exit_code(ending: dict[str, int], text: str) -> None:
    line = Columns(["exec"]).line(exit_(1, **ending))
    assert line == f"14:00:01.000 exit       100     prog             1       0.500     {text}"


def test_an_end_that_was_not_seen_says_so() -> None:
    line = Columns(["exec"]).line(unseen_end(1))
    assert line == "14:00:01.000 exit       100     prog             1       -         end not seen"


def test_tcp() -> None:
    assert printed(
        "tcp",
        tcp("close", 1, tx_bytes=100_000, rx_bytes=512, duration_s=1.5),
        tcp("live", 2, pid=0, comm="", ip=6, saddr="fe80::1", sport=22, daddr="fe80::2", duration_s=None),
    ) == [
        "TIME         EVENT   PID     COMM             IP LADDR           LPORT RADDR           RPORT    TX_KB    RX_KB MS",
        "14:00:01.000 close   300     curl             4  10.0.0.1        40000 10.0.0.2        443       97.7      0.5 1500.00",
        "14:00:02.000 live    -       -                6  fe80::1         22    fe80::2         443        0.0      0.0 -",
    ]  # fmt: skip


def test_wide_value_is_not_cut() -> None:
    address = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"
    line = Columns(["tcp"]).line(tcp("accept", 1, ip=6, saddr=address))
    assert line == (
        f"14:00:01.000 accept  300     curl             6  {address} 40000 10.0.0.2        443        0.0      0.0 0.00"
    )


def test_retransmits() -> None:
    assert printed(
        "retransmits",
        retransmit(1, 17, "fast"),
        retransmit(2, 1, "tlp", ip=6, saddr="::1", daddr="::2", state="FIN_WAIT1", pid=0, comm=""),
    ) == [
        "TIME         PID     IP LADDR:LPORT           T> RADDR:RPORT           STATE        KIND   SEGS",
        "14:00:01.000 300     4  10.0.0.1:40000        R> 10.0.0.2:443          ESTABLISHED  fast   17",
        "14:00:02.000 -       6  [::1]:40000           L> [::2]:443             FIN_WAIT1    tlp    1",
    ]


def test_connects() -> None:
    assert printed("connects", connect(1, "refused", 0.456), connect(1, "pending", 123456.7)) == [
        "PID     COMM             IP SADDR           DADDR           DPORT   LAT(ms) RESULT",
        "300     curl             4  10.0.0.1        10.0.0.2        443        0.46 refused",
        "300     curl             4  10.0.0.1        10.0.0.2        443   123456.70 pending",
    ]


def test_cpu_alone_is_folded_stacks_without_a_header() -> None:
    frames = (Frame("main", "native", "prog"), Frame("a;b", "jit", ""), Frame("do_syscall_64", "kernel", ""))
    assert printed("cpu", stack(1, samples=49, frames=frames), stack(1, "f", complete=False)) == [
        "",
        "prog;main;a:b;do_syscall_64_[k] 49",
        "prog;[cut];f 1",
    ]


def test_several_probes_share_the_first_columns() -> None:
    assert printed(
        "tcp,retransmits,connects,cpu",
        tcp("connect", 1, duration_s=0.001),
        retransmit(2, 2, "syn", state="SYN_SENT"),
        connect(3, "ok", 1017.2),
        stack(4, "main", samples=5),
    ) == [
        "TIME         TYPE       PID     COMM",
        "             tcp                                 EVENT   IP LADDR           LPORT RADDR           RPORT    TX_KB    RX_KB MS",
        "             retransmit                          IP LADDR:LPORT           T> RADDR:RPORT           STATE        KIND   SEGS",
        "             connect                             IP SADDR           DADDR           DPORT   LAT(ms) RESULT",
        "             stack                               KIND   STATE            COUNT     AMOUNT STACK",
        "14:00:01.000 tcp        300     curl             connect 4  10.0.0.1        40000 10.0.0.2        443        0.0      0.0 1.00",
        "14:00:02.000 retransmit 300     curl             4  10.0.0.1:40000        R> 10.0.0.2:443          SYN_SENT     syn    2",
        "14:00:03.000 connect    300     curl             4  10.0.0.1        10.0.0.2        443     1017.20 ok",
        "14:00:04.000 stack      100     prog             cpu    -                    5          - prog;main",
    ]  # fmt: skip


BLOCKED = stack(1, "main", "read")._replace(kind="offcpu", samples=3, amount=12_345_678, state="io")
TOUCHED = stack(1, "main", "fill")._replace(kind="faults", samples=2, amount=122, state="minor")


def test_folded_stacks_count_what_they_are_about() -> None:
    assert printed("offcpu", BLOCKED) == ["", "prog;main;read 12346"]
    assert printed("faults", TOUCHED) == ["", "prog;main;fill 122"]


def test_stacks_of_several_kinds_say_which_they_are() -> None:
    assert printed("cpu,offcpu,faults", stack(1, "main")._replace(period_ns=20_000_000), BLOCKED, TOUCHED) == [
        "TIME         TYPE       PID     COMM",
        "             stack                               KIND   STATE            COUNT     AMOUNT STACK",
        "14:00:01.000 stack      100     prog             cpu    -                    1    20.0 ms prog;main",
        "14:00:01.000 stack      100     prog             offcpu io                   3    12.3 ms prog;main;read",
        "14:00:01.000 stack      100     prog             faults minor              122    488 KiB prog;main;fill",
    ]


def test_events_of_other_probes_print_their_fields() -> None:
    event = EventRecord(at(1), 77, "sender", 0, "/", "signal", (("signal", 9), ("to_comm", "victim"), ("why", None)))
    table = Columns(["signals"])
    assert table.header() == "TIME         TYPE       PID     COMM             FIELDS"
    assert table.line(event).split(maxsplit=1)[1] == "signal     77      sender           signal=9 to_comm=victim why=-"
