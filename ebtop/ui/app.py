"""The way into the TUI and out of it: whatever happens in between, the probes are unloaded."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ebtop.captured_output import CapturedOutput
from ebtop.errors import EbtopError
from ebtop.store.source import Source, UnloadProof
from ebtop.ui.proof import proofs_text

if TYPE_CHECKING:
    from ebtop.ui.live import SnapshotStore


def run(
    source: Source,
    store: SnapshotStore,
    *,
    filter_text: str = "",
    ascii_only: bool = False,
    mouse: bool = True,
    theme: str = "",
    log: Callable[[str], None] = lambda _: None,
) -> int:
    """Run the TUI until it is left; returns the exit code. `log` gets what libraries print meanwhile.

    Raises EbtopError, before anything is loaded, where the terminal can not show it or the theme is bad.
    """
    _check_terminal()
    # Probes load while Textual is imported: most of both is spent outside of Python's lock.
    source.start(store.ingest)
    try:
        with CapturedOutput(log):
            return _show(source, store, filter_text, ascii_only, mouse, theme)
    finally:
        _tell(source.close())


def _show(source: Source, store: SnapshotStore, filter_text: str, ascii_only: bool, mouse: bool, theme: str) -> int:
    from ebtop.ui.glyphs import terminal_is_ascii
    from ebtop.ui.live import LiveApp
    from ebtop.ui.themes import load

    app = LiveApp(source, store, load(theme), filter_text=filter_text, ascii_only=ascii_only or terminal_is_ascii())
    app.run(mouse=mouse)
    return app.return_code or 0


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
