"""What the tool was like at each second, as a block of bytes and back."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from ebtop.store.history.codec import Text, pack, same_text, unpack
from ebtop.store.history.corrupt import CorruptData
from ebtop.store.rows import Rates
from ebtop.store.source import Health, MapUse, NodeLoad, ProbeHealth, ProgramCost
from ebtop.store.ticks import Tick

_MAX_BYTES = 64 << 20


class _Second(NamedTuple):
    """A tick without its probes and log."""

    time_ns: int
    health_ns: int
    rates: Rates
    own_cpu_ns: int
    rss_bytes: int
    cpus: int
    stats_enabled: bool
    node: NodeLoad | None
    narrowed: str
    narrowed_probes: tuple[str, ...]
    probes: int


class _Probe(NamedTuple):
    """A probe without its programs and maps."""

    name: str
    state: str
    error: str
    fix: str
    ring_fill: float
    events: int
    lost: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    programs: int
    maps: int


class _Block(NamedTuple):
    """What is packed: the probes of one second after those of the one before, and so on."""

    seconds: list[_Second]
    probes: list[_Probe]
    programs: list[ProgramCost]
    maps: list[MapUse]


def pack_seconds(ticks: Sequence[Tick]) -> bytes:
    """At least one tick. The log is not kept."""
    block = _Block([], [], [], [])
    for time_ns, rates, health in ticks:
        block.seconds.append(
            _Second(
                time_ns, health.time_ns, rates, health.own_cpu_ns, health.rss_bytes, health.cpus, health.stats_enabled,
                health.node, health.narrowed, health.narrowed_probes, len(health.probes),
            )
        )  # fmt: skip
        for probe in health.probes:
            block.probes.append(
                _Probe(
                    probe.name, probe.state, probe.error, probe.fix, probe.ring_fill, probe.events,
                    tuple(probe.lost.items()), probe.notes, len(probe.programs), len(probe.maps),
                )
            )  # fmt: skip
            block.programs.extend(probe.programs)
            block.maps.extend(probe.maps)
    return zlib.compress(pack(block), 1)


def unpack_seconds(data: bytes, text: Text = same_text) -> list[Tick]:
    """What `pack_seconds` made a block of. Raises CorruptData."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(data, _MAX_BYTES)
    except zlib.error as error:
        raise CorruptData(str(error)) from None
    block = unpack(_Block, plain, text=text)
    probes, programs, maps = _Taker(block.probes), _Taker(block.programs), _Taker(block.maps)
    return [
        Tick(
            second.time_ns,
            second.rates,
            Health(
                second.health_ns, tuple([_probe(p, programs, maps) for p in probes.take(second.probes)]),
                second.own_cpu_ns, second.rss_bytes, second.cpus, second.stats_enabled, (), second.node,
                second.narrowed, second.narrowed_probes,
            ),
        )
        for second in block.seconds
    ]  # fmt: skip


class _Taker:
    """Hands out the rows of a table in order."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows
        self._at = 0

    def take(self, count: int) -> tuple[Any, ...]:
        end = self._at + count
        if count < 0 or end > len(self._rows):
            raise CorruptData("a row is missing")
        taken = tuple(self._rows[self._at : end])
        self._at = end
        return taken


def _probe(probe: _Probe, programs: _Taker, maps: _Taker) -> ProbeHealth:
    lost: defaultdict[str, int] = defaultdict(int)
    for reason, count in probe.lost:
        lost[reason] += count
    return ProbeHealth(
        probe.name, probe.state, probe.error, probe.fix, programs.take(probe.programs), maps.take(probe.maps),
        probe.ring_fill, probe.events, dict(lost), probe.notes,
    )  # fmt: skip
