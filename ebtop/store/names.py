"""Numbers of the kernel by the names people know them under."""

from __future__ import annotations

import errno
import signal

_FIRST_REALTIME_SIGNAL = 34
_LAST_REALTIME_SIGNAL = 64


def errno_name(code: int) -> str:
    """ENOENT for 2; "errno 512" for one that has no name."""
    return errno.errorcode.get(code, f"errno {code}")


def signal_name(number: int) -> str:
    """SIGKILL for 9, SIGRTMIN+1 for 35; "signal 32" for one that has no name."""
    if _FIRST_REALTIME_SIGNAL < number < _LAST_REALTIME_SIGNAL:
        return f"SIGRTMIN+{number - _FIRST_REALTIME_SIGNAL}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
