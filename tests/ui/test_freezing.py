"""x asks for a title, freezes while everything runs on, says and copies the path; a writes notes down."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Start
from fakes import START_NS

from ebtop.errors import EbtopError
from ebtop.ui.freezing import Done


class FakeFreezer:
    """Waits until it may go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.asked: list[tuple[str, str]] = []
        self.busy = False
        self.error: EbtopError | None = None

    def freeze(self, title: str, screen: str, tell: Callable[[str], None]) -> Done:
        self.asked.append((title, screen))
        tell("writing a.ebtop: 50 %")
        self.go_on.wait(20)
        if self.error:
            raise self.error
        return Done(Path("/tmp/a.ebtop"), Path("/tmp/a"), "frozen: /tmp/a.ebtop and /tmp/a/", True)


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("TMUX", "STY", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)


async def test_a_snapshot_is_written_while_the_screen_goes_on(start: Start, tmp_path: Path) -> None:
    async with start() as ui:
        freezer = ui.app.freezer = FakeFreezer()  # type: ignore[assignment]
        await ui.press("x")
        assert "snapshot" in ui.screen()[-1] or "snapshot" in ui.screen()[-2]
        await ui.press(*"slow", "enter")
        while "50 %" not in ui.screen()[-1]:
            await ui.settle()
        before = ui.app.live.moment
        await ui.tick()
        assert ui.app.live.moment is not before
        await ui.press("2")
        assert ui.app.live.current.probe == "exec"
        freezer.go_on.set()
        await ui.work_done()
        assert freezer.asked[0][0] == "slow"
        assert freezer.asked[0][1].startswith("<svg")
        assert "snapshot" not in freezer.asked[0][1].partition("EXEC")[2][-2000:]
        assert "path copied; frozen: /tmp/a.ebtop and /tmp/a/" in ui.screen()[-1]
        assert (tmp_path / "ebtop" / "copied.txt").read_text() == "/tmp/a.ebtop"


async def test_why_it_could_not_be_written_is_said(start: Start) -> None:
    async with start() as ui:
        freezer = ui.app.freezer = FakeFreezer()  # type: ignore[assignment]
        freezer.error = EbtopError("can't write /x", "No space left on device", "make room")
        freezer.go_on.set()
        await ui.press("x", "enter")
        await ui.work_done()
        assert "can't write /x: No space left on device; make room" in ui.screen()[-1]
        freezer.busy = True
        await ui.press("x")
        assert "is being written already" in ui.screen()[-1]


async def test_escape_freezes_nothing(start: Start) -> None:
    async with start() as ui:
        freezer = ui.app.freezer = FakeFreezer()  # type: ignore[assignment]
        await ui.press("x", "escape")
        await ui.work_done()
        assert freezer.asked == []


async def test_notes_are_about_the_moment_that_is_shown(start: Start) -> None:
    async with start() as ui:
        await ui.press("a", *"disk full", "enter")
        assert "noted: disk full" in ui.screen()[-1]
        await ui.press("left_curly_bracket")
        await ui.work_done()
        await ui.press("a", *"began here", "enter")
        assert [note.text for note in ui.store.written] == ["disk full", "began here"]
        assert ui.store.written[1].time_ns == START_NS - 60 * 10**9
        await ui.press("a", "enter")
        await ui.press("a", *"lost", "escape")
        assert len(ui.store.written) == 2


async def test_colon_note_text_writes_it_down(start: Start) -> None:
    async with start() as ui:
        await ui.press("colon")
        await ui.settle()
        await ui.press(*"note db restarted")
        for _ in range(10):
            await ui.pilot.pause(0.05)
        await ui.press("enter")
        await ui.settle()
        assert [note.text for note in ui.store.written] == ["db restarted"]
