from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.app import App
from textual.widget import Widget

from ebtop.ui import config, keymap
from ebtop.ui.commands import COMMANDS, bindings, in_scope
from ebtop.ui.config import Config, first_start
from ebtop.ui.keymap import Keymap, choose, key_name, pretty


def command(name: str):  # type: ignore[no-untyped-def]
    return next(found for found in COMMANDS if found.id == name)


def test_without_a_file_everything_is_as_it_comes(tmp_path: Path) -> None:
    assert config.load(tmp_path) == (Config(), ())
    keys, problems = keymap.load(tmp_path)
    assert keys.textual() == {}
    assert problems == ()
    assert keys.shown(command("help")) == command("help").shown


def test_settings(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'theme = "ebtop-light"\nascii = true\nmouse = false\nrefresh = 2\nhint = false\npriority = false\n'
    )
    assert config.load(tmp_path) == (Config("ebtop-light", True, False, 2, False, False), ())


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("theme = 3", "theme must be a text in quotes, not 3"),
        ("mouse = 1", "mouse must be true or false, not 1"),
        ("refresh = 0.01", "refresh must be seconds from 0.25 to 60, not 0.01"),
        ("refresh = nan", "refresh must be seconds from 0.25 to 60, not nan"),
        ("refresh = true", "refresh must be seconds from 0.25 to 60, not True"),
        ('colour = "red"', "there is no setting 'colour', only theme, ascii, mouse, refresh, hint, priority"),
    ],
)
def test_a_bad_setting_is_one_line_and_the_others_count(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "config.toml").write_text(f"{line}\nascii = true\n")
    settings, problems = config.load(tmp_path)
    assert settings == Config(ascii=True)
    assert problems == (f"{tmp_path}/config.toml: {complaint}; ignored",)


@pytest.mark.parametrize("raw", [b"theme = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_file_that_is_not_toml_is_one_line(tmp_path: Path, raw: bytes) -> None:
    for name in ("config.toml", "keys.toml"):
        (tmp_path / name).write_bytes(raw)
    settings, problems = config.load(tmp_path)
    assert settings == Config()
    assert len(problems) == 1
    assert "\n" not in problems[0]
    assert problems[0].startswith(f"{tmp_path}/config.toml was not read: ")
    _, problems = keymap.load(tmp_path)
    assert [problem.partition(" was")[0] for problem in problems] == [f"{tmp_path}/keys.toml"]


def test_a_folder_in_place_of_the_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    assert config.load(tmp_path) == (Config(), (f"{tmp_path}/config.toml was not read: Is a directory",))


@pytest.mark.parametrize(
    ("written", "name", "shown"),
    [
        ("?", "question_mark", "?"),
        ("question_mark", "question_mark", "?"),
        ("Ctrl+P", "ctrl+p", "Ctrl+P"),
        ("^P", "ctrl+p", "Ctrl+P"),
        ("M", "M", "M"),
        ("upper_m", "M", "M"),
        ("shift+m", "M", "M"),
        ("Shift+Tab", "shift+tab", "Shift+Tab"),
        ("PgDn", "pagedown", "PgDn"),
        ("Esc", "escape", "Esc"),
        ("space", "space", "Space"),
        (" ", "space", "Space"),
        ("F5", "f5", "F5"),
        ("up", "up", "↑"),
        ("+", "plus", "+"),
        ("alt++", "alt+plus", "Alt++"),
        ("-", "minus", "-"),
        ("[", "left_square_bracket", "["),
        ("shift+ctrl+right", "ctrl+shift+right", "Ctrl+Shift+→"),
        ("ctrl+i", "tab", "Tab"),
        (",", "comma", ","),
        ("ü", "ü", "ü"),
        ("home", "home", "Home"),
    ],
)
def test_keys_as_people_write_and_read_them(written: str, name: str, shown: str) -> None:
    assert key_name(written) == name
    assert pretty(name) == shown


@pytest.mark.parametrize("written", ["", "pgdwn", "hyper+x", "ctrl+", "ctrl", "F99", "ab", "\x1b", "shift+5", "<any>"])
def test_there_is_no_such_key(written: str) -> None:
    assert key_name(written) is None


def test_a_key_is_moved_and_shown_where_keys_are_shown() -> None:
    keys, complaints = choose({"pane.maximise": "W", "time": {"pause": ["space", "P"]}})
    assert complaints == ()
    assert keys.textual() == {"pane.maximise": "W,upper_w", "time.pause": "space,P,upper_p"}
    assert keys.shown(command("pane.maximise")) == "W"
    assert keys.shown(command("time.pause")) == "Space P"
    assert keys.shown(command("help")) == "? F1"


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ({"pane.maximize": "W"}, "there is no command 'pane.maximize'"),
        ({"pane.maximise": "Hyper+W"}, "pane.maximise: there is no key 'Hyper+W'"),
        ({"pane.maximise": 3}, "pane.maximise: a key is a text in quotes, not 3"),
        ({"pane.maximise": []}, "pane.maximise: needs at least one key"),
        ({"pane.maximise": "q"}, "pane.maximise: q is Quit (quit) anywhere already"),
        ({"pane.maximise": "j"}, "pane.maximise: j is Down (table.down) in a table already"),
        ({"table.down": "y"}, "table.down: y is Copy (copy) anywhere already"),
        ({"pane.maximise": "W", "log": "W"}, "log: W is Maximise (pane.maximise) anywhere already"),
    ],
)
def test_a_bad_choice_is_one_line_and_the_others_count(raw: dict[str, object], complaint: str) -> None:
    keys, complaints = choose({"doctor": "f9", **raw})
    assert complaints == (complaint,)
    assert keys.textual()["doctor"] == "f9"
    assert set(keys.textual()) <= {"doctor", "pane.maximise"}


