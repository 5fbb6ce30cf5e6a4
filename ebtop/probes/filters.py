"""--pid, --comm and --cgroup, pushed into the kernel through maps that all probes share."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ebtop.kernel.cgroups import CgroupHierarchy, subtree_ids
from ebtop.kernel.maps import Map
from ebtop.store.records import Record

SHARED_MAPS = ("filter_kinds", "filter_pids", "filter_comms", "filter_cgroups")
_PID, _COMM, _CGROUP = 1, 2, 4
_YES = b"\1"


class FilterSpec(NamedTuple):
    """What to look at; empty = everything. Kinds are combined with "and", values of one kind with "or"."""

    pids: frozenset[int] = frozenset()
    children: bool = False
    """Also processes that the pids fork from now on."""
    comms: frozenset[str] = frozenset()
    cgroups: tuple[str, ...] = ()
    """Paths, with everything below."""

    def __bool__(self) -> bool:
        return bool(self.pids or self.comms or self.cgroups)

    def describe(self) -> str:
        """For people; "" = no filter."""
        parts = []
        if self.pids:
            children = " and children" if self.children else ""
            parts.append(f"pid {','.join(map(str, sorted(self.pids)))}{children}")
        if self.comms:
            parts.append(f"comm {','.join(sorted(self.comms))}")
        if self.cgroups:
            parts.append(f"cgroup {','.join(self.cgroups)}")
        return " ".join(parts)


class KernelFilter:
    """Writes a FilterSpec into the maps, at any time."""

    def __init__(self, maps: Mapping[str, Map], hierarchy: CgroupHierarchy) -> None:
        self._maps = maps
        self._hierarchy = hierarchy
        self._spec = FilterSpec()
        self._cgroup_ids: set[int] = set()

    def apply(self, spec: FilterSpec) -> None:
        """Filter by `spec` from now on. Raises EbtopError for a cgroup that is not there; nothing changes then."""
        cgroup_ids = self._wanted_cgroups(spec)
        # Everything passes while the maps are rewritten: too much for a moment rather than a gap.
        self._set_kinds(0)
        for name in ("filter_pids", "filter_comms", "filter_cgroups"):
            self._maps[name].clear()
        for pid in spec.pids:
            self._maps["filter_pids"].update(struct.pack("=I", pid), _YES)
        for comm in spec.comms:
            self._maps["filter_comms"].update(struct.pack("=16s", comm.encode()[:15]), _YES)
        self._spec, self._cgroup_ids = spec, set()
        self._add_cgroups(cgroup_ids)
        self._set_kinds(
            (_PID if spec.pids else 0) | (_COMM if spec.comms else 0) | (_CGROUP if spec.cgroups else 0)
        )

    def refresh(self) -> None:
        """Follow cgroups that were made below the wanted ones since."""
        if self._spec.cgroups:
            self._add_cgroups(self._wanted_cgroups(self._spec) - self._cgroup_ids)

    def predicate(self) -> Callable[[Record], bool]:
        """The same decision in user space, as of now, for records that come from looking (open connections)."""
        spec, pids = self._spec, self._spec.pids
        if spec.children:
            keys = b"".join(keys for keys, _ in self._maps["filter_pids"].batches())
            pids = frozenset(pid for (pid,) in struct.iter_unpack("=I", keys))

        def passes(record: Record) -> bool:
            if pids and record.pid not in pids:
                return False
            if spec.comms and record.comm not in spec.comms:
                return False
            return not spec.cgroups or (record.cgroup is not None and self._inside(record.cgroup))

        return passes

    def _inside(self, path: str) -> bool:
        tops = (cgroup.removeprefix(self._hierarchy.mount).rstrip("/") for cgroup in self._spec.cgroups)
        return any(path == f"/{top.lstrip('/')}" or path.startswith(f"/{top.lstrip('/')}/") or not top for top in tops)

    def _wanted_cgroups(self, spec: FilterSpec) -> set[int]:
        return {i for path in spec.cgroups for i in subtree_ids(self._hierarchy, path)}

    def _add_cgroups(self, ids: set[int]) -> None:
        for cgroup_id in ids:
            self._maps["filter_cgroups"].update(struct.pack("=Q", cgroup_id), _YES)
        self._cgroup_ids |= ids

    def _set_kinds(self, kinds: int) -> None:
        self._maps["filter_kinds"].update(struct.pack("=I", 0), struct.pack("=I", kinds))
