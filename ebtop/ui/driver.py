"""Textual's Linux driver made safe and cheap for a terminal at the end of an SSH connection."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from textual.drivers.linux_driver import LinuxDriver
from textual.events import CursorPosition
from textual.message import Message

_BACKLOG = 2
"""Writes the terminal may be behind before a frame is skipped."""
_LOST_ANSWER_S = 10.0
"""After this the answer is taken for lost."""


class TerminalDriver(LinuxDriver):
    """Differs from its base in four things, and counts what it writes.

    Mouse: clicks and wheel only; every report of a mere move would cost 2 ms. Output: `ask` and `caught_up` tell
    whether the terminal is behind, so that the app can skip frames instead of queueing them.
    SIGCONT: without a stop before it, it must not start a second set of I/O threads. Hang-up: a lost
    terminal whose SIGHUP is ignored would make the input thread spin; `hung_up` lets the app end.
    """

    _running = False
    written = 0
    """Bytes sent to the terminal so far."""
    round_trip_s = 0.0
    """How long the terminal took to come to the end of what was sent before the latest `ask`."""
    on_answer: Callable[[], None] | None = None
    """Called in the app's loop when it has."""
    _asked_at = 0.0
    _unanswered = False
    _answers = False

    def write(self, data: str) -> None:
        self.written += len(data) if data.isascii() else len(data.encode("utf-8", "replace"))
        super().write(data)

    def ask(self) -> None:
        """Have the terminal answer when it has drawn all that was sent so far.

        A report of the cursor's position is what every terminal has, and what nobody else asks for here. Bytes on
        their way through an SSH connection are in no queue that could be looked at from this end.
        """
        self._asked_at = time.monotonic()
        self._unanswered = True
        self.write("\x1b[6n")

    @property
    def caught_up(self) -> bool:
        """Whether the terminal shows all that was sent, as far as one can know: some never answer."""
        if self.backlog > _BACKLOG:
            return False
        waited_s = time.monotonic() - self._asked_at
        return not self._answers or not self._unanswered or waited_s > _LOST_ANSWER_S

    def process_message(self, message: Message) -> None:
        if not isinstance(message, CursorPosition):
            super().process_message(message)
            return
        self._answers, self._unanswered = True, False
        self.round_trip_s = time.monotonic() - self._asked_at
        if self.on_answer is not None:
            self._loop.call_soon_threadsafe(self.on_answer)

    @property
    def backlog(self) -> int:
        """Writes that the terminal has not taken yet."""
        thread = self._writer_thread
        return thread._queue.qsize() if thread is not None else 0

    def _get_terminal_size(self) -> tuple[int, int]:
        """Of the terminal that is drawn on: standard output leads into the log meanwhile."""
        try:
            columns, lines = os.get_terminal_size(self.fileno)
        except (OSError, ValueError):  # gone, or no terminal
            return super()._get_terminal_size()
        return (columns, lines) if columns and lines else super()._get_terminal_size()

    def hung_up(self) -> bool:
        """Whether the terminal is gone."""
        poll = select.poll()
        poll.register(self.fileno, 0)
        return any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0))

    def toggle_mouse(self) -> bool:
        """Give the mouse to the terminal, or take it back; returns whether it is ours now."""
        if self._mouse:
            self._disable_mouse_support()
            self.flush()
            self._mouse = False
        else:
            self._mouse = True
            self._enable_mouse_support()
        return self._mouse

    def start_application_mode(self) -> None:
        if not self._running:
            self._running = True
            super().start_application_mode()  # type: ignore[no-untyped-call]

    def stop_application_mode(self) -> None:
        self._running = False
        super().stop_application_mode()

    def run_input_thread(self) -> None:
        try:
            super().run_input_thread()
        except OSError:
            # The app's clock notices the hang-up and ends the program.
            if not self.hung_up():
                raise

    def _sigcont_application(self, *args: object) -> None:
        if not self._running:
            super()._sigcont_application(*args)

    def _enable_mouse_support(self) -> None:
        if self._mouse:
            self.write("\x1b[?1000h\x1b[?1006h")
            self.flush()

    def _enable_mouse_pixels(self) -> None:
        """Pixel reports would make every move an event."""
