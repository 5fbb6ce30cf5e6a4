"""What the keys do."""

from __future__ import annotations

from conftest import Start
from fakes import START_NS, BusyNode, FakeSource, FakeTimeline, empty_snapshot, exec_row, probe_health, stack, tcp_row

from ebtop.errors import EbtopError
from ebtop.ui.commands import COMMANDS, in_scope
from ebtop.ui.panes.table_pane import TablePane
from ebtop.ui.screens.help import HelpScreen
from ebtop.ui.table import Table


def rows_store(*pids: int) -> FakeTimeline:
    store = FakeTimeline()
    store.next_snapshot = empty_snapshot(execs=tuple(exec_row(pid) for pid in pids))
    return store


def exec_table(ui: object) -> Table[object]:
    pane = ui.app.live.pane_of("exec")  # type: ignore[attr-defined]
    assert isinstance(pane, TablePane)
    return pane.table


def pids(ui: object) -> list[int]:
    return [row.pid for row in exec_table(ui).rows]  # type: ignore[attr-defined]


def chosen(ui: object) -> int:
    table = exec_table(ui)
    return table.rows[table.cursor].pid  # type: ignore[attr-defined,no-any-return]


def test_no_key_means_two_things_in_one_scope() -> None:
    # Enter zooms in the icicle and goes into what is zoomed in already; pages of text close by Esc themselves.
    shared = {"icicle": {"enter"}, "table": set(), "text": set()}
    for scope, allowed in shared.items():
        keys = [key for command in (*in_scope(scope), *in_scope("app")) for key in command.keys if key not in allowed]
        assert sorted({key for key in keys if keys.count(key) > 1}) == []
    assert len({command.id for command in COMMANDS}) == len(COMMANDS)


async def test_digits_and_tab_choose_the_pane(start: Start) -> None:
    async with start() as ui:
        for key, probe in (("3", "tcp"), ("5", "connects"), ("1", "cpu")):
            await ui.press(key)
            assert ui.app.live.current.probe == probe
            assert ui.app.live.current.body.has_focus
        await ui.press("tab", "tab")
        assert ui.app.live.current.probe == "tcp"
        await ui.press("shift+tab")
        assert ui.app.live.current.probe == "exec"


async def test_a_pane_has_the_focus_at_once(start: Start) -> None:
    """Keys typed right behind the digit must not go to the pane before."""
    async with start() as ui:
        ui.app.action_go("tcp")
        assert ui.app.focused is ui.app.live.pane_of("tcp").body


async def test_a_small_terminal_shows_one_pane_and_the_pane_bar(start: Start) -> None:
    async with start(FakeTimeline(BusyNode().snapshot), size=(80, 24), ticks=3) as ui:
        assert "1 CPU  2 EXEC  3 TCP  4 RETRANSMITS  5 SLOW CONNECTS" in ui.screen()[1]
        await ui.press("2")
        assert ui.app.live.visible_panes == [ui.app.live.pane_of("exec")]
        assert "COMMAND" in ui.screen()[3]
        assert ui.screen()[4].strip() != ""


async def test_maximise_and_back(start: Start) -> None:
    async with start(FakeTimeline(BusyNode().snapshot), ticks=3) as ui:
        await ui.press("3", "M")
        table = ui.app.live.pane_of("tcp").body
        assert table.size.width == 120
        assert sum(1 for line in ui.screen() if "ESTAB" in line) > 20
        await ui.press("M")
        assert table.size.width < 120
        assert any("EXEC" in line for line in ui.screen())


async def test_hidden_panes_draw_nothing(start: Start) -> None:
    async with start(FakeTimeline(BusyNode().snapshot), size=(80, 24), ticks=2) as ui:
        hidden = ui.app.live.pane_of("tcp").body
        before = hidden.lines_drawn
        for _ in range(3):
            await ui.tick()
        assert hidden.lines_drawn == before


async def test_lines_that_stay_the_same_are_not_drawn_again(start: Start) -> None:
    async with start(rows_store(1, 2, 3)) as ui:
        table = exec_table(ui)
        before = table.lines_drawn
        await ui.tick()
        assert table.lines_drawn == before
        ui.store.next_snapshot = empty_snapshot(execs=(exec_row(1), exec_row(2, "changed"), exec_row(3)))
        await ui.tick()
        assert table.lines_drawn == before + 1


async def test_the_cursor_follows_its_row_when_rows_arrive_above(start: Start) -> None:
    async with start(rows_store(3, 2, 1)) as ui:
        await ui.press("2", "j")
        assert chosen(ui) == 2
        ui.store.next_snapshot = empty_snapshot(execs=tuple(exec_row(pid) for pid in (9, 8, 3, 2, 1)))
        await ui.tick()
        assert chosen(ui) == 2
        assert exec_table(ui).cursor == 3


