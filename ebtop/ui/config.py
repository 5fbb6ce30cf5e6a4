"""What a user set once and for all: config.toml in the configuration folder, and whether this is their first start."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebtop.text import clean
from ebtop.ui.folders import config_folder, state_folder, write_private

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REFRESH_S = (0.25, 60.0)
"""The shortest and the longest time between two drawings."""
_MARKER = "started"


@dataclass(frozen=True)
class Config:
    """Settings; what is not in the file has the value given here. Options of the command line come before them."""

    theme: str = ""
    """Name or path; "" = the default, which $EBTOP_THEME changes."""
    ascii: bool = False
    """Draw with ASCII alone."""
    mouse: bool = True
    """Take clicks and the wheel; otherwise the terminal selects text."""
    refresh: float = 1.0
    """Seconds between two drawings, within `REFRESH_S`."""
    hint: bool = True
    """Say on the first start what to press."""
    priority: bool = True
    """Have the screen's thread run before what loads the node."""


def load(folder: Path | None = None) -> tuple[Config, tuple[str, ...]]:
    """The settings of config.toml in `folder`, by default the user's, and what is wrong with it, one line each.

    Never fails: what is wrong is ignored, and what is missing has its default.
    """
    path = (folder or config_folder()) / "config.toml"
    raw, problems = read_toml(path)
    settings: dict[str, Any] = {}
    for key, value in raw.items():
        if complaint := _complaint(key, value):
            problems.append(f"{path}: {complaint}; ignored")
        else:
            settings[key] = value
    return Config(**settings), tuple(problems)


def read_toml(path: Path) -> tuple[dict[str, Any], list[str]]:
    """A TOML file as a dictionary, empty when it is missing, and why it could not be read, at most one line."""
    try:
        return tomllib.loads(path.read_text("utf-8")), []
    except (FileNotFoundError, NotADirectoryError):
        return {}, []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = (error.strerror or "") if isinstance(error, OSError) else clean(str(error))
        return {}, [f"{path} was not read: {why}"]


def first_start(folder: Path | None = None) -> bool:
    """Whether this user never started ebtop before; from now on they have. Where nothing can be kept, always."""
    folder = folder or state_folder()
    try:
        if (folder / _MARKER).exists():
            return False
        write_private(folder, _MARKER, b"")
    except OSError:
        pass
    return True


def _complaint(key: str, value: object) -> str:
    """What is wrong with a setting; "" = nothing."""
    known = Config.__dataclass_fields__
    if key not in known:
        return f"there is no setting {clean(key)!r}, only {', '.join(known)}"
    if key == "refresh":
        low, high = REFRESH_S
        number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
        return "" if low <= number <= high else f"refresh must be seconds from {low:g} to {high:g}, not {value!r}"
    if isinstance(known[key].default, bool):
        return "" if isinstance(value, bool) else f"{key} must be true or false, not {value!r}"
    return "" if isinstance(value, str) else f"{key} must be a text in quotes, not {value!r}"
