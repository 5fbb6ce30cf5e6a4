"""Which probes are loaded: loading with what they require, sharing maps, unloading with proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from ebtop.errors import EbtopError
from ebtop.kernel import accounting, map_budget
from ebtop.kernel.artifact import Artifact, MapSpec
from ebtop.kernel.cgroups import CgroupHierarchy, CgroupNames
from ebtop.kernel.compiler import Compiler
from ebtop.kernel.environment import Environment
from ebtop.kernel.maps import Map
from ebtop.kernel.module import LoadError, Module, create_map
from ebtop.probes import REGISTRY, filter_slot
from ebtop.probes.base import Clock, Context, Probe, Settings
from ebtop.probes.children import ChildrenProbe
from ebtop.probes.filters import SHARED_MAPS as FILTER_MAPS
from ebtop.probes.sockets import SHARED_MAPS as SOCKET_MAPS
from ebtop.session.interpreter_feed import SHARED_MAPS as INTERPRETER_MAPS
from ebtop.store.source import UnloadProof
from ebtop.unwind import maps as unwind_maps
from ebtop.unwind.arena import BUDGET
from ebtop.unwind.handed_over import HandedOver
from ebtop.unwind.unwinder import Unwinder

MAP_CAP_BYTES = 32 << 20
_CHILDREN = ChildrenProbe.name
_TABLES = "unwind_tables"
_SHARED = (*FILTER_MAPS, *SOCKET_MAPS, *INTERPRETER_MAPS, *unwind_maps.SHARED_MAPS)


class Loaded(NamedTuple):
    """A probe in the kernel."""

    probe: Probe
    module: Module
    notes: tuple[str, ...]


class ProbeSet:
    """The loaded probes. One thread only."""

    def __init__(self, settings: Settings, log: Callable[[str], None], map_cap: int = MAP_CAP_BYTES) -> None:
        """`map_cap` bounds the memory that the maps of all probes can take, in bytes."""
        self._settings = settings
        self._log = log
        self._map_cap = map_cap
        self._compiler = Compiler(log=log)
        self._environment: Environment | None = None
        hierarchy = CgroupHierarchy.detect()
        self.context = Context(settings, Clock(), hierarchy, CgroupNames(hierarchy))
        self.loaded: dict[str, Loaded] = {}
        self.shared: dict[str, Map] = {}
        self.handed_over = HandedOver()
        self.unwinder: Unwinder | None = None
        """Runs while a probe needs unwind tables."""
        self._cannot_unwind = False

    def load(self, name: str) -> None:
        """Load a probe and what it requires; nothing happens when it is there. Raises EbtopError."""
        if name in self.loaded:
            return
        kind = REGISTRY[name]
        for required in kind.requires:
            self.load(required)
        try:
            self.loaded[name] = self._load(kind)
        except EbtopError as error:
            if isinstance(error, LoadError):
                self._log_verifier(name, error)
            self._unload_unneeded()
            self._free_shared()
            raise

    def complete(self) -> None:
        """Load what probes could do without until all of them run. What fails is logged; the probes go on without."""
        self._unwind()
        for name, loaded in self.loaded.items():
            try:
                loaded.module.attach_later()
            except LoadError as error:
                self._log_verifier(name, error)
                self._log(f"{name}: {error.line()}")

    def _unwind(self) -> None:
        """Run an unwinder if there is a probe for it, with what memory the maps leave."""
        left = min(BUDGET, self._map_cap - self._bytes_at_most())
        if self.unwinder is not None:
            self.unwinder.budget = left
            return
        user = next((loaded for loaded in self.loaded.values() if _TABLES in loaded.module.maps), None)
        if user is None or self._cannot_unwind:
            return
        layouts = user.module.artifact.layouts
        try:
            self.unwinder = Unwinder(self.shared, layouts, self.handed_over, self._log, left)
        except OSError as error:
            self._cannot_unwind = True
            self._log(f"stacks are walked by frame pointers only: unwind maps: {error.strerror}")
            return
        self.unwinder.start()

    def unload(self, name: str) -> UnloadProof:
        """Unload a probe, and what only it required. Raises EbtopError when it is not loaded, or others need it."""
        if name not in self.loaded:
            raise EbtopError(f"{name} is not loaded")
        if users := self._users(name):
            raise EbtopError(f"{name} can't be unloaded", f"{', '.join(users)} needs it", f"unload {users[0]} first")
        began = time.monotonic()
        programs, maps, remaining = self._unload(name)
        for more_programs, more_maps, more_remaining in self._unload_unneeded():
            programs, maps, remaining = programs + more_programs, maps + more_maps, remaining + more_remaining
        kept = [
            f"{required} stays for {', '.join(self._users(required))}"
            for required in REGISTRY[name].requires
            if required in self.loaded
        ]
        return UnloadProof(name, programs, maps, time.monotonic() - began, remaining, "; ".join(kept))

    def set_hertz(self, hertz: int) -> None:
        """The sampling rate of what is loaded from now on."""
        self._settings = replace(self._settings, hertz=hertz)
        self.context = replace(self.context, settings=self._settings)

    def pull(self) -> float:
        """Empty the kernel's side of all ring buffers; from any thread. Returns how full the fullest was, 0..1."""
        return max((loaded.module.pull() for loaded in tuple(self.loaded.values())), default=0.0)

    @property
    def waiting(self) -> bool:
        """Whether there is more to drain at once."""
        return any(loaded.module.waiting for loaded in self.loaded.values())

    def detach(self) -> None:
        """Nothing runs any more; what was collected can still be drained."""
        for loaded in self.loaded.values():
            loaded.module.detach()

    def close(self) -> tuple[UnloadProof, ...]:
        """Unload everything."""
        chosen = [name for name in self.loaded if not name.startswith("(")]
        proofs = [self.unload(name) for name in chosen]
        proofs += [self.unload(name) for name in tuple(self.loaded)]
        self.forget_kernel()
        return tuple(proofs)

    def forget_kernel(self) -> None:
        """Free the kernel's types (10 MB); they are read again for the next load."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def filter_maps(self) -> Mapping[str, Map]:
        """The maps of the in-kernel filter; they exist once any probe is loaded."""
        return {name: self.shared[name] for name in FILTER_MAPS if name in self.shared}

    def _load(self, kind: type[Probe]) -> Loaded:
        environment = self._kernel()
        artifact = self._compiler.artifact(kind.artifact, kind.headers(self._settings))
        attachments = kind.attachments(environment, self._settings)
        self._create_shared(artifact)
        module = Module(
            artifact,
            attachments,
            environment,
            maps=self._sized_maps(kind, artifact),
            shared=self.shared,
            constants={"filter.slot": filter_slot(kind.name)},
            later=kind.later_attachments(self._settings),
        )
        try:
            probe = kind(module, self.context, {name: self.loaded[name].probe for name in kind.requires})
        except BaseException:
            module.close()
            raise
        return Loaded(probe, module, kind.blind_spots(environment))

    def _log_verifier(self, name: str, error: LoadError) -> None:
        for line in error.log.splitlines():
            self._log(f"{name}: verifier: {line}")

    def _kernel(self) -> Environment:
        if self._environment is None:
            constants: dict[str, int] = {}
            for kind in REGISTRY.values():
                constants.update(kind.constants(self._settings))
            self._environment = Environment(constants)
        return self._environment

    def _sized_maps(self, kind: type[Probe], artifact: Artifact) -> list[MapSpec]:
        sizes = kind.sizes(self._settings)
        wanted = [spec._replace(max_entries=sizes.get(spec.name, spec.max_entries)) for spec in artifact.maps]
        own = [spec for spec in wanted if spec.name not in self.shared]
        fitted = {spec.name: spec for spec in self._fit(kind.name, own)}
        return [fitted.get(spec.name, spec) for spec in wanted]

    def _fit(self, who: str, specs: list[MapSpec]) -> list[MapSpec]:
        """The maps, together at most half of what the cap leaves, so that who comes later finds room too."""
        left = self._map_cap - self._bytes_at_most()
        fitted = map_budget.fit(specs, left // 2)
        if fitted != specs:
            over = sum(map(map_budget.bytes_at_most, fitted)) - left
            more = f", which {over >> 10} KiB still do not fit in" if over > 0 else ""
            self._log(f"{who}: smaller maps, for a cap of {self._map_cap >> 20} MiB on all of them{more}")
        return fitted

    def _bytes_at_most(self) -> int:
        own = (m for loaded in self.loaded.values() for m in loaded.module.own_maps().values())
        return sum(map_budget.bytes_at_most(m.spec) for m in (*own, *self.shared.values()))

    def _create_shared(self, artifact: Artifact) -> None:
        sizes = {**REGISTRY["(sockets)"].sizes(self._settings), **unwind_maps.SIZES}
        missing = [
            spec._replace(max_entries=sizes.get(spec.name, spec.max_entries))
            for spec in artifact.maps
            if spec.name in _SHARED and spec.name not in self.shared
        ]
        for spec in self._fit(artifact.name, missing):
            inner = self.shared.get(unwind_maps.INNER.get(spec.name, ""))
            self.shared[spec.name] = create_map(artifact.name, spec, inner)

    def _users(self, name: str) -> list[str]:
        return [other for other in self.loaded if name in REGISTRY[other].requires]

    def _unload(self, name: str) -> tuple[int, int, tuple[str, ...]]:
        """Programs and maps that went, and the ids that did not."""
        loaded = self.loaded.pop(name)
        loaded.probe.close()
        result = loaded.module.unload()
        maps, remaining = self._free_shared()
        return result.programs, result.maps + maps, result.remaining_ids + remaining

    def _unload_unneeded(self) -> list[tuple[int, int, tuple[str, ...]]]:
        """Internal probes that no loaded one requires, and all of them once nothing that people chose is left."""
        required = {r for name in self.loaded for r in REGISTRY[name].requires}
        optional = {_CHILDREN} if any(not name.startswith("(") for name in self.loaded) else set()
        unneeded = [name for name in self.loaded if name.startswith("(") and name not in required | optional]
        return [self._unload(name) for name in unneeded]

    def _free_shared(self) -> tuple[int, tuple[str, ...]]:
        """Close shared maps that no loaded probe uses any more."""
        used = {spec.name for loaded in self.loaded.values() for spec in loaded.module.artifact.maps}
        unused = [name for name in self.shared if name not in used]
        tables: list[int] = []
        if _TABLES in unused and self.unwinder is not None:
            tables = self.unwinder.stop()
            self.unwinder = None
        ids = tables + [accounting.map_id(self.shared[name].fd) for name in unused]
        for name in unused:
            self.shared.pop(name).close()
        return len(ids), accounting.wait_until_gone([], ids, 2.0)
