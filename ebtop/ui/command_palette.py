"""Every command by name: Textual's palette over our registry."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider

from ebtop.ui.commands import Command, in_scope
from ebtop.ui.panes.base import Pane
from ebtop.ui.strips import StripWidget

if TYPE_CHECKING:
    from ebtop.ui.live import LiveApp


_NOTE = "note"
"""`:note TEXT` writes the text down at once."""


def open_palette(app: LiveApp) -> None:
    """Over the view on top; what is chosen acts on its focused pane."""
    pane = app.live.current

    class Commands(Provider):
        async def discover(self) -> Hits:
            for command, run in _offered(app, pane):
                yield DiscoveryHit(_shown(app, command), run, help=command.help)

        async def search(self, query: str) -> Hits:
            word, _, text = query.partition(" ")
            if word == _NOTE and text.strip():
                shown = f"Note: {text.strip()}".replace("[", "\\[")
                yield Hit(1.0, shown, partial(app.note, text), help="Write it down.")
            matcher = self.matcher(query)
            for command, run in _offered(app, pane):
                if (score := matcher.match(f"{command.title} {command.help}")) > 0:
                    yield Hit(score, matcher.highlight(_shown(app, command)), run, help=command.help)

    app.push_screen(CommandPalette(providers=[Commands], placeholder="what to do?"))


def _offered(app: LiveApp, pane: Pane) -> Iterator[tuple[Command, Any]]:
    for scope in (*pane.scopes, "app"):
        for command in in_scope(scope):
            if command.id not in ("palette", "quit.at_once"):
                yield command, partial(app.run_action, command.action, _actor(app, pane, command))


def _actor(app: LiveApp, pane: Pane, command: Command) -> LiveApp | Pane | StripWidget:
    """Whose the action is: of the widget with the focus, of its pane, or of the app."""
    method = f"action_{command.action.partition('(')[0]}"
    focused = app.live.focused
    if isinstance(focused, StripWidget) and hasattr(focused, method):
        return focused
    return pane if hasattr(pane, method) else app


def _shown(app: LiveApp, command: Command) -> str:
    return f"{command.title} · {app.keymap.shown(command)}".replace("[", "\\[")
