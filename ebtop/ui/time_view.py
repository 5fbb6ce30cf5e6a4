"""Which moment the screens show: now, or one of the last ten minutes."""

from __future__ import annotations

import re
import time

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_BACK = re.compile(r"-\s*(\d+(?:\.\d+)?)\s*(s|m|)")
SECOND_NS = 1_000_000_000


class TimeView:
    """Live, or standing at a moment. Moments are wall clock, ns since the Unix epoch."""

    def __init__(self) -> None:
        self.at_ns: int | None = None
        """None = live."""
        self.seen_before = 0
        """Events that had come in when the view was stopped."""
        self.stopped_at = 0.0
        """When the view was stopped, in seconds of the app's clock."""

    @property
    def live(self) -> bool:
        return self.at_ns is None

    def stop(self, at_ns: int, now: float, seen: int) -> None:
        """Stand still at a moment."""
        if self.live:
            self.stopped_at, self.seen_before = now, seen
        self.at_ns = at_ns

    def go_on(self) -> None:
        """Live again."""
        self.at_ns = None

    def stepped(self, seconds: int, oldest_ns: int, newest_ns: int) -> int | None:
        """Where a step leads, no further than what is kept; None = past the newest, so live."""
        at = (newest_ns if self.at_ns is None else self.at_ns) + seconds * SECOND_NS
        if at > newest_ns:
            return None
        return max(at, oldest_ns)


def parse_time(text: str, now_ns: int) -> int | None:
    """A moment from "14:03", "14:03:20" (today, or yesterday if that is still to come), "-5m", "-90s", "-90".

    None for anything else.
    """
    text = text.strip()
    if back := _BACK.fullmatch(text):
        seconds = float(back[1]) * (60 if back[2] == "m" else 1)
        return now_ns - int(seconds * SECOND_NS)
    if not (clock := _CLOCK.fullmatch(text)):
        return None
    hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    today = time.localtime(now_ns // SECOND_NS)
    wanted = time.mktime((*today[:3], hour, minute, second, 0, 0, -1))
    if wanted > now_ns / SECOND_NS:
        wanted = time.mktime((today[0], today[1], today[2] - 1, hour, minute, second, 0, 0, -1))
    # The whole of that second is meant.
    return int(wanted) * SECOND_NS + SECOND_NS - 1
