"""What every probe costs and what it missed, read from the kernel for our own objects."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping

from ebtop.errors import EbtopError
from ebtop.kernel import accounting
from ebtop.kernel.cpus import online_cpus
from ebtop.kernel.maps import NO_PREALLOC, Map
from ebtop.session.probe_set import Loaded
from ebtop.store.source import Health, MapUse, NodeLoad, ProbeHealth, ProgramCost
from ebtop.unwind.unwinder import Unwinder

_PAGE = os.sysconf("SC_PAGE_SIZE")


def probe_health(name: str, loaded: Loaded, known_maps: dict[int, MapUse]) -> ProbeHealth:
    """A loaded probe. `known_maps` keeps the figures of maps whose size can't change, by file descriptor."""
    programs = []
    counters = loaded.module.counters()
    lost = dict(counters.lost)
    for program, fd in loaded.module.program_fds().items():
        program_id, runs, run_ns, skipped = accounting.program_cost(fd)
        programs.append(ProgramCost(program, program_id, runs, run_ns))
        if skipped and program not in loaded.probe.backed_up:
            lost["already running"] = lost.get("already running", 0) + skipped
    if loaded.module.dropped:
        lost["not read in time"] = loaded.module.dropped
    for reason, n in loaded.probe.lost().items():
        lost[reason] = lost.get(reason, 0) + n
    maps = tuple(map_use(m, known_maps) for m in loaded.module.own_maps().values())
    return ProbeHealth(
        name, "on", "", "", tuple(programs), maps, loaded.module.ring_fill, counters.events, lost, loaded.notes
    )


def with_shared(
    probe: ProbeHealth, shared: Mapping[str, Map], names: tuple[str, ...], known: dict[int, MapUse]
) -> ProbeHealth:
    """A probe with the shared maps that exist for its sake."""
    maps = tuple(map_use(shared[name], known) for name in names if name in shared)
    return probe._replace(maps=probe.maps + maps)


def with_tables(probe: ProbeHealth, unwinder: Unwinder) -> ProbeHealth:
    """A probe with the unwind tables, all of them as one map, and what there is no room for."""
    tables = MapUse(f"{unwinder.table_count} tables", 0, unwinder.table_bytes)
    return probe._replace(maps=(*probe.maps, tables), notes=(*probe.notes, *unwinder.notes))


def failed(name: str, error: EbtopError) -> ProbeHealth:
    """A probe that could not be loaded."""
    why = f"{error.what}: {error.why}" if error.why else error.what
    return ProbeHealth(name, "failed", why, error.fix, (), (), 0.0, 0, {}, ())


def not_loaded(name: str, state: str) -> ProbeHealth:
    """A probe that is off, or on its way."""
    return ProbeHealth(name, state, "", "", (), (), 0.0, 0, {}, ())


def map_use(bpf_map: Map, known: dict[int, MapUse]) -> MapUse:
    """A map's memory; read once unless it grows with use."""
    use = known.get(bpf_map.fd)
    if use is None or bpf_map.spec.flags & NO_PREALLOC:
        map_id, size = accounting.map_use(bpf_map.fd)
        use = known[bpf_map.fd] = MapUse(bpf_map.spec.name, map_id, size)
    return use


def whole(probes: Iterable[ProbeHealth], stats_enabled: bool, log: Iterable[str], node: NodeLoad | None) -> Health:
    """All of it, with what this process itself takes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        rss = int(file.read().split()[1]) * _PAGE
    return Health(
        time.time_ns(), tuple(probes), time.process_time_ns(), rss, len(online_cpus()), stats_enabled, tuple(log), node
    )
