from __future__ import annotations

from pathlib import Path

import pytest
from stage import staged

from ebtop.ui.commands import in_scope
from ebtop.ui.keymap import Keymap, choose
from ebtop.ui.panes.cpu import CpuPane
from ebtop.ui.panes.exec import ExecPane
from ebtop.ui.panes.tcp import TcpPane
from ebtop.ui.screens.help import HelpScreen, help_lines
from ebtop.ui.strips import Line, width_of
from ebtop.ui.text_view import text_of


def text(lines: list[Line]) -> str:
    return "\n".join(text_of(line) for line in lines)


def flat(lines: list[Line]) -> str:
    """As one text, whatever was wrapped."""
    return " ".join(text(lines).split())


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_every_part_is_there_and_fits(width: int) -> None:
    class Explained(ExecPane):
        source_words = "Counted in the kernel."
        high_words = "Something spawns."
        next_words = "Look at the parent."

    panes = [CpuPane(), Explained(), TcpPane()]
    lines = help_lines(panes, panes[1], Keymap(), width)
    shown = flat(lines)
    titles = ["What it shows", "Where the numbers come from", "What a high value means", "What to do next"]
    titles += ["Columns", "Keys in a table", "Keys everywhere", "Filters", "1 CPU", "3 TCP"]
    places = [shown.index(title) for title in titles]
    assert places == sorted(places)
    for words in (panes[1].words, "Counted in the kernel.", "Something spawns.", "Look at the parent.", panes[0].words):
        assert " ".join(words.split()) in shown
    assert all(width_of(line.runs) <= min(width, 100) for line in lines)
    assert all(command.help.split(".")[0] in shown for command in in_scope("app"))


def test_the_example_of_a_filter_is_one() -> None:
    from ebtop.store.filter import parse
    from ebtop.ui.screens import help

    assert parse(help._LANGUAGE.rpartition(": ")[2]).text.startswith("comm:nginx and (")


def test_what_a_pane_does_not_say_has_no_empty_title() -> None:
    class Silent(TcpPane):
        source_words = high_words = next_words = ""

    pane = Silent()
    assert "What to do next" not in text(help_lines([pane], pane, Keymap(), 80))


def test_the_keys_are_those_the_user_chose() -> None:
    pane = ExecPane()
    keymap, _ = choose({"doctor": ["f9", "Ctrl+D"]})
    lines = [text_of(line) for line in help_lines([pane], pane, keymap, 100)]
    doctor = next(command for command in in_scope("app") if command.id == "doctor")
    assert [line for line in lines if line.strip().startswith("F9 Ctrl+D") and doctor.help in line]
    assert not [line for line in lines if line.strip().startswith("! ")]


async def test_it_scrolls_searches_and_closes() -> None:
    panes = [CpuPane(), ExecPane()]
    async with staged(HelpScreen(panes, panes[0]), (80, 24)) as ui:
        assert ui.screen()[0].startswith(" HELP   CPU")
        assert "What it shows" in ui.text()
        assert "Esc close" in ui.screen()[-1]
        await ui.press("end")
        assert "What it shows" not in ui.text()
        await ui.press("slash", *"every key", "enter")
        assert "Explain the focused pane, and every key." in ui.text()
        assert "1 of 1 line" in ui.screen()[-1]
        await ui.press("escape")
        assert not isinstance(ui.app.screen, HelpScreen)


async def test_keys_of_the_panes_do_nothing_here() -> None:
    pane = ExecPane()
    async with staged(HelpScreen([pane], pane)) as ui:
        await ui.press("U", "u", "1")
        assert ui.app.done == []
        await ui.press("O")
        assert ui.app.done == ["overhead"]
        assert not isinstance(ui.app.screen, HelpScreen)


async def test_keys_of_a_page_can_be_moved() -> None:
    pane = ExecPane()
    keymap, complaints = choose({"overhead": "f7", "back": "f8"})
    assert complaints == ()
    async with staged(HelpScreen([pane], pane), keymap=keymap) as ui:
        assert "F8 close" in ui.screen()[-1]
        assert "F7 overhead" in ui.screen()[-1]
        await ui.press("O")
        assert ui.app.done == []
        await ui.press("f8")
        assert not isinstance(ui.app.screen, HelpScreen)


async def test_the_page_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    pane = ExecPane()
    async with staged(HelpScreen([pane], pane)) as ui:
        await ui.press("y")
        await ui.app.workers.wait_for_complete()
        await ui.settle()
        assert f"{tmp_path}/ebtop/copied.txt" in ui.screen()[-1]
    copied = (tmp_path / "ebtop" / "copied.txt").read_text()
    assert " ".join(pane.words.split()) in " ".join(copied.split())
