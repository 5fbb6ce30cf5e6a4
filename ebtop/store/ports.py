"""Which of a connection's two ports is that of the service."""

from __future__ import annotations


def service_port(local: int, remote: int, direction: str | None = None) -> int:
    """The remote port of an outgoing connection, the local one of an incoming one, else the lower of the two."""
    if direction == "out":
        return remote
    if direction == "in":
        return local
    return min(local, remote)
