"""The screen on a recording that the test makes: any moment of it, played, searched for notes and spikes."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from driving import Driving
from fakes import FakeClock

from ebtop.store.file.reader import SnapshotFile
from ebtop.store.file.replay import FileSource, FileTimeline
from ebtop.store.user_names import ShownUsers
from ebtop.ui import themes
from ebtop.ui.replay import ReplayApp
from tests.unit.file_makers import Recording
from tests.unit.history_workload import Node
from tests.unit.record_makers import EPOCH, SECOND, at, batch, exec_

SECONDS = 70
BURST = 40


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """70 s of a node, with a note at 20 and a burst of execs at 40."""
    made = Recording(tmp_path_factory.mktemp("replay") / "incident.ebtop")
    node = Node(3, execs=8)
    for number in range(SECONDS):
        if number == BURST:
            storm = [exec_(BURST + 0.1 + n / 1e4, pid=90_000 + n, args="storm") for n in range(300)]
            made.take(BURST + 0.2, batch(*storm, time=BURST + 0.2))
        for arrives, each in node.second(number):
            made.take((arrives - EPOCH) / SECOND, each)
        if number == 20:
            made.recorder.note("disk was full")
    made.close()
    return made


@asynccontextmanager
async def replaying(path: Path, size: tuple[int, int] = (160, 50), **options: Any) -> AsyncIterator[Driving]:
    clock, file = FakeClock(), SnapshotFile(path)
    source, timeline = FileSource(file), FileTimeline(file)
    app = ReplayApp(source, timeline, themes.load(), clock=clock, ticking=False, **options)
    async with app.run_test(size=size) as pilot:
        ui = Driving(app, pilot, source, timeline, clock)  # type: ignore[arg-type]
        await ui.work_done()
        yield ui
    source.close()


async def seconds(ui: Driving, count: float) -> None:
    """Time passes, and what it moves on to is put together."""
    ui.clock.now += count
    ui.app.tick()
    await ui.work_done()


def position(ui: Driving) -> float:
    """Seconds after the epoch of the recording."""
    assert ui.app.time_view.at_ns is not None
    return (ui.app.time_view.at_ns - EPOCH) / SECOND


async def test_it_opens_at_the_end_under_the_name_of_its_node(recording: Recording) -> None:
    async with replaying(recording.path) as ui:
        head = ui.screen()[0]
        assert "web1" in head
        assert "6.1.0" in head
        assert "REPLAY paused" in head
        assert "LIVE" not in head
        assert "1m10s of 1m10s" in head
        assert position(ui) == pytest.approx(SECONDS, abs=0.1)
        moment = ui.app.live.moment
        assert moment is not None
        shown = recording.timeline.at(at(SECONDS) + SECOND)
        assert [row.pid for row in moment.snapshot.execs] == [row.pid for row in shown.execs]
        assert f"{shown.execs[0].pid}" in ui.pane("exec")


async def test_stepping_and_its_limits(recording: Recording) -> None:
    async with replaying(recording.path) as ui:
        end = position(ui)
        await ui.press("left_square_bracket", "left_square_bracket")
        assert position(ui) == pytest.approx(end - 2)
        await ui.press("left_curly_bracket")
        assert position(ui) == pytest.approx(end - 62)
        await ui.press("left_curly_bracket")
        assert position(ui) == pytest.approx(0.25, abs=0.1)
        await ui.press("left_square_bracket")
        assert "this is the beginning" in ui.screen()[-1]
        await ui.press("right_curly_bracket", "right_curly_bracket", "right_square_bracket")
        assert "this is the end" in ui.screen()[-1]
        assert position(ui) == pytest.approx(end)


async def test_going_to_a_time(recording: Recording) -> None:
    async with replaying(recording.path) as ui:
        await ui.press("at", *"14:00:30", "enter")
        await ui.work_done()
        assert position(ui) == pytest.approx(30.999, abs=0.01)
        shown = recording.timeline.at(ui.app.time_view.at_ns or 0)
        assert [row.pid for row in ui.app.live.moment.snapshot.execs] == [row.pid for row in shown.execs]  # type: ignore[union-attr]


async def test_space_plays_from_the_beginning_and_stops_at_the_end(recording: Recording) -> None:
    async with replaying(recording.path) as ui:
        await ui.press("space")
        await ui.work_done()
        assert "REPLAY 1x" in ui.screen()[0]
        begun = position(ui)
        assert begun == pytest.approx(0.25, abs=0.1)
        await seconds(ui, 2)
        await seconds(ui, 2)
        assert position(ui) == pytest.approx(begun + 4)
        assert "REPLAY 1x" in ui.screen()[0]
        for _ in range(3):
            await ui.press("greater_than_sign")
        assert "REPLAY 10x" in ui.screen()[0]
        await seconds(ui, 2)
        assert position(ui) == pytest.approx(begun + 24)
        await ui.press("space")
        await seconds(ui, 5)
        assert position(ui) == pytest.approx(begun + 24)
        await ui.press("space")
        await seconds(ui, 30)
        assert "REPLAY paused" in ui.screen()[0]
        assert "this is the end" in ui.screen()[-1]
        assert position(ui) == pytest.approx(SECONDS, abs=0.1)


async def test_what_is_played_is_what_was(recording: Recording) -> None:
    """Stacks are added second by second, rows come from the moment: both as after a jump."""
    async with replaying(recording.path) as ui:
        await ui.press("space")
        await ui.work_done()
        for _ in range(12):
            await seconds(ui, 1)
        await ui.press("space")
        await ui.work_done()
        played = ui.pane("cpu"), ui.body("exec"), ui.body("tcp")
        window = ui.app.live.pane_of("cpu").window  # type: ignore[attr-defined]
        samples = window.samples
        at_ns = ui.app.time_view.at_ns
        assert at_ns is not None
        least, most = (
            sum(each.samples for span in recording.timeline.spans(length, at_ns) for each in span.stacks)
            for length in (window.seconds, window.seconds + 1.5)
        )
        assert 0 < least <= samples <= most
        ui.app.go_to(at_ns + 20 * SECOND)
        await ui.work_done()
        ui.app.go_to(at_ns)
        await ui.work_done()
        ui.app.tick()
        await ui.work_done()
        assert (ui.body("exec"), ui.body("tcp")) == played[1:]


async def test_notes_and_spikes(recording: Recording) -> None:
    async with replaying(recording.path) as ui:
        await ui.press("left_parenthesis")
        await ui.work_done()
        assert "note 1 of 1, 14:00:" in ui.screen()[-1]
        assert "disk was full" in ui.screen()[-1]
        assert 20 < position(ui) < 22
        await ui.press("left_parenthesis")
        assert "no note before this moment" in ui.screen()[-1]
        await ui.press("full_stop")
        await ui.work_done()
        assert "execs" in ui.screen()[-1]
        assert "usually" in ui.screen()[-1]
        assert BURST <= position(ui) <= BURST + 3
        await ui.press("right_square_bracket")
        await ui.work_done()
        assert "storm" in ui.pane("exec")


async def test_a_drill_down_and_a_filter_are_about_the_moment(recording: Recording) -> None:
    async with replaying(recording.path) as ui:
        ui.app.go_to(at(30))
        await ui.work_done()
        await ui.press("2", "enter")
        await ui.work_done()
        assert "overview ›" in ui.screen()[1]
        drilled = ui.app.live.moment
        assert drilled is not None
        assert drilled.snapshot.time_ns == at(30)
        assert len({row.comm for row in drilled.snapshot.execs}) <= 2
        await ui.press("escape")
        await ui.work_done()
        await ui.press("f", *"comm:make", "enter")
        await ui.work_done()
        moment = ui.app.live.moment
        assert moment is not None
        assert {row.comm for row in moment.snapshot.execs} == {"make"}
        assert moment.snapshot.time_ns == at(30)


async def test_what_can_not_be_done_to_a_recording_is_said(recording: Recording) -> None:
    async with replaying(recording.path) as ui:
        for keys in (("u",), ("U",)):
            await ui.press(*keys)
            assert "this is a recording" in ui.screen()[-1]
        await ui.press("a", *"too late", "enter")
        assert "takes no more notes" in ui.screen()[-1]
        before = recording.path.read_bytes()
    assert recording.path.read_bytes() == before


async def test_a_moment_of_it_is_the_baseline_for_another(recording: Recording) -> None:
    async with replaying(recording.path) as ui:
        ui.app.go_to(at(30))
        await ui.work_done()
        await ui.press("b")
        await ui.work_done()
        assert "is the baseline" in ui.screen()[-1]
        ui.app.go_to(at(60))
        await ui.work_done()
        await ui.press("D")
        await ui.work_done()
        assert "DIFFERENCE" in "\n".join(ui.screen()).upper()
        await ui.press("escape")
        assert "REPLAY paused" in ui.screen()[0]


async def test_users_and_containers_are_those_of_the_file(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = SnapshotFile(recording.path)
    shown = ShownUsers()
    shown.show({0: "chief", 1000: "crew"})
    monkeypatch.setattr("ebtop.ui.panes.cells.SHOWN", shown)
    async with replaying(recording.path, size=(220, 50)) as ui:
        await ui.press("2", "M")
        await ui.work_done()
        text = ui.pane("exec")
        assert "chief" in text or "crew" in text
    assert file.containers("/system.slice") is not None


async def test_charts_of_the_whole_recording(recording: Recording) -> None:
    async with replaying(recording.path) as ui:
        await ui.press("H")
        await ui.settle()
        text = "\n".join(ui.screen())
        assert "HISTORY" in text
        assert "the last 1m" in text
        await ui.press("left", "left", "enter")
        await ui.work_done()
        assert position(ui) < SECONDS - 0.5


def wait_until_written(made: Recording) -> None:
    """Everything up to second 4 is in the file."""
    while SnapshotFile(made.path).until_ns < at(4):
        time.sleep(0.01)


async def test_a_file_that_is_still_being_written_is_followed(tmp_path: Path) -> None:
    made = Recording(tmp_path / "a.ebtop")
    made.run(6)
    wait_until_written(made)
    async with replaying(made.path) as ui:
        before = position(ui)
        made.take(9, batch(exec_(8.5, pid=777, args="newcomer"), time=9))
        made.take(11, batch(time=11))
        made.take(13, batch(time=13))
        made.close()
        await seconds(ui, 1)
        await seconds(ui, 1)
        assert position(ui) > before
        assert "newcomer" in ui.pane("exec")


async def test_a_damaged_place_is_said_and_the_rest_is_shown(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "damaged.ebtop"
    shutil.copy(recording.path, path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE segments SET events = zeroblob(100) WHERE id = 5")
    async with replaying(path) as ui:
        assert "ebtop" in ui.screen()[0]
        ui.app.go_to(at(20))
        await ui.work_done()
        assert "damaged" in ui.screen()[-1]
        ui.app.go_to(at(65))
        await ui.work_done()
        moment = ui.app.live.moment
        assert moment is not None
        assert moment.snapshot.time_ns == at(65)
