"""A program in a real terminal emulator: a tmux server of the test's own.

    with Tmux([EBTOP, "demo"], columns=120, lines=40) as terminal:
        terminal.wait_for("LIVE")
        terminal.press("q")
        assert terminal.wait() == 0

What is on screen is what tmux understood of the bytes it got, as a person at a terminal would see it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from textual.keys import _character_to_key

from tests.lab.process import TIMEOUT_S

_POLL_S = 0.05
_NAMES = {
    "backspace": "BSpace",
    "delete": "DC",
    "down": "Down",
    "end": "End",
    "enter": "Enter",
    "escape": "Escape",
    "home": "Home",
    "insert": "IC",
    "left": "Left",
    "pagedown": "NPage",
    "pageup": "PPage",
    "right": "Right",
    "shift+tab": "BTab",
    "space": "Space",
    "tab": "Tab",
    "up": "Up",
}
_SIGNS = {_character_to_key(chr(code)): chr(code) for code in range(ord("!"), ord("~") + 1)}


def tmux_key(key: str) -> str:
    """tmux's name of a key that Textual calls `key`: "ctrl+f" is C-f, "question_mark" is ?, "upper_u" is U."""
    if key in _NAMES:
        return _NAMES[key]
    if key.startswith("ctrl+"):
        return f"C-{tmux_key(key.removeprefix('ctrl+'))}"
    if key.startswith("upper_"):
        return key.removeprefix("upper_").upper()
    if len(key) == 1:
        return key
    if key[0] == "f" and key[1:].isdecimal():
        return key.upper()
    return _SIGNS[key]


class Tmux:
    """One program in one window; everything ends with the `with` block."""

    def __init__(
        self,
        command: Sequence[str | Path],
        columns: int = 120,
        lines: int = 40,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = tempfile.mkdtemp(prefix="ebtop-tmux-")
        variables = [word for name, value in (environment or {}).items() for word in ("-e", f"{name}={value}")]
        self._tmux(
            "start-server", ";",
            "set-option", "-g", "default-terminal", "screen-256color", ";",
            "set-option", "-g", "remain-on-exit", "on", ";",
            "set-option", "-g", "remain-on-exit-format", "", ";",
            "set-option", "-g", "escape-time", "0", ";",
            "new-session", "-d", "-x", str(columns), "-y", str(lines), *variables, "--", *map(str, command),
        )  # fmt: skip
        self._server = int(self._ask("#{pid}"))
        self.pid = int(self._ask("#{pane_pid}"))
        """The program's."""

    def __enter__(self) -> Tmux:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the terminal away: the program gets SIGHUP and a closed one. Safe to call twice."""
        if os.path.exists(self._folder):
            subprocess.run([*self._client(), "kill-server"], capture_output=True, timeout=TIMEOUT_S)
            shutil.rmtree(self._folder)

    def press(self, *keys: str) -> None:
        """Keys by Textual's names."""
        for key in keys:
            # A semicolon at the end of an argument would begin another command of tmux's.
            name = tmux_key(key)
            self._tmux("send-keys", r"\;" if name == ";" else name)

    def type(self, text: str) -> None:
        """Characters as they are."""
        self._tmux("send-keys", "-l", text)

    def resize(self, columns: int, lines: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def screen(self) -> list[str]:
        """The lines on screen, without blanks at their ends."""
        return [line.rstrip() for line in self._tmux("capture-pane", "-p").split("\n")[:-1]]

    def text(self) -> str:
        return "\n".join(self.screen())

    def said(self) -> str:
        """All that stands on the normal screen and above it: when the program has ended, what it leaves behind."""
        return self._tmux("capture-pane", "-p", "-J", "-S", "-").strip()

    def styled(self) -> str:
        """The screen with escape sequences for colours and attributes."""
        return self._tmux("capture-pane", "-p", "-e")

    def record(self, path: Path) -> None:
        """From now on every byte that the program writes goes to a file too."""
        self._tmux("pipe-pane", f"exec cat >{shlex.quote(str(path))}")

    @property
    def title(self) -> str:
        """What the program has called the terminal: an escape sequence that got through can change it."""
        return self._ask("#{pane_title}")

    def wait_for(self, *texts: str, timeout_s: float = TIMEOUT_S) -> str:
        """The screen, as soon as all of these stand on it."""
        return self.wait_until(lambda screen: all(text in screen for text in texts), " and ".join(texts), timeout_s)

    def wait_until(
        self, condition: Callable[[str], bool], what: str = "the screen", timeout_s: float = TIMEOUT_S
    ) -> str:
        """The screen, as soon as it meets a condition; AssertionError with it when it never does."""
        deadline = time.monotonic() + timeout_s
        while True:
            screen = self.text()
            if condition(screen):
                return screen
            assert time.monotonic() < deadline, f"{what} did not come; on screen:\n{screen}"
            time.sleep(_POLL_S)

    @property
    def running(self) -> bool:
        return self._ask("#{pane_dead}") != "1"

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """The exit code, as soon as the program has ended; 128 + the signal that ended it."""
        deadline = time.monotonic() + timeout_s
        while not (said := self._ask("#{pane_dead_status} #{?pane_dead_signal,signal #{pane_dead_signal},}").split()):
            assert time.monotonic() < deadline, f"it does not end; on screen:\n{self.text()}"
            if not self.running:
                # tmux 3.3 misses a SIGCHLD now and then, and does not ask for the status any more.
                os.kill(self._server, signal.SIGCHLD)
            time.sleep(_POLL_S)
        return 128 + int(said[1]) if said[0] == "signal" else int(said[0])

    def _client(self) -> list[str]:
        return ["tmux", "-S", f"{self._folder}/socket", "-f", "/dev/null"]

    def _ask(self, form: str) -> str:
        return self._tmux("display-message", "-p", form).rstrip("\n")

    def _tmux(self, *arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in ("TMUX", "TMUX_PANE")}
        done = subprocess.run(
            [*self._client(), *arguments],
            capture_output=True, text=True, timeout=TIMEOUT_S, env={"LANG": "C.UTF-8", **environment},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"tmux {arguments[0]}: {done.stderr.strip()}")
        return done.stdout


def wait_gone(pid: int, timeout_s: float = TIMEOUT_S) -> None:
    """Return when a process that may be nobody's child of ours has ended."""
    deadline = time.monotonic() + timeout_s
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            assert time.monotonic() < deadline, f"process {pid} does not end"
            time.sleep(_POLL_S)
