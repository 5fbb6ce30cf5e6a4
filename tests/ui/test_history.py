from __future__ import annotations

import pytest
from fakes import START_NS, FakeSource, empty_snapshot
from stage import Remembered, second, staged

from ebtop.store.evidence import Note
from ebtop.ui.moment import Moment
from ebtop.ui.screens.history import HistoryScreen, narrowings, overlaid, points


def moment(at_s: float) -> Moment:
    health = FakeSource().health()._replace(time_ns=START_NS + int(at_s * 1e9))
    return Moment(empty_snapshot(), health, None, {}, at_s)


def remembered(count: int = 300) -> Remembered:
    return Remembered(seconds=[second(n, cpu=20.0, execs=3.0 if n else 0.0, tx_bytes=2e6) for n in range(count)])


@pytest.mark.parametrize(("size", "charts"), [((200, 50), 6), ((120, 40), 6), ((80, 24), 2)])
async def test_as_many_charts_as_there_is_room_for(size: tuple[int, int], charts: int) -> None:
    async with staged(HistoryScreen(remembered()), size) as ui:
        titles = ("CPU of the node", "tasks that had", "programs started", "connections", "retransmitted", "TCP bytes")
        assert sum(title in ui.text() for title in titles) == charts
        assert "the last 4m59s" in ui.screen()[0]
        assert all(len(line) <= size[0] for line in ui.screen())


async def test_down_shows_the_other_charts() -> None:
    async with staged(HistoryScreen(remembered()), (80, 24)) as ui:
        assert "TCP bytes" not in ui.text()
        await ui.press(*["down"] * 9)
        assert "TCP bytes" in ui.text()
        assert "CPU of the node" not in ui.text()


async def test_the_cursor_names_a_moment_and_enter_goes_there() -> None:
    timeline = remembered(61)
    async with staged(HistoryScreen(timeline), (120, 40)) as ui:
        assert "22:14:20 newest" in ui.text()
        await ui.press("home")
        assert "22:13:20 " in ui.text()
        assert "execs 0/s" in ui.text()
        await ui.press("right")
        assert "22:13:2" in ui.text()
        assert "execs 3.0/s" in ui.text()
        cursor = [line.count("│") for line in ui.screen() if "┤" in line]
        await ui.press("left")
        await ui.press("enter")
        assert ui.app.done == [START_NS]
        assert not isinstance(ui.app.screen, HistoryScreen)
    assert cursor, "the axes are there"


async def test_enter_on_the_newest_is_live_again() -> None:
    async with staged(HistoryScreen(remembered())) as ui:
        await ui.press("left", "left", "end", "enter")
        assert ui.app.done == [None]


async def test_it_draws_by_itself_only_every_few_seconds() -> None:
    timeline = remembered(10)
    page = HistoryScreen(timeline)
    async with staged(page) as ui:
        page.take(moment(10))
        before = page.charts.lines_drawn
        for at in range(11, 15):
            timeline.seconds.append(second(at, cpu=99.0))
            page.take(moment(at))
            await ui.settle()
        assert page.charts.lines_drawn == before
        page.take(moment(15))
        await ui.until(lambda: page.charts.lines_drawn > before)
        assert "cpu 99 %" in ui.text()


@pytest.mark.parametrize("count", [0, 1])
async def test_without_anything_to_draw_it_says_so(count: int) -> None:
    async with staged(HistoryScreen(remembered(count))) as ui:
        assert "Nothing to draw yet" in ui.text()
        await ui.press("left", "right", "home", "end", "down")
        assert "Nothing to draw yet" in ui.text()


async def test_what_is_not_known_is_not_drawn_as_nothing() -> None:
    timeline = Remembered(seconds=[second(n, cpu=None) for n in range(60)])
    async with staged(HistoryScreen(timeline)) as ui:
        assert "cpu unknown" in ui.text()


async def test_where_collecting_was_narrowed_is_marked() -> None:
    seconds = [second(n, narrowed="pid 1234" if 20 <= n < 40 else "") for n in range(60)]
    async with staged(HistoryScreen(Remembered(seconds=seconds))) as ui:
        assert [text for _, text in narrowings(seconds)] == ["pid 1234", ""]
        axis = next(line for line in ui.screen() if "100 %┤" in line)
        assert axis[:60].count("┊") == 2
        assert "collecting was narrowed or widened" in ui.text()
        await ui.press(*["left"] * 26)
        assert "collected then: only pid 1234" in ui.text()


async def test_a_key_is_answered_between_two_charts() -> None:
    timeline = remembered(61)
    page = HistoryScreen(timeline)
    async with staged(page) as ui:
        timeline.seconds.append(second(61, cpu=99.0))
        page.take(moment(61))
        page.charts.action_edge(0)
        assert len(page.charts.seconds) == 61, "the old charts stand until all new ones are there"
        await ui.until(lambda: len(page.charts.seconds) == 62)
        assert "22:13:20 " in ui.text(), "the cursor stays"


async def test_notes_are_marked_and_read_under_the_cursor() -> None:
    timeline = remembered(61)
    timeline.written = [Note(START_NS - 10**12, "long gone"), Note(START_NS + int(29.5e9), "disk [b]full[/]")]
    page = HistoryScreen(timeline)
    async with staged(page) as ui:
        axis = next(line for line in ui.screen() if "100 %┤" in line)
        assert axis.count("▼") == 2, "one on each of two charts"
        assert "disk" not in ui.text()
        page.charts.action_edge(30)
        await ui.settle()
        assert "▼ disk [b]full[/]" in ui.text()


async def test_in_ascii_nothing_else_is_drawn() -> None:
    async with staged(HistoryScreen(remembered()), ascii_only=True) as ui:
        charts = ui.screen()[1:-3]
        assert all(line.isascii() for line in charts)
        assert any("*" in line for line in charts)


def test_a_hole_in_what_was_remembered_is_a_gap_at_any_pace() -> None:
    seconds = [second(n) for n in (0, 1, 2, 30, 31, 32)]
    assert [point is None for point in points(seconds, lambda s: 1.0)] == [False] * 3 + [True] + [False] * 3
    slow = [second(10 * n) for n in range(5)]
    assert None not in points(slow, lambda s: 1.0)
    assert points(slow, lambda s: None) == [None] * 5


def test_single_cells_are_laid_over_runs() -> None:
    runs = [("abc", "x"), ("def", "y")]
    assert overlaid(runs, {0: ("|", "m"), 2: ("|", "m"), 4: ("!", "m"), 9: ("?", "m")}) == [
        ("|", "m"), ("b", "x"), ("|", "m"), ("d", "y"), ("!", "m"), ("f", "y"),
    ]  # fmt: skip
    assert overlaid(runs, {}) == runs
