"""Reads what the terminal sends in the app's own loop: no thread looks for it, and none has to hand a key over."""

from __future__ import annotations

import codecs
import os
import select
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable

from textual import constants
from textual._xterm_parser import XTermParser
from textual.message import Message

_AT_ONCE = 4096
"""Bytes: of a long paste more is read when the loop comes round again."""
_PATIENCE = 4
"""On a slow link the rest of a key's sequence may come so many times later than elsewhere."""


class TerminalInput:
    """Hands on a message for each key, answer and click; all methods are for the thread of the loop."""

    def __init__(
        self, fileno: int, loop: AbstractEventLoop, deliver: Callable[[Message], None], is_slow: Callable[[], bool]
    ) -> None:
        """Nothing is read before `start`. `is_slow` tells whether bytes sent together may come apart."""
        self._fileno = fileno
        self._loop = loop
        self._deliver = deliver
        self._is_slow = is_slow
        self._started = False
        self._parser = XTermParser()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._escape: TimerHandle | None = None
        self._poll = select.poll()
        self._poll.register(fileno, select.POLLIN)

    def start(self) -> None:
        """Begin to read, or go on after `stop`; half a key from before is forgotten."""
        self._parser = XTermParser()
        self._decoder.reset()
        self._loop.add_reader(self._fileno, self._read)
        self._started = True

    def stop(self) -> None:
        """Leave what comes from now on to somebody else. Safe to call twice."""
        if self._started:
            self._started = False
            self._forget_escape()
            self._loop.remove_reader(self._fileno)

    @property
    def waiting(self) -> bool:
        """Whether something has come in that was not read yet."""
        return self._started and bool(self._poll.poll(0))

    def _read(self) -> None:
        try:
            data = os.read(self._fileno, _AT_ONCE)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            # The app's clock notices the hang-up and ends the program; until then this would be called for ever.
            self.stop()
            return
        self._forget_escape()
        if text := self._decoder.decode(data):  # to the parser an empty text is the end of all input
            for message in self._parser.feed(text):
                self._deliver(message)
        if self._parser._timeout_time is not None:
            delay_s = constants.ESCAPE_DELAY * (_PATIENCE if self._is_slow() else 1)
            self._escape = self._loop.call_later(delay_s, self._give_up_waiting)

    def _give_up_waiting(self) -> None:
        """Nothing has followed an Esc: it is the key. What has come by now is of its sequence still."""
        self._escape = None
        if self.waiting:
            return
        for message in self._parser.tick():
            self._deliver(message)

    def _forget_escape(self) -> None:
        if self._escape is not None:
            self._escape.cancel()
            self._escape = None
