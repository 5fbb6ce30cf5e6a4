"""How a TCP connection ended, in one word."""

from __future__ import annotations

from ebtop.store.records import TcpRecord

_BY_ERROR = {"ECONNREFUSED": "refused", "ETIMEDOUT": "timeout", "ECONNRESET": "reset"}

END_STATES = ("closed", "reset", "refused", "timeout")


def end_state(record: TcpRecord) -> str:
    """One of END_STATES for a close; it stands where an open connection has its TCP state."""
    if record.error in _BY_ERROR:
        return _BY_ERROR[record.error]
    return "reset" if record.reset else "closed"
