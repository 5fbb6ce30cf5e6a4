"""--pid, --comm and --cgroup, pushed into the kernel through maps that all probes share."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ebtop.errors import EbtopError
from ebtop.kernel.cgroups import CgroupHierarchy, subtree_ids
from ebtop.kernel.descendants import descendants
from ebtop.kernel.maps import Map
from ebtop.store.records import Record
from ebtop.text import printable

SHARED_MAPS = ("filter_kinds", "filter_pids", "filter_comms", "filter_cgroups")
_PID, _COMM, _CGROUP, _CHILDREN, _READY = 1, 2, 4, 8, 16
"""enum filter_kind of bpf/filter.h."""
_COMM_LEN = 15
_YES = b"\1"


class FilterSpec(NamedTuple):
    """What to look at; empty = everything. Kinds are combined with "and", values of one kind with "or"."""

    pids: frozenset[int] = frozenset()
    children: bool = False
    """Also what the pids have forked and will fork, over any number of generations."""
    comms: frozenset[str] = frozenset()
    cgroups: tuple[str, ...] = ()
    """Paths, with everything below."""

    def __bool__(self) -> bool:
        return bool(self.pids or self.comms or self.cgroups)

    @property
    def grows(self) -> bool:
        """Whether processes and cgroups that come to be later may belong to it."""
        return bool(self.children or self.cgroups)

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
        self._applied = False

    def apply(self, spec: FilterSpec) -> None:
        """Filter by `spec` from now on; (children) must be loaded where `spec.grows`.

        Raises EbtopError, and changes nothing, for a cgroup that is not there or more than the maps hold.
        """
        cgroup_ids = {i for path in spec.cgroups for i in subtree_ids(self._hierarchy, path)}
        self._check_room("filter_pids", len(spec.pids), "pids")
        self._check_room("filter_comms", len(spec.comms), "names")
        self._check_room("filter_cgroups", len(cgroup_ids), "cgroups")
        children = _CHILDREN if spec.children else 0
        # Everything passes while the maps are rewritten, too much for a moment rather than a gap; but nothing before
        # they are written for the first time.
        self._set_kinds(children | (_READY if self._applied else 0))
        for name in ("filter_pids", "filter_comms", "filter_cgroups"):
            self._maps[name].clear()
        for comm in spec.comms:
            self._maps["filter_comms"].update(struct.pack("=16s", _as_comm(comm)), _YES)
        self._add_cgroups(cgroup_ids)
        self._add_pids(spec.pids)
        if spec.children:
            self._add_children(spec.pids)
        self._spec, self._cgroup_ids = spec, cgroup_ids
        self._applied = True
        kinds = (_PID if spec.pids else 0) | (_COMM if spec.comms else 0) | (_CGROUP if spec.cgroups else 0)
        self._set_kinds(_READY | children | kinds)

    def refresh(self) -> None:
        """Follow cgroups that were made below the wanted ones since, should the kernel not have told."""
        wanted: set[int] = set()
        for path in self._spec.cgroups:
            with contextlib.suppress(EbtopError):  # gone meanwhile
                wanted |= subtree_ids(self._hierarchy, path)
        with contextlib.suppress(OSError):  # full: what (children) finds no room for is counted there
            self._add_cgroups(wanted - self._cgroup_ids)
        self._cgroup_ids = wanted

    def predicate(self) -> Callable[[Record], bool]:
        """The same decision in user space, as of now, for records that come from looking (open connections)."""
        spec, pids = self._spec, self._spec.pids
        comms = {printable(_as_comm(comm)) for comm in spec.comms}
        if spec.children:
            keys = b"".join(keys for keys, _ in self._maps["filter_pids"].batches())
            pids = frozenset(pid for (pid,) in struct.iter_unpack("=I", keys))

        def passes(record: Record) -> bool:
            if pids and record.pid not in pids:
                return False
            if comms and record.comm not in comms:
                return False
            return not spec.cgroups or (record.cgroup is not None and self._inside(record.cgroup))

        return passes

    def _inside(self, path: str) -> bool:
        tops = (cgroup.removeprefix(self._hierarchy.mount).rstrip("/") for cgroup in self._spec.cgroups)
        return any(path == f"/{top.lstrip('/')}" or path.startswith(f"/{top.lstrip('/')}/") or not top for top in tops)

    def _check_room(self, map_name: str, wanted: int, what: str) -> None:
        room = self._maps[map_name].spec.max_entries
        if wanted > room:
            raise EbtopError(f"can't filter by {wanted} {what}", f"there is room for {room}", "name fewer")

    def _add_cgroups(self, ids: Iterable[int]) -> None:
        for cgroup_id in ids:
            self._maps["filter_cgroups"].update(struct.pack("=Q", cgroup_id), _YES)

    def _add_pids(self, pids: Iterable[int]) -> None:
        for pid in pids:
            self._maps["filter_pids"].update(struct.pack("=I", pid), _YES)

    def _add_children(self, pids: frozenset[int]) -> None:
        """What they have forked so far. What a child forks before it is in the map is found by looking again."""
        known: set[int] = set()
        while new := descendants(pids | known) - known:
            with contextlib.suppress(OSError):  # full
                self._add_pids(new)
            known |= new

    def _set_kinds(self, kinds: int) -> None:
        self._maps["filter_kinds"].update(struct.pack("=I", 0), struct.pack("=I", kinds))


def _as_comm(name: str) -> bytes:
    """The part of a name that the kernel keeps."""
    return name.encode()[:_COMM_LEN]
