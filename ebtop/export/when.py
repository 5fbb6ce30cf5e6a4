"""Moments of a recording, as they are typed."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from ebtop.errors import UsageError
from ebtop.store.evidence import Evidence

_RELATIVE = re.compile(r"(?P<sign>[-+])(?P<number>\d+(?:\.\d+)?)(?P<unit>[smh]?)", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)
_UNIT_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_SECOND_NS = 1_000_000_000


def moment(text: str, evidence: Evidence) -> int:
    """A wall clock time in ns: -5m (before the end), +30s (after the start), 14:03 or 14:03:20 (that node's local time,
    on the day that is in the recording), or RFC 3339. Raises UsageError."""
    text = text.strip()
    if relative := _RELATIVE.fullmatch(text):
        distance = int(float(relative["number"]) * _UNIT_S[relative["unit"]] * _SECOND_NS)
        return evidence.from_ns + distance if relative["sign"] == "+" else evidence.until_ns - distance
    if clock := _CLOCK.fullmatch(text):
        return _on_a_day_of(evidence, int(clock[1]), int(clock[2]), int(clock[3] or 0), text)
    try:
        parsed = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", re.sub(r"(\.\d{6})\d+", r"\1", text)))
    except ValueError:
        raise _unknown(text) from None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=_zone(evidence))
    return int(parsed.timestamp()) * _SECOND_NS + parsed.microsecond * 1000


def _on_a_day_of(evidence: Evidence, hour: int, minute: int, second: int, text: str) -> int:
    first = datetime.fromtimestamp(evidence.from_ns // _SECOND_NS, _zone(evidence))
    try:
        wanted = first.replace(hour=hour, minute=minute, second=second, microsecond=0)
    except ValueError:
        raise _unknown(text) from None
    if wanted < first.replace(microsecond=0):
        wanted += timedelta(days=1)
    found = int(wanted.timestamp()) * _SECOND_NS
    # A time before the start is just that, not one of tomorrow.
    return found if found <= evidence.until_ns else found - 86_400 * _SECOND_NS


def _zone(evidence: Evidence) -> timezone:
    return timezone(timedelta(seconds=evidence.host.utc_offset_s))


def _unknown(text: str) -> UsageError:
    return UsageError(f"{text!r} is not a time", "", "give -5m, +30s, 14:03:20 or 2026-11-27T14:03:20Z")
