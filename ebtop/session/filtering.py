"""What the kernel is asked to filter, kept over unloading and loading: for all probes, and more for some of them."""

from __future__ import annotations

from collections.abc import Callable

from ebtop.errors import EbtopError
from ebtop.probes import REGISTRY
from ebtop.probes.children import ChildrenProbe
from ebtop.probes.filters import FilterSpec, KernelFilter, decidable, describe
from ebtop.session.probe_set import ProbeSet
from ebtop.store.records import Record
from ebtop.store.selection import Pushed

_CHILDREN = ChildrenProbe.name


class Filtering:
    """Applies the filters as soon as there are maps to write them to. One thread only."""

    def __init__(self, probes: ProbeSet, spec: FilterSpec, log: Callable[[str], None]) -> None:
        self._set = probes
        self._spec = spec
        self._log = log
        self._kernel: KernelFilter | None = None
        self._pushed: Pushed | None = None
        self._probes: frozenset[str] = frozenset()

    @property
    def narrowed(self) -> tuple[str, tuple[str, ...]]:
        """What for people, and which probes; ("", ()) for none."""
        if self._pushed is None:
            return "", ()
        return describe(self._pushed), tuple(name for name in REGISTRY if name in self._probes)

    def probe_loaded(self) -> None:
        """Filter from the first probe on. A filter that can't be applied must not show everything instead."""
        if self._kernel is not None:
            return
        self._kernel = KernelFilter(self._set.filter_maps(), self._set.context.hierarchy)
        try:
            # First: nothing passes before the filter for all is applied, and then no more than what passes both.
            self.narrow(self._pushed, self._probes)
        except EbtopError as error:  # as when its cgroup is gone: seeing more than asked for does no harm
            self._log(f"no longer filtered by {self.narrowed[0]}: {error.line()}")
            self._pushed, self._probes = None, frozenset()
        try:
            self.apply(self._spec)
        except EbtopError:
            self._set.close()
            self._kernel = None
            raise

    def probe_unloaded(self) -> None:
        """The last one takes the maps with it."""
        if not self._set.filter_maps():
            self._kernel = None

    def apply(self, spec: FilterSpec) -> None:
        """Filter all probes by `spec` from now on. Raises EbtopError and changes nothing if it can't."""
        try:
            if self._kernel is not None:
                self._load_children(spec, self._pushed)
                self._kernel.apply(spec)
            self._spec = spec
        finally:
            self._unload_children()

    def narrow(self, pushed: Pushed | None, probes: frozenset[str]) -> None:
        """Filter these probes by `pushed` as well, as far as the kernel can decide it, and no other one; None = none.

        Raises EbtopError and changes nothing if it can't.
        """
        if unknown := sorted(probes - REGISTRY.keys()):
            raise EbtopError(f"there is no probe {unknown[0]}")
        pushed = decidable(pushed) if probes else None
        probes = probes if pushed is not None else frozenset()
        try:
            if self._kernel is not None:
                self._load_children(self._spec, pushed)
                self._kernel.narrow(pushed, probes)
            self._pushed, self._probes = pushed, probes
        finally:
            self._unload_children()

    def refresh(self) -> None:
        """Once a second: follow cgroups that were made meanwhile."""
        if self._kernel is not None:
            self._kernel.refresh()

    def predicate(self, probe: str, *, ended: bool = False) -> Callable[[Record], bool] | None:
        """What passes for a probe, for records that come from looking; None = everything.

        `ended`: they are of processes that are gone.
        """
        return self._kernel.predicate(probe, ended=ended) if self._kernel is not None else None

    def _load_children(self, spec: FilterSpec, pushed: Pushed | None) -> None:
        """Before the filter is written: what is forked or made meanwhile must not slip through."""
        if _grows(spec, pushed):
            self._set.load(_CHILDREN)

    def _unload_children(self) -> None:
        if not _grows(self._spec, self._pushed) and _CHILDREN in self._set.loaded:
            self._set.unload(_CHILDREN)


def _grows(spec: FilterSpec, pushed: Pushed | None) -> bool:
    return spec.grows or (pushed is not None and bool(pushed.cgroups))
