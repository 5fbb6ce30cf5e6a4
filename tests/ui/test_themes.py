from __future__ import annotations

from pathlib import Path

import pytest
from rich.color import ColorType
from rich.style import Style

from ebtop.errors import EbtopError
from ebtop.ui import themes
from ebtop.ui.palette import Palette

SHIPPED = sorted(themes.SHIPPED.glob("*.toml"))
DARK = themes.SHIPPED / "ebtop-dark.toml"
LEVELS = (0x00, 0x5F, 0x87, 0xAF, 0xD7, 0xFF)
CUBE = {f"#{r:02x}{g:02x}{b:02x}" for r in LEVELS for g in LEVELS for b in LEVELS}
GREYS = {f"#{8 + 10 * n:02x}{8 + 10 * n:02x}{8 + 10 * n:02x}" for n in range(24)}


NAMES = ("text", "strong", "dim", "accent", "good", "warn", "bad", "info", "violet")
KINDS = ("kernel", "native", "interpreted", "jit")
HEXADECIMAL = [path for path in SHIPPED if path.stem.startswith("ebtop-")]
XTERM_16 = {
    "black": "#000000", "red": "#cd0000", "green": "#00cd00", "yellow": "#cdcd00",
    "blue": "#0000ee", "magenta": "#cd00cd", "cyan": "#00cdcd", "white": "#e5e5e5",
    "bright-black": "#7f7f7f", "bright-red": "#ff0000", "bright-green": "#00ff00", "bright-yellow": "#ffff00",
    "bright-blue": "#5c5cff", "bright-magenta": "#ff00ff", "bright-cyan": "#00ffff", "bright-white": "#ffffff",
}  # fmt: skip
Vector = tuple[float, float, float]
BLINDNESS: dict[str, tuple[Vector, Vector, Vector]] = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}
"""What is left of linear red, green and blue, after Machado, Oliveira and Fernandes (2009), severity 1."""


def linear(color: str) -> Vector:
    red, green, blue = (int(color[n : n + 2], 16) / 255 for n in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue))
    return red, green, blue


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    red, green, blue = linear(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def seen(color: str, blindness: str) -> Vector:
    """A colour in CIELAB, as it is with a kind of colour blindness."""
    source = linear(color)
    red, green, blue = (
        min(1.0, max(0.0, sum(weight * part for weight, part in zip(row, source, strict=True))))
        for row in BLINDNESS[blindness]
    )
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def apart(one: str, other: str, blindness: str) -> float:
    """CIE76 distance: 2.3 is just noticeable."""
    a, b = seen(one, blindness), seen(other, blindness)
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) ** 0.5


def test_the_shipped_themes() -> None:
    assert [path.stem for path in SHIPPED] == ["ebtop-colorblind", "ebtop-dark", "ebtop-light", "mono", "terminal-16"]
    assert [themes.read(path).name for path in SHIPPED] == [path.stem for path in SHIPPED]
    assert all(themes.read(path).about for path in SHIPPED)


@pytest.mark.parametrize("path", HEXADECIMAL, ids=lambda path: path.stem)
def test_shipped_colours_are_exact_on_256_colour_terminals(path: Path) -> None:
    theme = themes.read(path)
    used = {*theme.colors.values(), theme.ink, *(color for kind in theme.frames.values() for color in kind)}
    assert used - CUBE - GREYS == set()


@pytest.mark.parametrize("path", HEXADECIMAL, ids=lambda path: path.stem)
def test_text_can_be_read_on_every_ground(path: Path) -> None:
    theme = themes.read(path)
    colors = theme.colors
    pairs = [(ground, name, 4.5) for ground in sorted(themes.GROUNDS) for name in NAMES]
    # What is faint is said in words on the grounds of panes alone; elsewhere it is a line between words.
    pairs += [(ground, "faint", 4.5 if ground == "surface" else 3.0) for ground in sorted(themes.GROUNDS)]
    pairs += [("accent", "on-accent", 4.5), ("warn", "on-accent", 4.5), ("strong", "surface", 4.5)]
    weak = [
        (ground, name, round(contrast(colors[ground], colors[name]), 2))
        for ground, name, wanted in pairs
        if contrast(colors[ground], colors[name]) < wanted
    ]
    assert weak == []
    assert [(k, c) for k, frame in theme.frames.items() for c in frame if contrast(theme.ink, c) < 4.5] == []


def test_the_sixteen_colours_can_be_read_where_they_are_laid_on_each_other() -> None:
    theme = themes.load("terminal-16")
    laid = [(theme.colors[ground], ink) for ground, ink in theme.inks.items()]
    laid += [(color, theme.ink) for frame in theme.frames.values() for color in frame]
    laid += [(theme.colors[ground], theme.colors["on-accent"]) for ground in ("accent", "warn")]
    assert [pair for pair in laid if contrast(XTERM_16[pair[0]], XTERM_16[pair[1]]) < 4.5] == []
    # Whatever is written on the terminal's own background has one of its own colours, and needs no other.
    assert theme.inks.keys() == {g for g in themes.GROUNDS if theme.colors[g] != "default"}


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_signals_and_kinds_of_frames_are_told_apart_by_everyone(blindness: str) -> None:
    theme = themes.load("ebtop-colorblind")
    signals = [theme.colors[name] for name in ("good", "warn", "bad")]
    near = {(a, b): apart(a, b, blindness) for n, a in enumerate(signals) for b in signals[:n]}
    assert {pair: round(d) for pair, d in near.items() if d < 40} == {}
    frames = {
        (a, b): apart(a, b, blindness)
        for n, kind in enumerate(KINDS)
        for other in KINDS[:n]
        for a in theme.frames[kind]
        for b in theme.frames[other]
    }
    assert {pair: round(d) for pair, d in frames.items() if d < 20} == {}


