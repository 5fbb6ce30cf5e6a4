"""Textual's Linux driver made safe and cheap for a terminal at the end of an SSH connection."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import IO, Any, NamedTuple

from textual.drivers.linux_driver import LinuxDriver
from textual.events import CursorPosition, Key
from textual.message import Message

from ebtop.ui.link import Link
from ebtop.ui.terminal_input import TerminalInput

_BACKLOG = 2
"""Writes the terminal may be behind before a frame is skipped."""
_LOST_ANSWER_S, _LOST_SLOWLY_S = 10.0, 30.0
"""After this the answer is taken for lost; where the link is slow."""
_MUTE_S = 3.0
"""A terminal that has not answered the first question, before which it was sent nothing, will answer none."""
_FIRST_LINE, _NUMBERS = 2, 10
"""Questions are told apart by the line that the cursor is on; answers of the first line look like keys."""
_USED = 0.7
"""Share of what a mute terminal takes that is used, so that what waits in the kernel becomes less."""
_LOOK_S = 0.1


class _Question(NamedTuple):
    asked_at: float
    sent: int
    """Bytes between the question before and this one."""


class _Output:
    """The terminal's file, flushed at each write; knows how fast the terminal took what had to wait."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.taken = 0
        """Bytes so far."""
        self.bytes_per_s = 0.0
        """0 = nothing has had to wait."""

    def write(self, text: str) -> None:
        size, began = _size(text), time.monotonic()
        self._file.write(text)
        self._file.flush()
        took_s = time.monotonic() - began
        if took_s > _LOOK_S:
            self.bytes_per_s = size / took_s
        self.taken += size

    def flush(self) -> None:
        """`write` has done it."""

    def fileno(self) -> int:
        return self._file.fileno()


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


class TerminalDriver(LinuxDriver):
    """Differs from its base in five things, and counts what it writes.

    Mouse: clicks and wheel only; every report of a mere move would cost 2 ms. Input: read in the app's loop instead
    of by a thread. Output: `ask` and `caught_up` tell whether the terminal is behind, so that the app can skip frames
    instead of queueing them. SIGCONT: without a stop before it, it must not start a second set of I/O threads.
    Hang-up: of a terminal that is gone nothing is read any more; `hung_up` lets the app end.
    """

    _running = False
    written = 0
    """Bytes sent to the terminal so far."""
    _key_came = False
    on_answer: Callable[[], None] | None = None
    """Called in the app's loop when the terminal shows what was sent before `ask`, as far as one can know."""
    _answers: bool | None = None
    """Whether the terminal does; None = not known yet."""
    _asked = 0
    """Questions so far."""
    _asked_after = 0
    """Bytes written before the latest one."""
    _asked_at = 0.0
    _opening = 0
    """The question of the start."""
    _opened_at = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.link = Link()
        self._questions: dict[int, _Question] = {}
        """Those that are not answered, by number, oldest first."""
        self._output = _Output(self._file)  # type: ignore[arg-type]
        self._file = self._output  # type: ignore[assignment]
        self._input = TerminalInput(self.fileno, self._loop, self.process_message, lambda: self.link.slow)

    def write(self, data: str) -> None:
        self.written += _size(data)
        super().write(data)

    def ask(self) -> None:
        """Have the terminal answer when it has drawn all that was sent so far.

        A report of the cursor's position is what every terminal has, and what nobody else asks for here. Bytes on
        their way through an SSH connection are in no queue that could be looked at from this end, and a
        pseudo-terminal does not say what waits in it. Of a terminal that never answers only how fast it takes what it
        is sent can be known, and that only when the kernel has no room for more.
        """
        self._asked, self._asked_at = self._asked + 1, time.monotonic()
        self._questions[self._asked] = _Question(self._asked_at, self.written - self._asked_after)
        self._asked_after = self.written
        if self._answers is False:
            self._loop.call_later(_LOOK_S, self._look, self._asked)
        else:
            self.write(f"\x1b7\x1b[{_FIRST_LINE + self._asked % _NUMBERS};1H\x1b[6n\x1b8")

    @property
    def caught_up(self) -> bool:
        """Whether the terminal shows all that was sent, as far as one can know."""
        if self.backlog > _BACKLOG:
            return False
        now = time.monotonic()
        if self._answers is None and now - self._opened_at > _MUTE_S:
            self._answers = False
            self._questions.clear()
        if now - self._asked_at > (_LOST_SLOWLY_S if self.link.slow else _LOST_ANSWER_S):
            self._questions.clear()
        # The question of the start only tells how long the way is: the first frame need not wait for its answer.
        return not self._questions or self._asked == self._opening

    @property
    def typed(self) -> bool:
        """Whether a key has come in that was not acted on yet: see `acted`."""
        return self._key_came or self._input.waiting

    def acted(self) -> None:
        """What was typed so far has been acted on."""
        self._key_came = False

    def process_message(self, message: Message) -> None:
        if isinstance(message, CursorPosition):
            self._loop.call_soon(self._answered_on, message.y - _FIRST_LINE + 1, time.monotonic())
            return
        self._key_came |= isinstance(message, Key)
        super().process_message(message)

    def send_message(self, message: Message) -> None:
        self._app.post_message(message)

    def _answered_on(self, remainder: int, at: float) -> None:
        self._answers = True
        for number in self._questions:
            if number % _NUMBERS == remainder:
                self._answered(number, at)
                return

    def _look(self, number: int) -> None:
        """In place of an answer: when all has been taken, and as much time has gone by as it may take to be shown."""
        question, now, output = self._questions.get(number), time.monotonic(), self._output
        if question is None:
            return
        shown_at = question.asked_at
        if output.bytes_per_s:
            shown_at += question.sent / (_USED * output.bytes_per_s)
        if output.taken < self._asked_after or now < shown_at:
            self._loop.call_later(_LOOK_S, self._look, number)
        else:
            self._answered(number, now)

    def _answered(self, number: int, at: float) -> None:
        question = self._questions[number]
        for older in [other for other in self._questions if other <= number]:
            del self._questions[older]
        self.link.answered(at - question.asked_at, question.sent, at)
        if not self._questions and self.on_answer is not None:
            self.on_answer()

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
            # What was asked before a stop was answered to somebody else.
            self._questions.clear()
            super().start_application_mode()  # type: ignore[no-untyped-call]
            self._input.start()
            self.ask()
            self._opening, self._opened_at = self._asked, self._asked_at

    def stop_application_mode(self) -> None:
        self._running = False
        super().stop_application_mode()

    def disable_input(self) -> None:
        self._input.stop()
        super().disable_input()

    def run_input_thread(self) -> None:
        """Nothing is left for a thread to do."""

    def _sigcont_application(self, *args: object) -> None:
        if not self._running:
            super()._sigcont_application(*args)

    def _enable_mouse_support(self) -> None:
        if self._mouse:
            self.write("\x1b[?1000h\x1b[?1006h")
            self.flush()

    def _enable_mouse_pixels(self) -> None:
        """Pixel reports would make every move an event."""
