"""Copy text from wherever the program runs to wherever the reader sits.

No way is sure: a terminal does not say whether it took a copy, tmux and screen stand in between, a display may
be another machine's. So every way that has a chance is taken, the text is kept in a private file as well, and
the report says which of them worked.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ebtop.text import clean
from ebtop.ui.folders import runtime_folder, state_folder, temporary_folder, write_private

TERMINAL_LIMIT = 74_994
"""Bytes of text: 100,000 in base64, which is where terminals commonly stop."""
_SCREEN_CHUNK = 240
"""GNU screen hands on 250 bytes at a time, and drops 2,000."""
_TIMEOUT_S = 2.0
_FILE = "copied.txt"
_PYPERCLIP = """
import sys
sys.path[:] = sys.argv[1:]
import pyperclip
text = sys.stdin.read()
pyperclip.copy(text)
sys.exit(pyperclip.paste() != text)
"""
"""Its tools report success even without a display, so it reads back what it wrote."""


class CopyReport(NamedTuple):
    """What became of one copy."""

    what: str
    """What was copied: "row", "stack"."""
    ways: tuple[str, ...]
    """Where it went, for people."""
    file: Path | None
    problems: tuple[str, ...]
    """What did not work and matters."""

    @property
    def worked(self) -> bool:
        """Whether the text is anywhere but on the screen."""
        return bool(self.ways or self.file)

    def line(self) -> str:
        """One line: "row copied: tmux's buffer · the terminal (OSC 52) · /run/user/0/ebtop/copied.txt"."""
        places = [*self.ways, *([str(self.file)] if self.file else [])]
        told = f"{self.what} copied: {' · '.join(places)}" if places else f"the {self.what} could not be copied"
        return "; ".join((told, *self.problems))


async def copy(
    text: str,
    what: str,
    write: Callable[[str], None] | None,
    *,
    environ: Mapping[str, str] = os.environ,
    folders: Sequence[Path] | None = None,
) -> CopyReport:
    """Copy printable lines in every way there is here. Takes at most about two seconds; never raises.

    `write` sends characters to the terminal unchanged, as a Textual driver's `write` does; None = there is no
    terminal. `folders` are where the file may go, the first that can be written to; by default this user's
    runtime folder, else the state folder, else a new temporary one.
    """
    text = escaped(text)
    data = text.encode("utf-8", "backslashreplace")
    file, problems = _keep(data, _places(environ) if folders is None else folders)
    ways: list[str] = []
    if write is not None and len(data) > TERMINAL_LIMIT:
        problems.append(f"too long for the terminal's clipboard ({len(data):,} of at most {TERMINAL_LIMIT:,} bytes)")
    elif write is not None:
        for sequence in terminal_sequences(data, environ):
            write(sequence)
        ways.append("the terminal (OSC 52)")
    in_tmux, in_desktop = await asyncio.gather(_to_tmux(data, environ), _to_desktop(data, environ))
    ways += [name for name, done in (("tmux's buffer", in_tmux), ("the desktop's clipboard", in_desktop)) if done]
    return CopyReport(what, tuple(ways), file, tuple(problems))


def escaped(text: str) -> str:
    """Text without control characters but newline and tab; others are written as escapes."""
    return "\n".join("\t".join(map(clean, line.split("\t"))) for line in text.split("\n"))


def terminal_sequences(data: bytes, environ: Mapping[str, str] = os.environ) -> list[str]:
    """What to write so that the outermost terminal sets its clipboard, for every multiplexer there may be.

    tmux takes a plain OSC 52 with `set-clipboard on`, and hands on a wrapped one with `allow-passthrough on`.
    GNU screen drops a plain one and hands on small pieces of a wrapped one. Behind ssh TERM alone tells of them.
    """
    command = f"\x1b]52;c;{b64encode(data).decode('ascii')}\x07"
    term = environ.get("TERM", "")
    if environ.get("TMUX") or term.startswith("tmux"):
        return [command, "\x1bPtmux;" + command.replace("\x1b", "\x1b\x1b") + "\x1b\\"]
    pieces = [command[at : at + _SCREEN_CHUNK] for at in range(0, len(command), _SCREEN_CHUNK)]
    wrapped = "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    if environ.get("STY"):
        return [wrapped]
    # tmux calls itself screen too where it was told to, and drops what is wrapped for screen.
    return [command, wrapped] if term.startswith("screen") else [command]


def display_is_local(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the desktop in the environment is that of the person at the keyboard."""
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        return False
    # sudo keeps DISPLAY and drops SSH_CONNECTION; a forwarded display has a host in its name.
    display = environ.get("DISPLAY", "").removeprefix("unix")
    return bool(environ.get("WAYLAND_DISPLAY")) or display.startswith(":")


async def _to_tmux(data: bytes, environ: Mapping[str, str]) -> bool:
    if not environ.get("TMUX"):
        return False
    # -w hands it on to the terminal that tmux runs in; before tmux 3.2 there was none.
    return await _feed(("tmux", "load-buffer", "-w", "-"), data, environ) or await _feed(
        ("tmux", "load-buffer", "-"), data, environ
    )


async def _to_desktop(data: bytes, environ: Mapping[str, str]) -> bool:
    if not display_is_local(environ):
        return False
    return await _feed((sys.executable, "-I", "-c", _PYPERCLIP, *sys.path), data, environ)


async def _feed(command: Sequence[str], data: bytes, environ: Mapping[str, str]) -> bool:
    """Run a program on `data`; whether it ended well and in time. What it prints is thrown away."""
    nothing = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=nothing,
            stderr=nothing,
            env=dict(environ),
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        await asyncio.wait_for(process.communicate(data), _TIMEOUT_S)
    except (asyncio.TimeoutError, OSError):
        # Its own helpers too, which may be what hangs.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        return False
    return process.returncode == 0


def _places(environ: Mapping[str, str]) -> list[Path]:
    runtime = runtime_folder(environ)
    return [*([runtime] if runtime else []), state_folder(environ)]


def _keep(data: bytes, folders: Sequence[Path]) -> tuple[Path | None, list[str]]:
    """Write the file in the first folder that takes it. Returns it, and what went wrong if none did."""
    for folder in folders:
        try:
            return write_private(folder, _FILE, data), []
        except OSError:
            continue
    try:
        return write_private(temporary_folder(), _FILE, data), []
    except OSError as error:
        return None, [f"no file could be written: {error.strerror or error}"]
