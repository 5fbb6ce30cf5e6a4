"""Tables: order, columns, search, and very many rows."""

from __future__ import annotations

import random

import pytest
from fakes import exec_row, tcp_row
from pane_host import Hosted, hosted

from ebtop.store.rows import TcpRow
from ebtop.ui.columns import Column, choose, number, squeeze
from ebtop.ui.panes.exec import ExecPane
from ebtop.ui.panes.tcp import TcpPane
from ebtop.ui.screens.choice import ChoiceScreen

MANY = 50_000


def titles(columns: list[tuple[Column[str], int]]) -> list[tuple[str, int]]:
    return [(column.title, width) for column, width in columns]


def column(title: str, width: int, **rest: object) -> Column[str]:
    return Column(title, width, str, "", **rest)  # type: ignore[arg-type]


async def pick(ui: Hosted[TcpPane], *keys: str) -> None:
    """Keys in the menu that is open."""
    assert isinstance(ui.app.screen, ChoiceScreen)
    await ui.press(*keys)


async def pick_line(ui: Hosted[TcpPane], label: str) -> None:
    """Put the cursor of the open menu on a line."""
    screen = ui.app.screen
    assert isinstance(screen, ChoiceScreen)
    at = [choice.label for choice in screen.list.choices].index(label)
    screen.list.action_move(at - screen.list.cursor)


def test_columns_stretch_no_further_than_they_can_use() -> None:
    columns = [column("a", 5, stretch=1, most=8), column("b", 5, stretch=1)]
    assert titles(choose(columns, 31)) == [("a", 8), ("b", 22)]
    assert titles(choose(columns[:1], 31)) == [("a", 8)]
    assert titles(choose(columns, 11)) == [("a", 5), ("b", 5)]


@pytest.mark.parametrize("width", range(1, 60))
def test_chosen_columns_are_cut_before_the_last_ones_go(width: int) -> None:
    columns = [column("a", 20), column("b", 7, rank=3), column("c", 4), column("d", 12)]
    shown = squeeze(columns, width)
    assert sum(cells + 1 for _, cells in shown) - 1 <= max(width, 5)
    assert [c.title for c, _ in shown] == list("abcd")[: len(shown)]
    if width >= 22:
        assert len(shown) == 4
    if width >= 46:
        assert [cells for _, cells in shown] == [20, 7, 4, 12]


async def test_the_menu_sorts_by_any_column_hidden_ones_too() -> None:
    rows = tuple(exec_row(pid, ppid=100 - pid) for pid in range(1, 6))
    async with hosted(ExecPane()) as ui:
        await ui.second(execs=rows)
        await ui.press("w")
        await pick_line(ui, "PPID")  # type: ignore[arg-type]
        await ui.press("enter")
        assert [row.pid for row in ui.pane.table.rows] == [5, 4, 3, 2, 1]
        assert "PPID" not in ui.body[0]
        await ui.second(execs=rows)
        assert "by PPID▲" in ui.title
        await ui.press("w", "enter")
        assert [row.pid for row in ui.pane.table.rows] == [1, 2, 3, 4, 5], "once more turns it round"
        await ui.press("w", "home", "enter")
        assert ui.pane.table.sort_column is None
        await ui.press("w", "escape")
        assert ui.pane.table.sort_column is None


async def test_a_click_on_a_header_sorts_and_another_turns_round() -> None:
    async with hosted(TcpPane(), size=(150, 20)) as ui:
        await ui.second(tcp=tuple(tcp_row(n) for n in (2, 3, 1)))
        x = ui.body[0].index("TX/s")
        await ui.pilot.click(ui.pane.body, offset=(x, 0))
        assert [row.key for row in ui.pane.table.rows] == [3, 2, 1]
        await ui.pilot.click(ui.pane.body, offset=(x, 0))
        assert [row.key for row in ui.pane.table.rows] == [1, 2, 3]


async def test_columns_are_chosen_kept_and_given_back_to_the_width() -> None:
    async with hosted(TcpPane(), size=(150, 20)) as ui:
        await ui.second(tcp=(tcp_row(1),))
        automatic = ui.body[0]
        await ui.press("c")
        for label in ("LOCAL", "STATE", "NETNS"):
            await pick_line(ui, label)
            await ui.press("space")
        await ui.press("enter")
        assert "NETNS" in ui.body[0]
        assert "LOCAL" not in ui.body[0]
        assert "STATE" not in ui.body[0]
        await ui.press("t")
        assert "NETNS" not in ui.body[0], "another mode has columns of its own"
        await ui.press("t", "t")
        await ui.second(tcp=(tcp_row(1),))
        assert "NETNS" in ui.body[0]
        await ui.pilot.resize_terminal(40, 20)
        await ui.settle()
        assert ui.body[0].split()[:2] == ["PID", "COMM"]
        await ui.pilot.resize_terminal(150, 20)
        await ui.press("c")
        for choice in ui.app.screen.list.choices:  # type: ignore[attr-defined]
            if choice.chosen:
                await pick_line(ui, choice.label)
                await ui.press("space")
        await ui.press("enter")
        assert ui.body[0] == automatic


async def test_leaving_the_chooser_changes_nothing() -> None:
    async with hosted(TcpPane(), size=(150, 20)) as ui:
        await ui.second(tcp=(tcp_row(1),))
        before = ui.body[0]
        for keys in (("space", "escape"), ("enter",)):
            await ui.press("c", *keys)
            assert ui.body[0] == before
            assert ui.pane.table.chosen == ()