def test_the_default_is_what_the_colour_blind_one_is_for() -> None:
    """The simulation can tell: green and orange of the default theme do run together."""
    colors = themes.load().colors
    assert min(apart(colors["good"], colors["warn"], blindness) for blindness in BLINDNESS) < 40


def test_theme_by_name_path_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert themes.load().name == "ebtop-dark"
    assert themes.load("ebtop-light").name == "ebtop-light"
    mine = tmp_path / "mine.toml"
    mine.write_text(DARK.read_text().replace("ebtop-dark", "mine"))
    assert themes.load(str(mine)).name == "mine"
    monkeypatch.setenv("EBTOP_THEME_DIR", str(tmp_path))
    assert themes.load("mine").name == "mine"
    monkeypatch.setenv("EBTOP_THEME", "mine")
    assert themes.load().name == "mine"


def test_an_unknown_theme_names_the_known_ones() -> None:
    with pytest.raises(EbtopError, match="no theme nope; choose one of ebtop-colorblind, ebtop-dark, ebtop-light"):
        themes.load("nope")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('accent = "#ffd75f"', "", "lacks accent"),
        ('accent = "#ffd75f"', 'accent = "honey"', "colors.accent must be a colour like"),
        ('accent = "#ffd75f"', "accent = 3", "colors.accent must be a colour like"),
        ('accent = "#ffd75f"', 'accent = "#ffd75f"\naccnet = "#ffd75f"', "unknown keys: accnet"),
        ('cut = ["#ff5f5f"]', "cut = []", "frames.cut must be a list of colours"),
        ("dark = true", 'dark = "yes"', "dark and mono must be true or false"),
        ("dark = true", "dark = true\nmono = 1", "dark and mono must be true or false"),
        ("about =", "about = 1 #", "name and about must be strings"),
        ("[frames]", '[inks]\nwall = "black"\n[frames]', "[inks] has unknown keys: wall"),
        ("[frames]", '[inks]\nbar = "blackish"\n[frames]', "inks.bar must be a colour like"),
        ("[frames]", "[frams]", "lacks frames"),
        ("[frames]", "[frames", "is not valid"),
    ],
)
def test_a_bad_theme_is_a_message(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = DARK.read_text()
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


def test_themes_of_ones_own_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBTOP_CONFIG_DIR", str(tmp_path))
    (tmp_path / "themes").mkdir()
    (tmp_path / "themes" / "mine.toml").write_text(DARK.read_text().replace('"ebtop-dark"', '"mine"'))
    (tmp_path / "themes" / "broken.toml").write_text("dark = true\n")
    assert themes.load("mine").name == "mine"
    listed = dict(themes.available())
    assert list(listed)[:2] == ["ebtop-dark", "ebtop-light"]
    assert {"mine", "mono", "terminal-16", "ebtop-colorblind"} < listed.keys()
    assert listed["broken"].startswith("can't be used: the file lacks colors, frames, name")


def styles(palette: Palette) -> list[Style]:
    grounds = ("base", "app", "head", "bar", "title", "title-focus", "cursor", "warn")
    names = [*NAMES, "faint", "chosen", "badge", "native:0", "self:native:0", "cut:0"]
    return [palette.style(name, ground) for name in names for ground in grounds]


def test_every_style_of_every_theme_can_be_made() -> None:
    for path in SHIPPED:
        assert len(styles(Palette(themes.read(path)))) == 120


def test_mono_has_no_colour_but_shows_cursor_focus_and_warnings() -> None:
    for palette in (Palette(themes.load("mono")), Palette(themes.load(), mono=True)):
        assert {(style.color, style.bgcolor) for style in styles(palette)} == {(None, None)}
        text = palette.style("text", "base")
        marked = [palette.style("text", ground) for ground in ("cursor", "warn", "title-focus")]
        assert all(style != text for style in (*marked, palette.style("strong", "base"), palette.style("bad", "base")))


def test_the_sixteen_colours_stay_the_terminals_own() -> None:
    palette = Palette(themes.load("terminal-16"))
    for style in styles(palette):
        for color in (style.color, style.bgcolor):
            assert color is None or color.type in (ColorType.DEFAULT, ColorType.STANDARD)
    assert palette.style("dim", "base").dim
    assert palette.style("bad", "cursor").color == palette.style("text", "cursor").color
    assert themes.load("terminal-16").textual().ansi
    assert not themes.load().textual().ansi
