"""What the panes of rows list in each mode, where Enter goes from them and what y takes."""

from __future__ import annotations

import re

import pytest
from fakes import START_NS, FakeSource, exec_row, tcp_row
from pane_host import Hosted, hosted

from ebtop.store.containers import Container
from ebtop.store.focus_selections import OfCommand, OfConnection, OfPeer, OfProcess
from ebtop.store.records import ConnectHistogram
from ebtop.store.rows import (
    CommandRow,
    ConnectRow,
    LetGo,
    PeerRow,
    RetransmitPeerRow,
    RetransmitRow,
    TalkerRow,
    TargetRow,
)
from ebtop.ui.focus import Focus
from ebtop.ui.panes.cells import few, user_name
from ebtop.ui.panes.connects import ConnectsPane
from ebtop.ui.panes.exec import ExecPane
from ebtop.ui.panes.retransmits import RetransmitsPane
from ebtop.ui.panes.table_pane import TablePane
from ebtop.ui.panes.tcp import TcpPane

COMMAND = CommandRow("sh", 2, 90, 4.5, 3, 85, 7, 1, 0.02, 12.0, START_NS, "sh -c 'sleep 1'", "/a", (0, 4_000_000))
PEER = PeerRow("10.0.0.9", 5432, "out", 3, 40, 1.5, 37, 2048.0, 0.0, 10**6, 0, 4, START_NS, ("web", "cron", "job"))
TALKER = TalkerRow(77, "web", 0, "/a", 3, 40, 1.5, 37, 2048.0, 0.0, 10**6, 0, 4, START_NS)
RETRANSMIT = RetransmitRow(
    START_NS, 7, "rsync", "exact", "10.0.0.1", 1, "10.0.0.2", 873, "ESTABLISHED", 41, 1.5, (("rto", 41),), 5
)
RETRANSMIT_PEER = RetransmitPeerRow("10.0.0.2", 873, 41, 1.5, (("rto", 40), ("tlp", 1)), 2, START_NS, ("rsync",))
CONNECT = ConnectRow(START_NS, 7, "curl", "10.0.0.9", 443, 3021.0, "timeout", "ETIMEDOUT", 5)
TARGET = TargetRow("10.0.0.9", 443, 12, 0.5, 1, 2, 0, 10, 0, 0, 1000.0, 7000.0, 7010.0, START_NS, ("curl",))


def cells(line: str) -> list[str]:
    """Cells of a line, where blanks inside them are single."""
    return re.split(r"\s{2,}", line.strip())


async def test_execs_by_command() -> None:
    quiet = COMMAND._replace(comm="cron", rate=0.0, running=0, failures=0, nonzero=0, killed=0, uids=(0,))
    async with hosted(ExecPane(), size=(150, 20)) as ui:
        await ui.second(execs=(exec_row(1),), commands=(quiet, COMMAND._replace(unseen=6)), since_ns=START_NS)
        await ui.press("t")
        assert "EXEC by command" in ui.title
        assert "since 22:13:20" in ui.title
        assert "let go" not in ui.title
        head, first, second = ui.body[:3]
        names = ["COMM", "EXECS", "/s", "RUN", "FAILED", "EXIT≠0", "KILLED", "MEAN", "MAX", "UNSEEN"]
        assert head.split()[:10] == names
        assert first.split()[:10] == ["sh", "90", "4.5", "2", "3", "7", "1", "20ms", "12s", "6"], "the busiest first"
        assert second.split()[:7] == ["cron", "90", "·", "·", "·", "·", "·"]
        assert second.split()[9] == "·"
        assert "sh -c 'sleep 1'" in first
        assert "root +1" in first
        await ui.second(commands=(COMMAND,), let_go=LetGo(commands=3))
        assert "3 rows let go" in ui.title
        await ui.press("t")
        assert "by command" not in ui.title


async def test_connections_by_peer_and_by_process() -> None:
    calm = PEER._replace(addr="10.0.0.8", tx_rate=0.0, rate=0.0, comms=("web",), direction="in")
    async with hosted(TcpPane(), size=(150, 20)) as ui:
        await ui.second(tcp=(tcp_row(1),), peers=(calm, PEER), talkers=(TALKER,), since_ns=START_NS)
        await ui.press("t")
        assert "TCP by peer" in ui.title
        first, second = ui.body[1:3]
        assert first.split() == [
            "→", "10.0.0.9", "5432", "3", "1.5", "2.0K", "·", "977K", "·", "4", "40", "37", "web", "+2",
        ]  # fmt: skip
        assert second.split()[:3] == ["←", "10.0.0.8", "5432"]
        await ui.press("t")
        assert "TCP by process" in ui.title
        assert ui.body[1].split()[:6] == ["77", "web", "3", "1.5", "2.0K", "·"]


