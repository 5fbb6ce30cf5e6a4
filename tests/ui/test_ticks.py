"""The clock's tick: a thread puts the newest second together, and keys are acted on meanwhile."""

from __future__ import annotations

import asyncio
import threading

from conftest import Start
from driving import Driving
from fakes import FakeTimeline, empty_snapshot, exec_row, stack

from ebtop.store.rows import Snapshot

LIMIT_S = 10.0


class SlowTimeline(FakeTimeline):
    """A snapshot is not there before the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.next_snapshot = rows(1, 2)
        self.asked_for = threading.Event()
        self.ready = threading.Event()
        self.ready.set()

    def snapshot(self) -> Snapshot:
        self.asked_for.set()
        assert self.ready.wait(LIMIT_S)
        return super().snapshot()


def rows(*pids: int, **changes: object) -> Snapshot:
    return empty_snapshot(execs=tuple(exec_row(pid) for pid in pids), **changes)


async def begin_tick(ui: Driving, timeline: SlowTimeline) -> asyncio.Task[None]:
    """A tick of the clock that waits for its snapshot."""
    timeline.ready.clear()
    timeline.asked_for.clear()
    ticking = asyncio.create_task(ui.app._tick_of_clock())
    assert await asyncio.to_thread(timeline.asked_for.wait, LIMIT_S)
    return ticking


async def end_tick(ui: Driving, timeline: SlowTimeline, ticking: asyncio.Task[None]) -> None:
    timeline.ready.set()
    await ticking
    await ui.settle()


async def test_keys_act_while_the_newest_second_is_put_together(start: Start) -> None:
    timeline = SlowTimeline()
    async with start(timeline) as ui:
        await ui.press("2")
        timeline.next_snapshot = rows(1, 2, 3)
        ticking = await begin_tick(ui, timeline)
        before = ui.app.live.current.table.row
        await ui.press("j")
        assert ui.app.live.current.table.row != before
        assert "prog-3" not in ui.pane("exec")
        await end_tick(ui, timeline, ticking)
        assert "prog-3" in ui.pane("exec")


async def test_a_second_that_comes_after_the_view_was_frozen_is_not_shown(start: Start) -> None:
    timeline = SlowTimeline()
    async with start(timeline) as ui:
        timeline.next_snapshot = rows(1, 2, 3, stacks=(stack("during", samples=3),), sampled_s=1.0)
        ticking = await begin_tick(ui, timeline)
        await ui.press("space")
        await end_tick(ui, timeline, ticking)
        assert "prog-3" not in ui.pane("exec")
        await ui.press("space")
        assert "prog-3" in ui.pane("exec")
        assert "during" in ui.pane("cpu"), "its stacks do not come a second time in a snapshot, but are kept"


async def test_a_clock_that_is_faster_than_the_node_does_not_pile_up(start: Start) -> None:
    timeline = SlowTimeline()
    async with start(timeline) as ui:
        ticking = await begin_tick(ui, timeline)
        marks = len(timeline.marks)
        for _ in range(5):
            await ui.app._tick_of_clock()
        assert len(timeline.marks) == marks
        await end_tick(ui, timeline, ticking)


async def test_what_was_asked_for_during_a_tick_is_shown_after_it(start: Start) -> None:
    timeline = SlowTimeline()
    async with start(timeline) as ui:
        ui.app._ticking = True
        ticking = await begin_tick(ui, timeline)
        marks = len(timeline.marks)
        ui.app.tick_soon()
        ui.app.tick_soon()
        await end_tick(ui, timeline, ticking)
        await ui.work_done()
        assert len(timeline.marks) == marks + 1