async def test_the_cursor_at_the_top_stays_at_the_top(start: Start) -> None:
    async with start(rows_store(3, 2, 1)) as ui:
        await ui.press("2")
        ui.store.next_snapshot = empty_snapshot(execs=tuple(exec_row(pid) for pid in (9, 3, 2, 1)))
        await ui.tick()
        assert chosen(ui) == 9


async def test_the_cursor_keeps_its_place_when_its_row_goes(start: Start) -> None:
    async with start(rows_store(5, 4, 3, 2, 1)) as ui:
        await ui.press("2", "j", "j")
        ui.store.next_snapshot = empty_snapshot(execs=tuple(exec_row(pid) for pid in (5, 4, 2, 1)))
        await ui.tick()
        assert chosen(ui) == 2


async def test_the_row_under_the_cursor_keeps_its_line_on_screen(start: Start) -> None:
    async with start(rows_store(*range(100, 0, -1))) as ui:
        await ui.press("2", *["j"] * 30)
        line = next(n for n, text in enumerate(ui.body("exec")) if "/bin/prog-70" in text)
        ui.store.next_snapshot = empty_snapshot(execs=tuple(exec_row(pid) for pid in range(110, 0, -1)))
        await ui.tick()
        assert "/bin/prog-70" in ui.body("exec")[line]


async def test_moving_by_page_and_to_the_ends(start: Start) -> None:
    async with start(rows_store(*range(100, 0, -1))) as ui:
        await ui.press("2", "G")
        assert chosen(ui) == 1
        await ui.press("g")
        assert chosen(ui) == 100
        await ui.press("pagedown")
        page = 100 - chosen(ui)
        assert page > 3
        await ui.press("pagedown", "pageup")
        assert chosen(ui) == 100 - page
        await ui.press("k")
        assert chosen(ui) == 101 - page


async def test_sort_reverse_and_back(start: Start) -> None:
    store = FakeTimeline()
    lives = {1: 3.0, 2: 1.0, 3: None, 4: 2.0}
    store.next_snapshot = empty_snapshot(execs=tuple(exec_row(pid, duration_s=s) for pid, s in lives.items()))
    async with start(store) as ui:
        await ui.press("2")
        for _ in range(20):
            await ui.press("s")
            column = exec_table(ui).sort_column
            if column and column.title == "LIVED":
                break
        assert "LIVED▼" in ui.body("exec")[0]
        assert pids(ui) == [1, 4, 2, 3], "what has no value comes last"
        await ui.press("S")
        assert "LIVED▲" in ui.body("exec")[0]
        assert pids(ui) == [2, 4, 1, 3]
        await ui.tick()
        assert pids(ui) == [2, 4, 1, 3], "a refresh keeps the order"
        await ui.press("escape")
        assert pids(ui) == [1, 2, 3, 4]


async def test_sort_goes_through_every_column_in_view(start: Start) -> None:
    async with start(rows_store(1, 2), size=(200, 50)) as ui:
        await ui.press("2")
        seen = []
        for _ in range(9):
            await ui.press("s")
            column = exec_table(ui).sort_column
            assert column is not None
            seen.append(column.title)
        assert seen == ["TIME", "PID", "USER", "PARENT", "STATUS", "LIVED", "TRIED", "COMMAND", "TIME"]


async def test_pause_freezes_the_view_but_not_the_collection(start: Start) -> None:
    store = rows_store(1)
    store.next_snapshot = store.next_snapshot._replace(stacks=(stack("before", samples=5),), sampled_s=1.0)
    async with start(store) as ui:
        await ui.press("space")
        later = START_NS + 5 * 10**9
        ui.store.next_snapshot = empty_snapshot(
            time_ns=later, execs=(exec_row(2), exec_row(1)), stacks=(stack("during", samples=3),), sampled_s=1.0
        )
        await ui.tick()
        await ui.tick()
        await ui.tick()
        assert "PAUSED 3.0s" in ui.screen()[0]
        assert "prog-2" not in ui.pane("exec")
        assert "during" not in ui.pane("cpu")
        await ui.press("j", "j")
        assert "total 5 100 %" in ui.pane("cpu")
        await ui.press("space")
        assert "LIVE" in ui.screen()[0]
        assert "prog-2" in ui.pane("exec")
        assert "during" in ui.pane("cpu")
        assert ui.app.live.panes[0].window.samples == 8  # type: ignore[attr-defined]


async def test_a_pane_that_was_hidden_shows_the_frozen_moment_too(start: Start) -> None:
    async with start(rows_store(1), size=(80, 24)) as ui:
        await ui.press("space")
        ui.store.next_snapshot = empty_snapshot(execs=(exec_row(2),))
        await ui.tick()
        await ui.press("2")
        assert "/bin/prog-1" in ui.pane("exec")
        assert "/bin/prog-2" not in ui.pane("exec")


