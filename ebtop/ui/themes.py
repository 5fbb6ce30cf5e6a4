"""Themes: TOML files, checked when they are loaded, so that a bad one is a message and not a broken screen."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.theme import Theme as TextualTheme

from ebtop.errors import EbtopError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]

DEFAULT = "ebtop-dark"
SHIPPED = Path(__file__).resolve().parents[2] / "themes"
_COLORS = "background surface bar title title-focus cursor text strong dim faint"
_SIGNALS = "accent good warn bad info violet on-accent"
COLORS = frozenset(f"{_COLORS} {_SIGNALS}".split())
FRAME_KINDS = frozenset(("process", "kernel", "native", "interpreted", "jit", "unknown", "cut", "root"))
_HEX = re.compile(r"#[0-9a-f]{6}\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb: one for each of `COLORS`, and for each of `FRAME_KINDS` those a frame may have."""

    name: str
    dark: bool
    colors: dict[str, str]
    ink: str
    """Text on a frame."""
    frames: dict[str, tuple[str, ...]]

    def textual(self) -> TextualTheme:
        """The same for Textual's style sheets."""
        c = self.colors
        return TextualTheme(
            name=self.name,
            dark=self.dark,
            primary=c["accent"],
            accent=c["accent"],
            foreground=c["text"],
            background=c["background"],
            surface=c["surface"],
            panel=c["bar"],
            success=c["good"],
            warning=c["warn"],
            error=c["bad"],
        )


def load(name: str = "") -> Theme:
    """The theme of that name or path; by default $EBTOP_THEME, else the dark one.

    A name is looked up in $EBTOP_THEME_DIR, then among those that come with ebtop.
    """
    name = name or os.environ.get("EBTOP_THEME", "") or DEFAULT
    return read(_find(name))


def read(path: Path) -> Theme:
    """One theme file. Raises EbtopError that names the file and the key at fault."""
    try:
        return _checked(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise EbtopError(f"cannot read the theme {path}", error.strerror or "") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, _BadThemeError) as error:
        raise EbtopError(
            f"the theme {path} is not valid", str(error), f"compare it with {SHIPPED / DEFAULT}.toml"
        ) from error


class _BadThemeError(Exception):
    pass


def _find(name: str) -> Path:
    if "/" in name or name.endswith(".toml"):
        return Path(name)
    folders = [Path(p) for p in (os.environ.get("EBTOP_THEME_DIR"),) if p] + [SHIPPED]
    for folder in folders:
        if (path := folder / f"{name}.toml").is_file():
            return path
    known = sorted({p.stem for folder in folders for p in folder.glob("*.toml")})
    raise EbtopError(f"there is no theme {name}", "", f"choose one of {', '.join(known)}, or give a path")


def _checked(raw: dict[str, Any]) -> Theme:
    _exact_keys("the file", raw, {"name", "dark", "colors", "frames"})
    if not isinstance(raw["name"], str) or not isinstance(raw["dark"], bool):
        raise _BadThemeError("name must be a string and dark true or false")
    for table in ("colors", "frames"):
        if not isinstance(raw[table], dict):
            raise _BadThemeError(f"{table} must be a table")
    _exact_keys("[colors]", raw["colors"], COLORS)
    _exact_keys("[frames]", raw["frames"], FRAME_KINDS | {"ink"})
    return Theme(
        name=raw["name"],
        dark=raw["dark"],
        colors={key: _color(f"colors.{key}", value) for key, value in raw["colors"].items()},
        ink=_color("frames.ink", raw["frames"]["ink"]),
        frames={kind: _color_list(f"frames.{kind}", raw["frames"][kind]) for kind in FRAME_KINDS},
    )


def _exact_keys(where: str, table: dict[str, Any], wanted: set[str] | frozenset[str]) -> None:
    if missing := wanted - table.keys():
        raise _BadThemeError(f"{where} lacks {', '.join(sorted(missing))}")
    if unknown := table.keys() - wanted:
        raise _BadThemeError(f"{where} has unknown keys: {', '.join(sorted(unknown))}")


def _color_list(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise _BadThemeError(f"{key} must be a list of colours")
    return tuple(_color(key, item) for item in value)


def _color(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _HEX.match(value):
        raise _BadThemeError(f"{key} must be a colour like #5fafd7, not {value!r}")
    return value.lower()
