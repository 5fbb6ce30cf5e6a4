"""Textual's Linux driver made safe and cheap for a terminal at the end of an SSH connection."""

from __future__ import annotations

import os
import select

from textual.drivers.linux_driver import LinuxDriver


class TerminalDriver(LinuxDriver):
    """Differs from its base in four things.

    Mouse: clicks and wheel only; every report of a mere move would cost 2 ms. Output: `backlog` tells how
    far behind the terminal is, so that the app can skip frames instead of blocking on the bounded queue.
    SIGCONT: without a stop before it, it must not start a second set of I/O threads. Hang-up: a lost
    terminal whose SIGHUP is ignored would make the input thread spin; `hung_up` lets the app end.
    """

    _running = False

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
