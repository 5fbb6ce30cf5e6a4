"""Names to terminal styles, looked up once per theme and never per line."""

from __future__ import annotations

from zlib import crc32

from rich.style import Style

from ebtop.ui.themes import Theme

_BOLD = frozenset({"strong", "accent", "bad"})
_GROUNDS = {
    "base": "surface",
    "app": "background",
    "head": "surface",
    "bar": "bar",
    "title": "title",
    "title-focus": "title-focus",
    "cursor": "cursor",
    "warn": "warn",
}


class Palette:
    """The styles of one theme.

    A style has a name (`text`, `dim`, `good`, ...) and a ground (`base`, `cursor`, `bar`, ...). Frames of
    the icicle are `kind:N`, with `self:kind:N` for the mark of their own time and `chosen` for the one under
    the cursor; while something is searched for `match:kind:N` is a frame that matches and `ghost:kind:N` one
    that does not; a cell of a table that matches is `match`. `diff:more`, `diff:less` and `diff:same` are frames
    of a difference, with `!` where it is strong. Without colour (`mono`) nothing but bold, underline and reverse
    is left, enough to see cursor, focus, matches and warnings by.
    """

    def __init__(self, theme: Theme, mono: bool = False) -> None:
        self.theme = theme
        self.mono = mono or theme.mono
        self._cache: dict[tuple[str, str], Style] = {}
        self._frame_names: dict[tuple[str, str], str] = {}

    def style(self, name: str, ground: str) -> Style:
        style = self._cache.get((name, ground))
        if style is None:
            style = self._cache[name, ground] = self._mono(name, ground) if self.mono else self._colored(name, ground)
        return style

    def frame(self, kind: str, name: str) -> str:
        """The style name of a frame: the same name has the same colour in every run."""
        found = self._frame_names.get((kind, name))
        if found is None:
            if len(self._frame_names) > 20_000:
                self._frame_names.clear()
            kind_known = kind if kind in self.theme.frames else "unknown"
            number = crc32(name.encode("utf-8", "replace")) % len(self.theme.frames[kind_known])
            found = self._frame_names[kind, name] = f"{kind_known}:{number}"
        return found

    def _colored(self, name: str, ground: str) -> Style:
        theme = self.theme
        background = _rich(theme.colors[_GROUNDS[ground]])
        frame, _, number = name.rpartition(":")
        if frame:
            role, _, kind = frame.rpartition(":")
            if kind == "diff":
                return self._difference(role, number, background)
            color, matches = _rich(theme.frames[kind][int(number)]), role == "match"
            if role == "ghost" and not theme.dark:
                # A frame's colour is too light to be read on a light ground.
                return Style(color=_rich(theme.colors["dim"]), bgcolor=background)
            if role in ("self", "ghost"):
                return Style(color=color, bgcolor=background)
            return Style(color=_rich(theme.ink), bgcolor=color, bold=kind == "cut" or matches, underline=matches)
        if name == "match":
            color = _rich(theme.inks.get(_GROUNDS[ground], theme.colors["accent"]))
            return Style(color=color, bgcolor=background, bold=True, underline=True)
        if name == "chosen":
            return self._inverse(theme.colors["surface"], theme.colors["strong"])
        if name == "badge":
            return self._inverse(theme.colors["on-accent"], theme.colors["accent"])
        bold = name in _BOLD
        if ground == "warn":
            return Style(color=_rich(theme.colors["on-accent"]), bgcolor=background, bold=bold)
        if ink := theme.inks.get(_GROUNDS[ground]):
            return Style(color=_rich(ink), bgcolor=background, bold=bold)
        # The terminal's own colour has no weaker kin.
        weak = name in ("dim", "faint") and theme.colors[name] == "default"
        return Style(color=_rich(theme.colors[name]), bgcolor=background, bold=bold, dim=weak)

    def _difference(self, role: str, change: str, background: str) -> Style:
        """Red for more and blue for less, as grounds where the change is strong."""
        theme, strong, matches = self.theme, change.endswith("!"), role == "match"
        color = _rich(theme.colors[{"more": "bad", "less": "info"}.get(change.rstrip("!"), "dim")])
        if role in ("self", "ghost") or not strong:
            return Style(color=color, bgcolor=background, bold=matches, underline=matches)
        return Style(color=_rich(theme.colors["on-accent"]), bgcolor=color, bold=True, underline=matches)

    def _inverse(self, color: str, background: str) -> Style:
        if "default" in (color, background):
            return Style(reverse=True, bold=True)
        return Style(color=_rich(color), bgcolor=_rich(background), bold=True)

    def _mono(self, name: str, ground: str) -> Style:
        matches = name == "match" or name.startswith("match:")
        return Style(
            bold=name in _BOLD or ground == "head" or matches or name.endswith("!"),
            reverse=ground in ("cursor", "warn") or name in ("chosen", "badge"),
            underline=ground == "title-focus" or matches,
            dim=name == "faint",
        )


def _rich(color: str) -> str:
    return color.replace("-", "_")
