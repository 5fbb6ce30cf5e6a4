"""Themes: TOML files, checked when they are loaded, so that a bad one is a message and not a broken screen."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual.theme import BUILTIN_THEMES
from textual.theme import Theme as TextualTheme

from ebtop.errors import EbtopError
from ebtop.text import clean
from ebtop.ui.folders import config_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT = "ebtop-dark"
SHIPPED = Path(__file__).resolve().parents[2] / "themes"
_COLORS = "background surface bar title title-focus cursor text strong dim faint"
_SIGNALS = "accent good warn bad info violet on-accent"
COLORS = frozenset(f"{_COLORS} {_SIGNALS}".split())
GROUNDS = frozenset(("background", "surface", "bar", "title", "title-focus", "cursor"))
FRAME_KINDS = frozenset(("process", "kernel", "native", "interpreted", "jit", "unknown", "cut", "root"))
_HEX = re.compile(r"#[0-9a-f]{6}\Z", re.IGNORECASE)
_EIGHT = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
TERMINAL_COLORS = frozenset(("default", *_EIGHT, *(f"bright-{name}" for name in _EIGHT)))
"""Names of the terminal's own colours."""


@dataclass(frozen=True)
class Theme:
    """Colours for each of `COLORS`, and for each of `FRAME_KINDS` those a frame may have.

    A colour is #rrggbb or one of `TERMINAL_COLORS`.
    """

    name: str
    dark: bool
    colors: Mapping[str, str]
    ink: str
    """Text on a frame."""
    frames: Mapping[str, tuple[str, ...]]
    about: str = ""
    """A few words for a list of themes."""
    inks: Mapping[str, str] = field(default_factory=dict)
    """By ground: the one colour of all text on it."""
    mono: bool = False
    """Without any colour: bold, underline and reverse alone."""

    @property
    def ansi(self) -> bool:
        """Whether it takes any of the terminal's own colours."""
        return bool(TERMINAL_COLORS & {*self.colors.values(), *(c for kind in self.frames.values() for c in kind)})

    def textual(self) -> TextualTheme:
        """The same for Textual's style sheets."""
        c = {name: _textual_color(color) for name, color in self.colors.items()}
        return TextualTheme(
            name=self.name,
            dark=self.dark,
            ansi=self.ansi,
            primary=c["accent"],
            accent=c["accent"],
            foreground=c["text"],
            background=c["background"],
            surface=c["surface"],
            panel=c["bar"],
            success=c["good"],
            warning=c["warn"],
            error=c["bad"],
            # Style sheets of widgets that come with Textual ask for more where colours are the terminal's.
            variables=dict(BUILTIN_THEMES["ansi-dark"].variables) if self.ansi else {},
        )


def load(name: str = "") -> Theme:
    """The theme of that name or path; by default $EBTOP_THEME, else the dark one.

    A name is looked up in $EBTOP_THEME_DIR, then in the folder themes of the user's configuration, then among
    those that come with ebtop.
    """
    name = name or os.environ.get("EBTOP_THEME", "") or DEFAULT
    return read(_find(name))


def available() -> tuple[tuple[str, str], ...]:
    """Every theme that can be found by name, with a few words about it; those that come with ebtop first."""
    found: dict[str, str] = {}
    for folder in reversed(_folders()):
        for path in sorted(folder.glob("*.toml")):
            try:
                found[path.stem] = read(path).about
            except EbtopError as error:
                found[path.stem] = f"can't be used: {error.why}"
    first = [name for name in (DEFAULT, "ebtop-light") if name in found]
    return tuple((name, found[name]) for name in (*first, *(name for name in found if name not in first)))


def read(path: Path) -> Theme:
    """One theme file. Raises EbtopError that names the file and the key at fault."""
    try:
        return _checked(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise EbtopError(f"cannot read the theme {path}", error.strerror or "") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, _BadThemeError) as error:
        raise EbtopError(
            f"the theme {path} is not valid", clean(str(error)), f"compare it with {SHIPPED / DEFAULT}.toml"
        ) from error


class _BadThemeError(Exception):
    pass


def _folders() -> list[Path]:
    given = os.environ.get("EBTOP_THEME_DIR")
    return [*([Path(given)] if given else []), config_folder() / "themes", SHIPPED]


def _find(name: str) -> Path:
    if "/" in name or name.endswith(".toml"):
        return Path(name)
    folders = _folders()
    for folder in folders:
        if (path := folder / f"{name}.toml").is_file():
            return path
    known = sorted({p.stem for folder in folders for p in folder.glob("*.toml")})
    raise EbtopError(f"there is no theme {name}", "", f"choose one of {', '.join(known)}, or give a path")


def _checked(raw: dict[str, Any]) -> Theme:
    mono = raw.get("mono", False)
    tables = set() if mono is True else {"colors", "frames"}
    _exact_keys("the file", raw, {"name", "dark", *tables}, {"about", "mono", "inks"})
    if not all(isinstance(raw.get(key, ""), str) for key in ("name", "about")):
        raise _BadThemeError("name and about must be strings")
    if not isinstance(raw["dark"], bool) or not isinstance(mono, bool):
        raise _BadThemeError("dark and mono must be true or false")
    for table in {*tables, "inks"}:
        if not isinstance(raw.get(table, {}), dict):
            raise _BadThemeError(f"{table} must be a table")
    colors, frames, inks = raw.get("colors", {}), raw.get("frames", {}), raw.get("inks", {})
    if mono:
        colors = dict.fromkeys(COLORS, "default")
        frames = {"ink": "default", **{kind: ["default"] for kind in FRAME_KINDS}}
    _exact_keys("[colors]", colors, COLORS)
    _exact_keys("[frames]", frames, FRAME_KINDS | {"ink"})
    _exact_keys("[inks]", inks, frozenset(), GROUNDS)
    return Theme(
        name=clean(raw["name"]),
        dark=raw["dark"],
        colors={key: _color(f"colors.{key}", value) for key, value in colors.items()},
        ink=_color("frames.ink", frames["ink"]),
        frames={kind: _color_list(f"frames.{kind}", frames[kind]) for kind in FRAME_KINDS},
        about=clean(raw.get("about", "")),
        inks={key: _color(f"inks.{key}", value) for key, value in inks.items()},
        mono=mono,
    )


def _exact_keys(
    where: str,
    table: dict[str, Any],
    wanted: set[str] | frozenset[str],
    possible: set[str] | frozenset[str] = frozenset(),
) -> None:
    if missing := wanted - table.keys():
        raise _BadThemeError(f"{where} lacks {', '.join(sorted(missing))}")
    if unknown := table.keys() - wanted - possible:
        raise _BadThemeError(f"{where} has unknown keys: {', '.join(sorted(unknown))}")


def _color_list(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise _BadThemeError(f"{key} must be a list of colours")
    return tuple(_color(key, item) for item in value)


def _color(key: str, value: Any) -> str:
    if isinstance(value, str) and (value in TERMINAL_COLORS or _HEX.match(value)):
        return value.lower()
    raise _BadThemeError(f"{key} must be a colour like #5fafd7 or bright-blue, not {value!r}")


def _textual_color(color: str) -> str:
    return f"ansi_{color.replace('-', '_')}" if color in TERMINAL_COLORS else color
