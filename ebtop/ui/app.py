"""The way into the TUI and out of it: whatever happens in between, the probes are unloaded."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ebtop.captured_output import CapturedOutput
from ebtop.errors import EbtopError
from ebtop.store.source import Sink, Source, UnloadProof
from ebtop.ui.proof import proofs_text

if TYPE_CHECKING:
    from ebtop.store.keeper import Keeper
    from ebtop.store.selection import Selection
    from ebtop.ui.freezing import Freezer

_ESCAPE_MS = "10"
_SWITCH_S = 0.001


def run(
    source: Source,
    timeline: Keeper,
    sink: Sink = lambda _: None,
    *,
    asked_for: str = "",
    selection: Selection | None = None,
    greeting: str = "",
    ascii_only: bool = False,
    mouse: bool | None = None,
    theme: str = "",
    freezer: Freezer | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> int:
    """Run the TUI until it is left; returns the exit code. `log` gets what libraries print meanwhile.

    The source hands its batches to `sink`, from where they come into the timeline.

    `asked_for` says in the header what the source was restricted to from the start, `selection` is a filter that the
    user may change, `greeting` stands in the last line at first,
    `freezer` writes snapshots. What is not given comes from the user's config.toml.

    Raises EbtopError, before anything is loaded, where the terminal can not show it or the theme is bad.
    """
    _check_terminal()
    from ebtop.ui import config

    settings, problems = config.load()
    theme = theme or settings.theme
    # A terminal sends the rest of a key's sequence along with its Esc; Textual would wait for it for 0.1 s.
    os.environ.setdefault("ESCDELAY", _ESCAPE_MS)
    # Threads that collect hold Python's lock for no longer than this when a key is to be acted on.
    sys.setswitchinterval(_SWITCH_S)
    # Probes load while Textual is imported: most of both is spent outside of Python's lock.
    source.start(sink)
    try:
        with CapturedOutput(log):
            from ebtop.ui import keymap
            from ebtop.ui.event_loop import screen_loop
            from ebtop.ui.glyphs import terminal_is_ascii
            from ebtop.ui.live import LiveApp
            from ebtop.ui.priority import come_first
            from ebtop.ui.replay import ReplayApp
            from ebtop.ui.themes import load

            keys, more = keymap.load()
            app = (LiveApp if source.live else ReplayApp)(
                source,
                timeline,
                load(theme),
                asked_for=asked_for,
                selection=selection,
                ascii_only=ascii_only or settings.ascii or terminal_is_ascii(),
                greeting=greeting or _greeting(settings.hint),
                problems=(*problems, *more),
                keymap=keys,
                refresh_s=settings.refresh,
                freezer=freezer,
            )
            if settings.priority and source.live:
                come_first(log)
            with screen_loop() as loop:
                app.run(mouse=settings.mouse if mouse is None else mouse, loop=loop)
            app.has_left()
            if app._exception is not None:  # Textual has printed it to where nobody reads
                raise app._exception
            return app.return_code or 0
    finally:
        _tell(source.close())


def _greeting(hint: bool) -> str:
    """What to press, on somebody's first start."""
    from ebtop.ui.config import first_start

    if not (first_start() and hint):
        return ""
    return "Tab goes from pane to pane, Enter goes into a row, Esc back, f filters, Space freezes, ? explains, q leaves"


def _check_terminal() -> None:
    fix = "use `ebtop trace` for plain lines"
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise EbtopError("cannot show the screen", "standard input or output is not a terminal", fix)
    if os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        raise EbtopError(
            "cannot show the screen", f"this terminal (TERM={os.environ.get('TERM', '')}) cannot place text", fix
        )


def _tell(proofs: tuple[UnloadProof, ...]) -> None:
    """One line on stderr: what was unloaded and what is left."""
    # The terminal may be the very thing that is gone.
    with contextlib.suppress(OSError):
        if proofs:
            print(f"ebtop: {proofs_text(proofs)}", file=sys.stderr)