async def test_search_marks_cells_goes_round_and_says_how_many() -> None:
    rows = tuple(tcp_row(n, comm="nginx" if n in (4, 8) else "postgres") for n in range(12))
    async with hosted(TcpPane(), size=(150, 20)) as ui:
        await ui.second(tcp=rows)
        ui.pane.search("NGI")
        assert ui.pane.table.cursor == 4
        assert ui.pane.search_result() == "1 of 2 rows"
        marked = [
            "".join(s.text for s in ui.pane.body.render_line(y) if s.style == ui.app.palette.style("match", ground))
            for y, ground in ((5, "cursor"), (6, "base"), (9, "base"))
        ]
        assert [text.strip() for text in marked] == ["nginx", "", "nginx"]
        ui.pane.search_next(1)
        assert (ui.pane.table.cursor, ui.pane.search_result()) == (8, "2 of 2 rows")
        ui.pane.search_next(1)
        assert ui.pane.table.cursor == 4
        ui.pane.search_next(-1)
        assert ui.pane.table.cursor == 8
        ui.pane.table.move_to(0)
        assert ui.pane.search_result() == "2 rows match"
        ui.pane.search("no such name")
        assert ui.pane.search_result() == "0 rows match"
        assert ui.pane.table.cursor == 0


async def test_search_looks_into_the_columns_in_view_but_not_into_figures() -> None:
    async with hosted(TcpPane(), size=(150, 20)) as ui:
        await ui.second(tcp=(tcp_row(1), tcp_row(2, tx_bytes=777, netns=12345)))
        for text, found in (("10.0.0.2:443", "1 of 2 rows"), ("777", "0 rows match"), ("12345", "0 rows match")):
            ui.pane.search(text)
            assert ui.pane.search_result() == found


async def test_escape_ends_the_search_then_the_order_then_leaves() -> None:
    async with hosted(TcpPane(), size=(150, 20)) as ui:
        await ui.second(tcp=tuple(tcp_row(n) for n in range(5)))
        await ui.press("s", "S")
        ui.pane.search("app")
        await ui.press("escape")
        assert ui.pane.search_result() == ""
        assert ui.pane.table.sort_column is not None
        await ui.press("escape")
        assert (ui.pane.table.sort_column, ui.pane.table.reverse, ui.app.went_back) == (None, False, 0)
        await ui.press("escape")
        assert ui.app.went_back == 1


async def test_a_match_can_be_told_without_colour() -> None:
    async with hosted(TcpPane(), size=(150, 20), mono=True) as ui:
        await ui.second(tcp=(tcp_row(1), tcp_row(2)))
        ui.pane.search("app-2")
        segments = [s for s in ui.pane.body.render_line(2) if s.style and s.style.underline]
        assert "".join(s.text for s in segments).strip() == "app-2"
        assert all(s.style.reverse for s in segments if s.style), "it is under the cursor, too"


def many(values: list[float]) -> tuple[TcpRow, ...]:
    return tuple(tcp_row(n, tx_rate=value, comm=f"app-{n % 100}") for n, value in enumerate(values))


async def test_fifty_thousand_rows_are_sorted_and_the_cursor_follows_its_row() -> None:
    choose_value = random.Random(2)
    values = [float(n) for n in range(MANY)]
    choose_value.shuffle(values)
    async with hosted(TcpPane(), size=(150, 30)) as ui:
        table = ui.pane.table
        await ui.second(tcp=many(values))
        assert f"{MANY:,} open" in ui.title
        while table.sort_column is None or table.sort_column.title != "TX/s":
            await ui.press("s")
        assert [row.tx_rate for row in table.rows] == sorted(values, reverse=True)
        table.move_to(20_000)
        followed = table.row
        assert followed is not None
        line = table.cursor - table.top
        for _ in range(6):
            values = [value + choose_value.choice((0.0, 0.0, 0.5, 3000.0)) for value in values]
            await ui.second(tcp=many(values))
            assert table.row.key == followed.key  # type: ignore[union-attr]
            assert table.row.tx_rate == values[followed.key], "what a row says is of this second"  # type: ignore[union-attr]
            assert table.cursor - table.top == line
        assert table.ticks_between_sorts == 3
        assert "sorted every 3 s" in ui.title
        assert [row.tx_rate for row in table.rows] == sorted(values, reverse=True), "the sixth second is one of them"


async def test_a_search_through_very_many_rows_goes_on_with_each_key() -> None:
    async with hosted(TcpPane(), size=(150, 30)) as ui:
        rows = [tcp_row(n, comm="needle" if n == 35_000 else "hay") for n in range(MANY)]
        await ui.second(tcp=tuple(rows))
        ui.pane.search("needle")
        assert ui.pane.search_result() == "no match in 10,000 of 50,000 rows; once more looks on"
        for _ in range(2):
            ui.pane.search_next(1)
            assert ui.pane.table.cursor == 0
        ui.pane.search_next(1)
        assert ui.pane.table.cursor == 35_000
        assert ui.pane.search_result() == "0 of the first 10,000 rows match"


async def test_a_table_of_fifty_thousand_rows_formats_only_what_is_in_view() -> None:
    asked = 0

    def cell(row: TcpRow) -> str:
        nonlocal asked
        asked += 1
        return row.comm

    async with hosted(TcpPane(), size=(150, 30)) as ui:
        rate = number("TX/s", 5, lambda row: row.tx_rate, str, "")
        ui.pane.table.turn_to((Column("COMM", 9, cell, ""), rate), lambda row: row.key)
        rows = many([1.0] * MANY)
        ui.pane.table.show(rows)
        assert 0 < asked <= 30
        ui.pane.table.show(many([2.0] * MANY))
        assert asked <= 60