def test_keys_can_be_swapped() -> None:
    keys, complaints = choose({"log": "O", "overhead": "L"})
    assert complaints == ()
    assert keys.textual() == {"log": "O,upper_o", "overhead": "L,upper_l"}


def test_a_refused_choice_does_not_leave_its_old_key_to_another() -> None:
    """The log keeps L, because its new key is taken; so nobody else can have it."""
    keys, complaints = choose({"overhead": "L", "log": "q"})
    assert keys.textual() == {}
    assert len(complaints) == 2


def test_the_same_key_may_mean_other_things_in_other_places() -> None:
    assert choose({"icicle.top": "home", "table.top": "home"})[1] == ()
    # Esc is both "unsort" in a table and "back" anywhere, on purpose.
    shared = next(c for c in in_scope("app") if "escape" in c.keys)
    assert choose({shared.id: ["escape", "f10"]})[1] == ()


def test_the_commands_as_they_come_have_no_conflict() -> None:
    own = {c.id: list(c.keys) for c in COMMANDS}
    assert choose(own)[1] == ()


class Pressed(Widget, can_focus=True):
    BINDINGS = bindings("app")
    pressed: str = ""

    def action_maximise(self) -> None:
        self.pressed += "maximise "

    def action_log(self) -> None:
        self.pressed += "log "

    def action_overhead(self) -> None:
        self.pressed += "overhead "


class Small(App[None], inherit_bindings=False):
    def compose(self) -> Iterator[Widget]:  # type: ignore[override]
        yield Pressed()


async def test_textual_obeys_the_choice() -> None:
    app = Small()
    keys, _ = choose({"pane.maximise": "W", "log": "O", "overhead": "L"})
    app.set_keymap(keys.textual())
    async with app.run_test() as pilot:
        widget = app.query_one(Pressed)
        widget.focus()
        await pilot.press("W", "M", "O", "L")
        assert widget.pressed == "maximise log overhead "


def test_the_first_start_is_the_first_only_once(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "ebtop"
    assert first_start(folder)
    assert not first_start(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_first_start_where_nothing_can_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert first_start(tmp_path / "file" / "ebtop")
    assert os.listdir(tmp_path) == ["file"]


def test_shown_keys_of_an_empty_choice_are_those_of_the_registry() -> None:
    assert [Keymap().shown(c) for c in COMMANDS] == [c.shown for c in COMMANDS]
    assert [Keymap().keys(c) for c in COMMANDS] == [c.keys for c in COMMANDS]
