from __future__ import annotations

from pathlib import Path

import pytest

from ebtop.errors import EbtopError
from ebtop.ui import themes
from ebtop.ui.palette import Palette

SHIPPED = sorted(themes.SHIPPED.glob("*.toml"))
LEVELS = (0x00, 0x5F, 0x87, 0xAF, 0xD7, 0xFF)
CUBE = {f"#{r:02x}{g:02x}{b:02x}" for r in LEVELS for g in LEVELS for b in LEVELS}
GREYS = {f"#{8 + 10 * n:02x}{8 + 10 * n:02x}{8 + 10 * n:02x}" for n in range(24)}


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_two_themes_are_shipped() -> None:
    assert [path.stem for path in SHIPPED] == ["ebtop-dark", "ebtop-light"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_colours_are_exact_on_256_colour_terminals(path: Path) -> None:
    theme = themes.read(path)
    used = {*theme.colors.values(), theme.ink, *(color for kind in theme.frames.values() for color in kind)}
    assert used - CUBE - GREYS == set()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_text_can_be_read_on_every_ground(path: Path) -> None:
    theme = themes.read(path)
    weak = [
        (ground, text, round(contrast(theme.colors[ground], theme.colors[text]), 2))
        for ground in ("surface", "bar", "title", "title-focus", "cursor")
        for text, wanted in (("text", 4.5), ("strong", 4.5), ("dim", 2.8), ("bad", 2.8), ("warn", 2.8), ("good", 2.8))
        if contrast(theme.colors[ground], theme.colors[text]) < wanted
    ]
    assert weak == []
    frames = [(kind, c) for kind, colors in theme.frames.items() for c in colors if contrast(theme.ink, c) < 4]
    assert frames == []


def test_theme_by_name_path_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert themes.load().name == "ebtop-dark"
    assert themes.load("ebtop-light").name == "ebtop-light"
    mine = tmp_path / "mine.toml"
    mine.write_text(SHIPPED[0].read_text().replace("ebtop-dark", "mine"))
    assert themes.load(str(mine)).name == "mine"
    monkeypatch.setenv("EBTOP_THEME_DIR", str(tmp_path))
    assert themes.load("mine").name == "mine"
    monkeypatch.setenv("EBTOP_THEME", "mine")
    assert themes.load().name == "mine"


def test_an_unknown_theme_names_the_known_ones() -> None:
    with pytest.raises(EbtopError, match="no theme nope; choose one of ebtop-dark, ebtop-light"):
        themes.load("nope")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('accent = "#ffd75f"', "", "lacks accent"),
        ('accent = "#ffd75f"', 'accent = "honey"', "colors.accent must be a colour like"),
        ('accent = "#ffd75f"', "accent = 3", "colors.accent must be a colour like"),
        ('accent = "#ffd75f"', 'accent = "#ffd75f"\naccnet = "#ffd75f"', "unknown keys: accnet"),
        ('cut = ["#d75f5f"]', "cut = []", "frames.cut must be a list of colours"),
        ("dark = true", 'dark = "yes"', "dark true or false"),
        ("[frames]", "[frams]", "lacks frames"),
        ("[frames]", "[frames", "is not valid"),
    ],
)
def test_a_bad_theme_is_a_message(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = SHIPPED[0].read_text()
    assert old in text
    bad = tmp_path / "bad.toml"
    bad.write_text(text.replace(old, new))
    with pytest.raises(EbtopError) as caught:
        themes.load(str(bad))
    assert message in caught.value.line()
    assert str(bad) in caught.value.line()


def test_a_missing_theme_file_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(EbtopError, match="cannot read the theme"):
        themes.load(str(tmp_path / "absent.toml"))


def test_a_frame_has_the_same_colour_in_every_run() -> None:
    one, other = Palette(themes.load()), Palette(themes.load())
    names = [f"function_{n}" for n in range(50)]
    assert [one.frame("native", n) for n in names] == [other.frame("native", n) for n in reversed(names)][::-1]
    assert len({one.frame("native", n) for n in names}) == len(themes.load().frames["native"])


def test_a_kind_the_theme_does_not_know_is_drawn_as_unknown() -> None:
    assert Palette(themes.load()).frame("wasm", "f").startswith("unknown:")
