"""--pid, --comm and --cgroup, and narrowing of single probes, pushed into the kernel through maps that all share."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ebtop.errors import EbtopError
from ebtop.kernel.cgroups import CgroupHierarchy, subtree_ids
from ebtop.kernel.descendants import descendants
from ebtop.kernel.maps import Map
from ebtop.probes import REGISTRY, filter_slot
from ebtop.probes.children import ChildrenProbe
from ebtop.store.records import Record
from ebtop.store.selection import Pushed
from ebtop.text import printable

SHARED_MAPS = ("filter_kinds", "filter_pids", "filter_comms", "filter_cgroups")
_PID, _COMM, _CGROUP, _CHILDREN, _READY = 1, 2, 4, 8, 16
"""enum filter_kind of bpf/filter.h."""
_BASE, _NARROWED = 0, 1
"""enum filter_set of bpf/filter.h."""
_NARROWED_SHIFT = 8
_COMM_LEN = 15
_MAX_NAMED = 8
_YES = b"\1"


class FilterSpec(NamedTuple):
    """What to look at; empty = everything. Kinds are combined with "and", values of one kind with "or"."""

    pids: frozenset[int] = frozenset()
    children: bool = False
    """Also what the pids have forked and will fork, over any number of generations."""
    comms: frozenset[str] = frozenset()
    """Names of tasks; what is told under the name of a process (CPU samples, exits) passes by that name too."""
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
        return _describe(self.pids, self.children, self.comms, self.cgroups)


def describe(pushed: Pushed) -> str:
    """What is narrowed to, for people."""
    return _describe(pushed.pids, False, pushed.comms, pushed.cgroups)


def decidable(pushed: Pushed | None) -> Pushed | None:
    """What of it the kernel can decide, never less than it; None = nothing.

    The kernel compares names byte by byte; one that is written with a backslash may have stood for other bytes.
    """
    if pushed is not None and any("\\" in comm for comm in pushed.comms):
        pushed = pushed._replace(comms=frozenset())
    return pushed or None


class KernelFilter:
    """Writes a FilterSpec into the maps, and what single probes are narrowed to, at any time.

    Each probe has the kinds of values that it asks for in one number: it changes from one filter to another at once.
    The values of both filters are in the maps by then.
    """

    def __init__(self, maps: Mapping[str, Map], hierarchy: CgroupHierarchy) -> None:
        self._kinds = maps["filter_kinds"]
        self._pids = _Members(maps["filter_pids"], "=II", "pids")
        self._comms = _Members(maps["filter_comms"], "=16sI", "names")
        self._cgroups = _Members(maps["filter_cgroups"], "=QQ", "cgroups")
        self._hierarchy = hierarchy
        self._spec = FilterSpec()
        self._pushed: Pushed | None = None
        self._probes: frozenset[str] = frozenset()
        self._cgroup_ids: dict[int, set[int]] = {_BASE: set(), _NARROWED: set()}
        self._applied = False

    def apply(self, spec: FilterSpec) -> None:
        """Filter by `spec` from now on; (children) must be loaded where `spec.grows`.

        Raises EbtopError, and changes nothing, for a cgroup that is not there or more than the maps hold.
        """
        cgroup_ids = self._ids(spec.cgroups)
        self._pids.check_room(_BASE, spec.pids)
        self._comms.check_room(_BASE, spec.comms)
        self._cgroups.check_room(_BASE, cgroup_ids)
        children = _CHILDREN if spec.children else 0
        # Everything passes while the maps are rewritten, too much for a moment rather than a gap; but nothing before
        # they are written for the first time.
        self._set_kinds(children | (_READY if self._applied else 0))
        for members in (self._pids, self._comms, self._cgroups):
            members.clear(_BASE)
        self._comms.add(_BASE, _comm_keys(spec.comms))
        self._cgroups.add(_BASE, cgroup_ids)
        self._pids.add(_BASE, spec.pids)
        if spec.children:
            self._add_children(spec.pids)
        self._spec, self._cgroup_ids[_BASE] = spec, cgroup_ids
        self._applied = True
        self._set_kinds(self._base_kinds())
        self._follow(_BASE, spec.cgroups)

    def narrow(self, pushed: Pushed | None, probes: Iterable[str]) -> None:
        """Let these probes hear only what is also in `pushed`; None = all that passes the base.

        For cgroups (children) must be loaded. Raises EbtopError, and changes nothing, for a cgroup that is not there
        or more than the maps hold. It is for what is `decidable`.
        """
        wanted = pushed or Pushed()
        cgroup_ids = self._ids(wanted.cgroups)
        values: list[tuple[_Members, set[Any]]] = [
            (self._pids, set(wanted.pids)),
            (self._comms, _comm_keys(wanted.comms)),
            (self._cgroups, cgroup_ids),
        ]
        before = [members.of(_NARROWED) for members, _ in values]
        try:
            for members, new in values:
                members.add(_NARROWED, new)
        except OSError:
            for (members, new), old in zip(values, before, strict=True):
                members.remove(_NARROWED, new - old)
            raise EbtopError("can't filter by so much", "a map of the filter is full", "choose less") from None
        self._pushed, self._probes = pushed, frozenset(probes)
        self._cgroup_ids[_NARROWED] = cgroup_ids
        self._set_kinds(self._base_kinds())
        self._follow(_NARROWED, wanted.cgroups)
        for (members, new), old in zip(values, before, strict=True):
            members.remove(_NARROWED, old - new)

    def refresh(self) -> None:
        """Follow cgroups that were made below the wanted ones since, should the kernel not have told."""
        self._follow(_BASE, self._spec.cgroups)
        self._follow(_NARROWED, self._pushed.cgroups if self._pushed is not None else ())

    def predicate(self, probe: str, *, ended: bool = False) -> Callable[[Record], bool] | None:
        """The decision for a probe in user space, as of now, for records that come from looking (open connections).

        None = everything passes. `ended`: they are of processes that are gone; whose child such a one was, the kernel
        has forgotten with it, so that the pid is not asked for where children pass.
        """
        spec, pids = self._spec, self._spec.pids
        if spec.children:
            pids = frozenset() if ended else frozenset(self._pids.of(_BASE))
        decisions = []
        if spec:
            decisions.append(self._passes(pids, spec.comms, spec.cgroups))
        if self._pushed is not None and probe in self._probes:
            decisions.append(self._passes(*self._pushed))
        return (lambda record: all(passes(record) for passes in decisions)) if decisions else None

    def _passes(
        self, pids: frozenset[int], names: frozenset[str], cgroups: tuple[str, ...]
    ) -> Callable[[Record], bool]:
        comms = {printable(_as_comm(name)) for name in names}
        mount = self._hierarchy.mount
        tops = [f"/{cgroup.removeprefix(mount).strip('/')}".rstrip("/") for cgroup in cgroups]

        def passes(record: Record) -> bool:
            if pids and record.pid not in pids:
                return False
            if comms and record.comm not in comms:
                return False
            if not tops:
                return True
            path = record.cgroup
            return path is not None and any(path == top or path.startswith(f"{top}/") for top in tops)

        return passes

    def _ids(self, cgroups: Iterable[str]) -> set[int]:
        return {i for path in cgroups for i in subtree_ids(self._hierarchy, path)}

    def _follow(self, chosen: int, cgroups: Iterable[str]) -> None:
        wanted: set[int] = set()
        for path in cgroups:
            with contextlib.suppress(EbtopError):  # gone meanwhile
                wanted |= subtree_ids(self._hierarchy, path)
        with contextlib.suppress(OSError):  # full: what (children) finds no room for is counted there
            self._cgroups.add(chosen, wanted - self._cgroup_ids[chosen])
        self._cgroup_ids[chosen] = wanted

    def _add_children(self, pids: frozenset[int]) -> None:
        """What they have forked so far. What a child forks before it is in the map is found by looking again."""
        known: set[int] = set()
        while new := descendants(pids | known) - known:
            with contextlib.suppress(OSError):  # full
                self._pids.add(_BASE, new)
            known |= new

    def _base_kinds(self) -> int:
        spec = self._spec
        return (
            (_READY if self._applied else 0)
            | (_CHILDREN if spec.children else 0)
            | _kinds(spec.pids, spec.comms, spec.cgroups)
        )

    def _set_kinds(self, base: int) -> None:
        narrowed = _kinds(*self._pushed) << _NARROWED_SHIFT if self._pushed is not None else 0
        slots = {filter_slot(name) for name in self._probes}
        if self._pushed is not None and self._pushed.cgroups:
            slots.add(filter_slot(ChildrenProbe.name))
        for slot in {filter_slot(name) for name in REGISTRY}:
            kinds = base | (narrowed if slot in slots else 0)
            self._kinds.update(struct.pack("=I", slot), struct.pack("=I", kinds))


class _Members:
    """The values in one of the maps, each in one set or in both."""

    def __init__(self, values: Map, key: str, what: str) -> None:
        self._map = values
        self._key = struct.Struct(key)
        self._what = what

    def of(self, chosen: int) -> set[Any]:
        found = [key for keys, _ in self._map.batches() for key in self._key.iter_unpack(keys)]
        return {value for value, of in found if of == chosen}

    def add(self, chosen: int, values: Iterable[Any]) -> None:
        """Raises OSError when the map is full, with some of them in."""
        for value in values:
            self._map.update(self._key.pack(value, chosen), _YES)

    def remove(self, chosen: int, values: Iterable[Any]) -> None:
        for value in values:
            self._map.delete(self._key.pack(value, chosen))

    def clear(self, chosen: int) -> None:
        self.remove(chosen, self.of(chosen))

    def check_room(self, chosen: int, values: Iterable[Any]) -> None:
        """Whether they fit in once they replace those of this set. Raises EbtopError."""
        wanted = len(set(values))
        room = self._map.spec.max_entries - len(self.of(1 - chosen))
        if wanted > room:
            raise EbtopError(f"can't filter by {wanted} {self._what}", f"there is room for {room}", "name fewer")


def _kinds(pids: frozenset[int], comms: frozenset[str], cgroups: tuple[str, ...]) -> int:
    return (_PID if pids else 0) | (_COMM if comms else 0) | (_CGROUP if cgroups else 0)


def _describe(pids: frozenset[int], children: bool, comms: frozenset[str], cgroups: tuple[str, ...]) -> str:
    parts = []
    if pids:
        numbers = f"pid {','.join(map(str, sorted(pids)))}" if len(pids) <= _MAX_NAMED else f"{len(pids)} pids"
        parts.append(numbers + (" and children" if children else ""))
    if comms:
        parts.append(f"comm {','.join(sorted(comms))}")
    if cgroups:
        parts.append(f"cgroup {','.join(cgroups)}")
    return " ".join(parts)


def _comm_keys(names: Iterable[str]) -> set[bytes]:
    return {_as_comm(name).ljust(_COMM_LEN + 1, b"\0") for name in names}


def _as_comm(name: str) -> bytes:
    """The part of a name that the kernel keeps."""
    return name.encode()[:_COMM_LEN]