async def test_retransmits_by_peer_and_the_last_minute() -> None:
    async with hosted(RetransmitsPane(), size=(120, 20)) as ui:
        await ui.second(
            retransmits=(RETRANSMIT,), retransmit_peers=(RETRANSMIT_PEER,), retransmit_history=(0,) * 58 + (30, 12)
        )
        assert ui.text(ui.pane.strip).strip().endswith("peak 30 segments/s, 42 in 1 min")
        await ui.press("t")
        assert ui.body[1].split()[1:] == ["10.0.0.2", "873", "41", "1.5", "2", "rto", "40", "tlp", "1", "rsync"]
        await ui.second(retransmit_peers=(RETRANSMIT_PEER,), retransmit_history=(0, 0, 0))
        assert ui.text(ui.pane.strip) == " none in the last 3 s"
        await ui.pilot.resize_terminal(120, 7)
        await ui.settle()
        assert not ui.pane.strip.display


async def test_connects_by_target() -> None:
    waiting = TARGET._replace(
        addr="10.1.1.1", pending=4, finished=0, ok=0, timeout=0, p50_ms=None, p99_ms=None, max_ms=None
    )
    async with hosted(ConnectsPane(), size=(150, 20)) as ui:
        await ui.second(connects=(CONNECT,), targets=(TARGET, waiting))
        await ui.press("t")
        first, second = ui.body[1:3]
        assert first.split()[1:6] == ["10.1.1.1:443", "·", "0.5", "4", "-"], "who waits comes first"
        assert second.split()[1:] == [
            "10.0.0.9:443", "12", "0.5", "1", "1.00s", "7.00s", "7.01s", "timeout", "10", "ok", "2", "curl",
        ]  # fmt: skip


async def test_a_connect_without_a_free_port_is_no_aborted_one() -> None:
    async with hosted(ConnectsPane(), size=(150, 20)) as ui:
        row = CONNECT._replace(result="aborted", error="EADDRNOTAVAIL")
        await ui.second(connects=(row, CONNECT._replace(result="aborted", error=None, time_ns=START_NS + 1)))
        assert ["no port" in line for line in ui.body[1:3]] == [True, False]


async def test_a_histogram_of_rows_alone_says_so() -> None:
    histogram = ConnectHistogram((0, 0, 3), (0, 0, 1))
    async with hosted(ConnectsPane(), size=(150, 20)) as ui:
        await ui.second(connects=(CONNECT,), histogram=histogram)
        assert "only" not in ui.text(ui.pane.histogram)
        await ui.second(connects=(CONNECT,), histogram=histogram, histogram_partial=True)
        assert "slow and failed ones only" in ui.text(ui.pane.histogram)
        assert "of 4" in ui.text(ui.pane.histogram)


CASES = (
    (ExecPane, {"execs": (exec_row(42, comm="job"),)}, 0, Focus("process", "job (42)", OfProcess(42, "job"), 42)),
    (ExecPane, {"commands": (COMMAND,)}, 1, Focus("command", "sh", OfCommand("sh"))),
    (TcpPane, {"tcp": (tcp_row(1),)}, 0, Focus("process", "app-1 (101)", OfProcess(101, "app-1"), 101)),
    (
        TcpPane,
        {"tcp": (tcp_row(1, pid=0, comm=""),)},
        0,
        Focus(
            "connection",
            "10.0.0.1:40001 → 10.0.0.2:443",
            OfConnection("10.0.0.1", 40001, "10.0.0.2", 443, 1),
        ),
    ),
    (TcpPane, {"peers": (PEER,)}, 1, Focus("peer", "10.0.0.9:5432", OfPeer("10.0.0.9", 5432))),
    (TcpPane, {"peers": (PEER._replace(direction="in"),)}, 1, Focus("peer", "10.0.0.9", OfPeer("10.0.0.9"))),
    (TcpPane, {"talkers": (TALKER,)}, 2, Focus("process", "web (77)", OfProcess(77, "web"), 77)),
    (TcpPane, {"talkers": (TALKER._replace(pid=0),)}, 2, None),
    (RetransmitsPane, {"retransmits": (RETRANSMIT,)}, 0, Focus("process", "rsync (7)", OfProcess(7, "rsync"), 7)),
    (
        RetransmitsPane,
        {"retransmits": (RETRANSMIT._replace(pid=0),)},
        0,
        Focus("connection", "10.0.0.1:1 → 10.0.0.2:873", OfConnection("10.0.0.1", 1, "10.0.0.2", 873, 5)),
    ),
    (RetransmitsPane, {"retransmit_peers": (RETRANSMIT_PEER,)}, 1, Focus("peer", "10.0.0.2", OfPeer("10.0.0.2"))),
    (ConnectsPane, {"connects": (CONNECT,)}, 0, Focus("process", "curl (7)", OfProcess(7, "curl"), 7)),
    (ConnectsPane, {"targets": (TARGET,)}, 1, Focus("peer", "10.0.0.9:443", OfPeer("10.0.0.9", 443))),
)


