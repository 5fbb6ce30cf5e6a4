"""Where Enter goes from a row."""

from __future__ import annotations

from ebtop.store.focus_selections import OfCommand, OfConnection, OfPeer, OfProcess
from ebtop.store.rows import RetransmitRow, TcpRow
from ebtop.ui.focus import Focus
from ebtop.units import endpoint


def process(pid: int, comm: str) -> Focus | None:
    """A process; None where it is not known."""
    if not pid:
        return None
    return Focus("process", f"{comm or '?'} ({pid})", OfProcess(pid, comm), pid)


def command(comm: str) -> Focus:
    """All processes of one name."""
    return Focus("command", comm, OfCommand(comm))


def peer(addr: str, port: int | None = None) -> Focus:
    """Everyone who talks to a remote address, or to one port of it."""
    return Focus("peer", addr if port is None else endpoint(addr, port), OfPeer(addr, port))


def connection(row: TcpRow | RetransmitRow) -> Focus:
    """The process at this end of a connection, or the connection itself where nobody is known."""
    found = process(row.pid, row.comm)
    if found is not None:
        return found
    selection = OfConnection(row.saddr, row.sport, row.daddr, row.dport, row.netns)
    return Focus("connection", selection.text, selection)
