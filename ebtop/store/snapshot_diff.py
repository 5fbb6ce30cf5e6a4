"""What the tables of two moments have different: who is new, who is gone, who does more or less.

The tables add up, so what happened after the first moment is the second's counts less the first's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ebtop.store.evidence_diff import Change
from ebtop.store.rows import CommandRow, PeerRow, Snapshot
from ebtop.units import endpoint

_ACTIVE_NS = 60 * 1_000_000_000
"""Who did nothing for so long before the first moment is not called gone after it."""


class SnapshotDiff(NamedTuple):
    """Rates are a minute: of the time that was added up before the first moment, and of that between the two."""

    seconds: float
    """Of the later rates: between the moments, or of what the second of two runs added up."""
    new_commands: tuple[str, ...]
    gone_commands: tuple[str, ...]
    """They ran, or were started, shortly before the first moment; since then they were not, and none runs."""
    commands: tuple[Change, ...]
    new_peers: tuple[str, ...]
    gone_peers: tuple[str, ...]
    peers: tuple[Change, ...]
    """Connections opened."""
    retransmits: tuple[Change, ...]
    """Segments sent again, by peer."""
    targets: tuple[Change, ...]
    """Slow and failed connects."""


def compare_snapshots(before: Snapshot, after: Snapshot, *, apart: bool = False) -> SnapshotDiff:
    """`before` is the earlier one, of the same selection. `apart`: the two counted in different runs."""
    seconds = _counted_s(after) if apart else max(1.0, (after.time_ns - before.time_ns) / 1e9)
    rates = _Rates(_counted_s(before), seconds, apart)
    old_commands = {row.comm: row for row in before.commands}
    old_peers = {_peer(row): row for row in before.peers}
    peers = {_peer(row): row for row in after.peers}
    comms = {_peer(row): row.comms for row in (*before.peers, *after.peers)}
    return SnapshotDiff(
        seconds,
        _new((row.comm, row.execs) for row in after.commands if row.comm not in old_commands),
        _gone_commands(before, after, apart),
        rates.changes({r.comm: r.execs for r in before.commands}, {r.comm: r.execs for r in after.commands}),
        _new((name, row.opened) for name, row in peers.items() if name not in old_peers),
        tuple(name for name, row in old_peers.items() if _is_gone(row, peers.get(name), before.time_ns, apart)),
        rates.changes(
            {name: row.opened for name, row in old_peers.items()}, {n: row.opened for n, row in peers.items()}, comms
        ),
        rates.changes(
            {endpoint(r.addr, r.port): r.segments for r in before.retransmit_peers},
            {endpoint(r.addr, r.port): r.segments for r in after.retransmit_peers},
            {endpoint(r.addr, r.port): r.comms for r in (*before.retransmit_peers, *after.retransmit_peers)},
        ),
        rates.changes(
            {endpoint(r.addr, r.port): r.finished for r in before.targets},
            {endpoint(r.addr, r.port): r.finished for r in after.targets},
            {endpoint(r.addr, r.port): r.comms for r in (*before.targets, *after.targets)},
        ),
    )


def _counted_s(snapshot: Snapshot) -> float:
    """Seconds that its tables add up."""
    return max(1.0, (snapshot.time_ns - snapshot.since_ns) / 1e9) if snapshot.since_ns else 1.0


class _Rates:
    def __init__(self, past_s: float, seconds: float, apart: bool) -> None:
        self._past_s, self._seconds, self._apart = past_s, seconds, apart

    def changes(
        self, before: dict[str, int], after: dict[str, int], who: dict[str, tuple[str, ...]] | None = None
    ) -> tuple[Change, ...]:
        """The most changed first. A table lets go of what is old: a count that is lower than before began anew."""
        changes = []
        for name in {**before, **after}:
            old, now = before.get(name, 0), after.get(name, 0)
            since = now - old if now >= old and not self._apart else now
            comms = ", ".join((who or {}).get(name, ())[:5])
            if old or since:
                changes.append(Change(name, old * 60 / self._past_s, since * 60 / self._seconds, comms))
        changes.sort(key=lambda change: (-abs(change.delta), change.name))
        return tuple(changes)


def _new(found: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """The busiest first."""
    return tuple(name for name, _ in sorted(found, key=lambda item: (-item[1], item[0])))


def _gone_commands(before: Snapshot, after: Snapshot, apart: bool) -> tuple[str, ...]:
    now = {row.comm: row for row in after.commands}

    def gone(row: CommandRow) -> bool:
        later = now.get(row.comm)
        active = row.running or before.time_ns - row.time_ns < _ACTIVE_NS
        return bool(active) and (later is None or (not later.running and later.execs <= (0 if apart else row.execs)))

    return tuple(sorted(row.comm for row in before.commands if gone(row)))


def _is_gone(row: PeerRow, later: PeerRow | None, time_ns: int, apart: bool) -> bool:
    active = row.open or time_ns - row.time_ns < _ACTIVE_NS
    return bool(active) and (later is None or (not later.open and later.opened <= (0 if apart else row.opened)))


def _peer(row: PeerRow) -> str:
    if row.direction == "in":
        return f"from {row.addr} (port {row.port})"
    return f"{'to ' if row.direction == 'out' else ''}{endpoint(row.addr, row.port)}"