@pytest.mark.parametrize(("pane", "rows", "mode", "focus"), CASES)
async def test_enter_goes_to_what_the_row_is_about(
    pane: type[TablePane], rows: dict[str, object], mode: int, focus: Focus | None
) -> None:
    async with hosted(pane()) as ui:  # type: ignore[call-arg]
        await ui.second(**rows)
        assert ui.pane.mode is ui.pane.modes[0]
        await ui.press(*["t"] * mode)
        await ui.second(**rows)
        await ui.press("enter")
        assert ui.app.drilled == [focus]
        assert focus is None or focus.title == focus.selection.text or focus.kind == "process"


async def test_enter_in_an_empty_table_goes_nowhere() -> None:
    async with hosted(TcpPane()) as ui:
        await ui.second()
        await ui.press("enter", "t", "enter")
        assert ui.app.drilled == [None, None]
        assert ui.pane.copied() is None


async def test_a_drill_down_to_a_peer_starts_with_who_talks_to_it() -> None:
    pane = TcpPane()
    pane.look_at(Focus("process", "x (1)", OfProcess(1, "x"), 1))
    assert pane.mode.id == "connections"
    pane.look_at(Focus("peer", "10.0.0.9", OfPeer("10.0.0.9")))
    assert pane.mode.id == "talkers"


async def test_what_is_copied() -> None:
    async with hosted(ExecPane()) as ui:
        line = "python3 -c 'print(1)' " + "x" * 500
        await ui.second(execs=(exec_row(42, line),), commands=(COMMAND,))
        assert ui.pane.copied() == ("command", line)
        await ui.press("t")
        await ui.second(commands=(COMMAND,))
        copied = ui.pane.copied()
        assert copied is not None
        head, values = (text.split("\t") for text in copied.text.splitlines())
        row = dict(zip(head, values, strict=True))
        assert copied.what == "row"
        assert (row["COMM"], row["EXECS"], row["LATEST COMMAND"]) == ("sh", "90", "sh -c 'sleep 1'")
        assert row["CONTAINER"] == "-", "hidden columns too"
    async with hosted(TcpPane()) as ui:
        await ui.second(tcp=(tcp_row(1, daddr="2001:db8::7"),))
        head, values = (text.split("\t") for text in ui.pane.copied().text.splitlines())  # type: ignore[union-attr]
        row = dict(zip(head, values, strict=True))
        assert (row["DIRECTION"], row["REMOTE"], row["NETNS"]) == ("→", "[2001:db8::7]:443", "1")


async def test_the_container_shows_as_soon_as_one_is_known() -> None:
    source = FakeSource()
    source.known_containers["/d"] = Container("docker", "f" * 64, "shop-db", None, None)
    async with hosted(TcpPane(), size=(180, 20)) as ui:
        ui.app.source = source  # type: ignore[attr-defined]
        await ui.second(tcp=(tcp_row(1), tcp_row(2)))
        assert "CONTAINER" not in ui.body[0]
        await ui.second(tcp=(tcp_row(1), tcp_row(2, cgroup="/d")))
        assert "CONTAINER" in ui.body[0]
        assert [cells(line)[-1] == "shop-db" or "shop-db" in line for line in ui.body[1:3]] == [False, True]
        await ui.second(tcp=(tcp_row(1),))
        assert "CONTAINER" in ui.body[0], "it does not come and go"


