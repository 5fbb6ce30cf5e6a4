"""How much may be on its way to the terminal at a time: little enough that what a key draws is not stuck behind it."""

from __future__ import annotations

_WAIT_S = 0.3
"""So long what was sent last may keep what a key draws."""
_WIDE, _LEAST = 1 << 16, 600
"""Bytes: more than any frame has; two lines."""
_BARE = 64
"""A question with so few bytes before it is answered as soon as the way there and back takes."""
_LATENCY_HOLDS_S = 30.0


class Link:
    """Learns from how long the terminal takes to answer. Wide until it is known to be slow."""

    def __init__(self) -> None:
        self.window = _WIDE
        """Bytes that may be sent before the next answer."""
        self._latency_s = 0.0
        self._measured_at = -_LATENCY_HOLDS_S

    @property
    def slow(self) -> bool:
        """Whether a frame does not fit into the window."""
        return self.window < _WIDE

    def wants_latency(self, now_s: float) -> bool:
        """Whether it should be asked with nothing before the question: a long way is not a slow one."""
        return self.slow and now_s - self._measured_at >= _LATENCY_HOLDS_S

    def answered(self, took_s: float, sent: int, now_s: float) -> None:
        """The terminal has shown `sent` bytes, and said so `took_s` seconds after the last of them was written."""
        if sent <= _BARE:
            self._latency_s, self._measured_at = took_s, now_s
            return
        waited_s = took_s - self._latency_s
        if waited_s > _WAIT_S:
            self.window = max(_LEAST, min(self.window, int(sent * _WAIT_S / waited_s)))
        elif self.slow and waited_s < _WAIT_S / 2 and sent >= self.window / 2:
            self.window = min(_WIDE, 3 * self.window // 2)
