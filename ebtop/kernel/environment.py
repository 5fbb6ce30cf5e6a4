"""What loading needs to know about this kernel, read once: types, tracepoint formats, which cgroup hierarchy counts."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Mapping

from ebtop.kernel.btf import VMLINUX, Btf
from ebtop.kernel.cgroups import CgroupHierarchy
from ebtop.kernel.relocation import Target
from ebtop.kernel.tracefs import Tracefs, TracepointField

_CGROUP_V2 = 0xFFFF


class Environment:
    """The running kernel, as far as the loader is concerned."""

    def __init__(self, constants: Mapping[str, int], btf_path: str = VMLINUX) -> None:
        """`constants` are load-time constants as "probe.name". Raises EbtopError without readable BTF."""
        btf = Btf.read(btf_path)
        self.tracefs_error = ""
        self._tracefs: Tracefs | None = None
        try:
            self._tracefs = Tracefs.open()
        except OSError as error:
            self.tracefs_error = error.strerror or str(error)
        self._fields: dict[str, Mapping[str, TracepointField]] = {}
        self.cgroups = CgroupHierarchy.detect()
        controllers = btf.enum_values("cgroup_subsys_id") or {}
        controller = controllers.get(f"{self.cgroups.controller}_cgrp_id", _CGROUP_V2)
        self.target = Target(btf, self._tracepoint_fields, {"ebtop.cgroup_controller": controller, **constants})
        # Before Linux 5.11 BPF memory counts as locked memory; without CAP_SYS_RESOURCE the limit stays.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def close(self) -> None:
        """Give back what was opened."""
        if self._tracefs is not None:
            self._tracefs.close()
            self._tracefs = None

    def event_id(self, event: str) -> int:
        """tracefs id of "category:event"; raises OSError when it can't be known."""
        if self._tracefs is None:
            raise FileNotFoundError(2, f"tracefs is not readable ({self.tracefs_error})")
        return self._tracefs.event_id(event)

    def has_event(self, event: str) -> bool:
        """Whether tracefs knows "category:event"."""
        try:
            return bool(self._tracepoint_fields(event))
        except OSError:
            return False

    def has_raw_tracepoint(self, name: str) -> bool:
        """Whether this kernel has the tracepoint."""
        return self.target.btf.raw_tracepoint_args(name) is not None

    def has_helper(self, name: str) -> bool:
        """Whether this kernel has the BPF helper bpf_NAME."""
        return f"BPF_FUNC_{name}" in (self.target.btf.enum_values("bpf_func_id") or {})

    def _tracepoint_fields(self, event: str) -> Mapping[str, TracepointField]:
        if event not in self._fields:
            if self._tracefs is None:
                raise FileNotFoundError(2, "tracefs is not readable")
            self._fields[event] = self._tracefs.fields(event)
        return self._fields[event]