async def test_the_cursor_stays_on_a_connection_whose_socket_was_used_before() -> None:
    ended = tcp_row(1, sport=50_000, open=False, state="closed")
    async with hosted(TcpPane(), size=(150, 20)) as ui:
        await ui.second(tcp=(tcp_row(9), tcp_row(1), ended))
        await ui.press("j", "j")
        await ui.second(tcp=(tcp_row(9), tcp_row(1), ended))
        assert ui.pane.table.row == ended


def test_users_and_lists_of_names() -> None:
    assert user_name(0) == "root"
    assert user_name(4_000_000) == "4000000"
    assert [few(names) for names in ((), ("a",), ("a", "b", "c"))] == ["?", "a", "a +2"]


PANES = (ExecPane, TcpPane, RetransmitsPane, ConnectsPane)


def everything(name: str) -> dict[str, object]:
    """One row of each kind, by that name."""
    return {
        "execs": (exec_row(1, name, comm=name, parent_comm=name),),
        "commands": (COMMAND._replace(comm=name, command=name),),
        "tcp": (tcp_row(1, comm=name),),
        "peers": (PEER._replace(comms=(name,)),),
        "talkers": (TALKER._replace(comm=name),),
        "retransmits": (RETRANSMIT._replace(comm=name),),
        "retransmit_peers": (RETRANSMIT_PEER._replace(comms=(name,)),),
        "connects": (CONNECT._replace(comm=name),),
        "targets": (TARGET._replace(comms=(name,)),),
        "histogram": ConnectHistogram((1,), (0,)),
        "retransmit_history": (1,),
    }


@pytest.mark.parametrize("pane", PANES)
@pytest.mark.parametrize("name", ["a[/foo]b", "[bold red]x[/]", "漢字漢字漢字", "\\x1b[2J", "a" * 300])
async def test_names_are_never_markup_in_any_mode(pane: type[TablePane], name: str) -> None:
    async with hosted(pane(), size=(160, 16)) as ui:  # type: ignore[call-arg]
        for mode in ui.pane.modes:
            await ui.second(**everything(name))
            assert ui.pane.mode is mode
            await ui.press("w", "escape", "c", "escape")
            assert name[:4] in "\n".join(ui.body)
            await ui.press("t")


@pytest.mark.parametrize("pane", PANES)
@pytest.mark.parametrize("width", [30, 48, 79, 80, 120, 200])
async def test_every_line_fills_the_width_in_every_mode(pane: type[TablePane], width: int) -> None:
    async with hosted(pane(), size=(width, 12)) as ui:  # type: ignore[call-arg]
        for _ in ui.pane.modes:
            await ui.second(**everything("some-name"))
            body = ui.pane.body
            lines = [strip.cell_length for strip in body.render_lines(body.size.region)]
            assert set(lines) == {body.size.width}
            await ui.press("t")


@pytest.mark.parametrize("pane", PANES)
def test_every_pane_explains_itself(pane: type[TablePane]) -> None:
    assert min(map(len, (pane.words, pane.source_words, pane.high_words, pane.next_words))) > 100


@pytest.mark.parametrize("pane", PANES)
async def test_every_column_has_a_name_and_help_and_sorts(pane: type[TablePane]) -> None:
    async with hosted(pane(), size=(200, 16)) as ui:  # type: ignore[call-arg]
        for mode in ui.pane.modes:
            await ui.second(**everything("name"))
            assert len({column.label for column in mode.columns}) == len(mode.columns)
            for column in mode.columns:
                assert column.label
                assert column.help
                assert column.sort
                ui.pane.table.sort_by(column)
                assert len(ui.pane.table.rows) == 1
            ui.pane.table.sort_by(None)
            await ui.press("t")


async def test_each_mode_keeps_its_order_and_cursor() -> None:
    async def second(ui: Hosted[TcpPane]) -> None:
        peers = tuple(PEER._replace(addr=f"10.0.0.{n}") for n in range(5))
        await ui.second(tcp=tuple(tcp_row(n) for n in range(9)), peers=peers)

    async with hosted(TcpPane(), size=(150, 20)) as ui:
        await second(ui)
        await ui.press("s", "s", "j", "j")
        order, under = ui.pane.table.sort_column, ui.pane.table.row.key  # type: ignore[union-attr]
        await ui.press("t")
        assert ui.pane.table.sort_column is None
        assert ui.pane.table.cursor == 0
        await ui.press("t", "t")
        await second(ui)
        assert (ui.pane.table.sort_column, ui.pane.table.row.key) == (order, under)  # type: ignore[union-attr]
