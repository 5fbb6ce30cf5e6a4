"""Wall clock nanoseconds as text."""

from __future__ import annotations

import time
from functools import lru_cache

_SECOND_NS = 1_000_000_000


def rfc3339(time_ns: int) -> str:
    """UTC with nanoseconds: 2026-11-22T14:00:00.123456789Z."""
    second, nanoseconds = divmod(time_ns, _SECOND_NS)
    return f"{_utc_second(second)}.{nanoseconds:09d}Z"


def local_clock(time_ns: int) -> str:
    """Time of day in the local time zone with milliseconds: 14:00:00.123."""
    second, nanoseconds = divmod(time_ns, _SECOND_NS)
    return f"{_local_second(second)}.{nanoseconds // 1_000_000:03d}"


@lru_cache(maxsize=8)
def _utc_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@lru_cache(maxsize=8)
def _local_second(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))
