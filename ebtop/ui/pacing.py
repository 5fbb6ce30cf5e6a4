"""Draws no faster than the terminal can take it, and what keys change before all else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from ebtop.ui.link import Link


class Part(NamedTuple):
    """A part of a frame."""

    owner: object
    """Whose it is: a newer part of the same owner takes its place."""
    draw: Callable[[], None]
    """Shows what is newest when it is called."""


class Lined(Protocol):
    """What shows lines."""

    @property
    def shown(self) -> bool:
        """Whether it can be seen."""

    def cost(self, line: int) -> int:
        """About how many bytes a line is on the wire."""

    def send(self, lines: Sequence[int]) -> None:
        """Send these lines as they are now."""


class Terminal(Protocol):
    """What a pacer knows of the terminal."""

    link: Link
    on_answer: Callable[[], None] | None
    """To be called when the terminal has shown what was sent before `ask`."""

    @property
    def caught_up(self) -> bool:
        """Whether it has answered the latest question, or will not."""

    @property
    def typed(self) -> bool:
        """Whether a key has come in that was not acted on yet."""

    def ask(self) -> None:
        """Have it answer when it has shown all that was sent so far."""


Lines = dict[Lined, set[int]]


class Pacer:
    """On a quick link a frame is drawn at once, but for keys that come in between; on a slow one line by line.

    Then no more is on its way than the link's window, and what changed by a key goes first. Frames that the link has
    no room for are skipped, never queued: of a part and of a line what is newest is sent when its turn comes.
    """

    def __init__(
        self,
        terminal: Terminal | None,
        after_drawing: Callable[[Callable[[], None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`after_drawing` calls its argument when what was drawn has been sent. Without a terminal all is drawn."""
        self._terminal = terminal
        self._after_drawing = after_drawing
        self._clock = clock
        self._parts: list[Part] = []
        self._by_key: Lines = {}
        self._by_frame: Lines = {}
        self._drawing = False
        self._will_ask = False
        self._room = 0
        """Bytes of the window that are left; negative when keys took more."""
        if terminal is not None:
            terminal.on_answer = self._answered

    def draw(self, parts: Iterable[Part]) -> None:
        """Draw a frame, or begin to, or skip it."""
        newest = {part.owner: part for part in parts}
        kept = [newest.pop(part.owner) for part in self._parts if part.owner in newest]
        terminal = self._terminal
        if terminal is None:
            for part in (*kept, *newest.values()):
                part.draw()
            return
        self._parts = [*kept, *newest.values()]
        if terminal.caught_up:
            self._room = terminal.link.window
            self._go_on()

    def show(self, widget: Lined, lines: Sequence[int]) -> None:
        """Lines have changed: send them now, or when there is room."""
        if self._terminal is None or not self._terminal.link.slow:
            widget.send(lines)
        elif self._drawing:
            _add(self._by_frame, widget, lines)
        else:
            _add(self._by_key, widget, lines)
            _remove(self._by_frame, widget, lines)
            self._go_on()

    def _answered(self) -> None:
        if self._terminal is not None:
            self._room = self._terminal.link.window
            self._go_on()

    def _go_on(self) -> None:
        terminal = self._terminal
        assert terminal is not None
        if self._drawing:
            return
        sent = self._send(self._by_key, self._room + terminal.link.window)
        if not sent and terminal.link.wants_latency(self._clock()):
            if terminal.caught_up:
                self._ask_soon()
            return
        while (self._by_frame or self._parts) and self._room > 0 and not self._by_key:
            if self._by_frame:
                sent += self._send(self._by_frame, self._room)
            elif terminal.typed:
                # What a key draws goes first, and only then the rest of the frame.
                self._after_drawing(self._answered)
                return
            else:
                sent += self._draw_part(self._parts.pop(0))
        if sent and terminal.caught_up:
            self._ask_soon()

    def _draw_part(self, part: Part) -> int:
        """Returns whether something may have been sent."""
        self._drawing = True
        try:
            part.draw()
        finally:
            self._drawing = False
        return not self._by_frame

    def _send(self, queue: Lines, room: int) -> int:
        """Send from a queue what there is room for; returns about how many bytes."""
        sent = 0
        while queue and sent < room:
            widget = next(iter(queue))
            lines = queue.pop(widget)
            waiting = sorted(lines) if widget.shown else []
            ready: list[int] = []
            while waiting and sent < room:
                sent += widget.cost(waiting[0])
                ready.append(waiting.pop(0))
            if ready:
                widget.send(ready)
            if waiting:
                queue[widget] = set(waiting)
        self._room -= sent
        return sent

    def _ask_soon(self) -> None:
        if not self._will_ask:
            self._will_ask = True
            self._after_drawing(self._ask)

    def _ask(self) -> None:
        self._will_ask = False
        if self._terminal is not None:
            self._terminal.ask()


def _add(queue: Lines, widget: Lined, lines: Iterable[int]) -> None:
    queue.setdefault(widget, set()).update(lines)


def _remove(queue: Lines, widget: Lined, lines: Iterable[int]) -> None:
    if left := queue.pop(widget, set()) - set(lines):
        queue[widget] = left