async def test_unload_shows_the_proof_and_u_loads_again(start: Start) -> None:
    async with start(rows_store(1), size=(200, 50)) as ui:
        await ui.press("2", "u", "u")
        await ui.work_done()
        proof = "exec unloaded in 12ms: 2 programs, 2 maps, 0 left"
        assert proof in ui.pane("exec")
        assert proof in ui.screen()[-1]
        assert "/bin/prog-1" in ui.pane("exec"), "what was seen stays on screen"
        assert "4/5" in ui.status
        await ui.press("u", "u")
        await ui.work_done()
        assert ui.source.probes["exec"].state == "on"
        assert proof not in ui.pane("exec")
        assert "exec loaded in" in ui.screen()[-1]


async def test_unload_names_what_is_left(start: Start) -> None:
    source = FakeSource()
    source.remaining = ("prog 12", "map 7")
    async with start(source=source, size=(200, 50)) as ui:
        await ui.press("3", "u", "u")
        await ui.work_done()
        assert "tcp unloaded in 12ms: 2 programs, 2 maps, 2 left (prog 12, map 7)" in ui.pane("tcp")


async def test_unload_says_what_is_kept_and_for_whom(start: Start) -> None:
    source = FakeSource()
    source.kept = "(sockets), for retransmits"
    async with start(source=source, size=(200, 50)) as ui:
        await ui.press("3", "u", "u")
        await ui.work_done()
        assert "0 left; kept: (sockets), for retransmits" in ui.pane("tcp")


async def test_unload_all_and_load_all(start: Start) -> None:
    async with start(size=(200, 50)) as ui:
        await ui.press("U")
        await ui.work_done()
        assert {probe.state for probe in ui.source.probes.values()} == {"off"}
        assert "5 probes unloaded in 60ms: 10 programs, 10 maps, 0 left" in ui.screen()[-1]
        assert "probes 0/5" in ui.status
        await ui.press("U")
        await ui.work_done()
        assert {probe.state for probe in ui.source.probes.values()} == {"on"}


async def test_a_load_that_fails_says_why(start: Start) -> None:
    source = FakeSource()
    source.probes["exec"] = probe_health("exec", state="off", programs=(), maps=())
    source.load_error = EbtopError("cannot load exec", "verifier said no", "see the log")
    async with start(source=source) as ui:
        await ui.press("2", "u", "u")
        await ui.work_done()
        assert "cannot load exec: verifier said no; see the log" in ui.screen()[-1]


async def test_the_message_gives_way_to_the_keys(start: Start) -> None:
    async with start() as ui:
        await ui.press("2", "u", "u")
        await ui.work_done()
        for _ in range(9):
            await ui.tick()
        assert "unloaded" not in ui.screen()[-1]
        assert "quit" in ui.screen()[-1]


async def test_the_log_shows_what_libraries_printed_and_what_was_done(start: Start) -> None:
    source = FakeSource()
    source.log = ("libbpf: something", "verifier: R1 invalid")
    async with start(source=source) as ui:
        await ui.press("L")
        assert "verifier: R1 invalid" in ui.text(ui.app.live.log_text)
        await ui.press("2", "u", "u")
        await ui.work_done()
        assert "exec unloaded in 12ms" in ui.text(ui.app.live.log_text)
        await ui.press("L")
        assert "verifier" not in "\n".join(ui.screen())


async def test_help_explains_the_focused_pane_and_every_key(start: Start) -> None:
    source = FakeSource()
    source.probes["exec"] = probe_health("exec", notes=("no failed execs on this kernel",))
    async with start(source=source, size=(120, 150)) as ui:
        await ui.press("2", "question_mark")
        assert isinstance(ui.app.screen, HelpScreen)
        text = "\n".join(ui.screen())
        assert "Every program that was started" in text
        assert "no failed execs on this kernel" in text
        missing = [c.help for c in (*in_scope("app"), *in_scope("table")) if c.help not in text]
        assert missing == []
        await ui.press("q")
        assert not isinstance(ui.app.screen, HelpScreen)
        assert ui.app.is_running


async def test_q_quits_and_escape_never_does(start: Start) -> None:
    async with start() as ui:
        for pane in "12345":
            await ui.press(pane, "escape", "escape")
            assert ui.app.is_running
            assert ui.app._exit is False
        await ui.press("q")
        assert ui.app._exit is True


async def test_ctrl_c_quits_even_from_help(start: Start) -> None:
    async with start() as ui:
        await ui.press("question_mark", "ctrl+c")
        assert ui.app._exit is True


async def test_clicks(start: Start) -> None:
    store = FakeTimeline()
    store.next_snapshot = empty_snapshot(tcp=tuple(tcp_row(n) for n in range(5)))
    async with start(store) as ui:
        pane = ui.app.live.pane_of("tcp")
        await ui.pilot.click(pane.body, offset=(3, 3))
        await ui.settle()
        assert ui.app.live.current is pane
        assert pane.table.cursor == 2  # type: ignore[attr-defined]
        await ui.pilot.click(ui.app.live.pane_of("connects").title_line, offset=(5, 0))
        await ui.settle()
        assert ui.app.live.current.probe == "connects"
