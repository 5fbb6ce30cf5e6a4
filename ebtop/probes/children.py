"""(children): lets what comes to be below filtered processes and cgroups through the filter too."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.kernel.attach import RawTracepoint
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment
from ebtop.probes.base import Probe, Settings


class ChildrenProbe(Probe):
    """Source: raw tracepoints sched_process_fork, _free, cgroup_mkdir and cgroup_rmdir. No records of its own."""

    name = "(children)"
    artifact = "filter_children"
    summary = "children of filtered processes and cgroups"

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [
            Attachment("on_fork", RawTracepoint("sched_process_fork")),
            Attachment("on_free", RawTracepoint("sched_process_free")),
            Attachment("on_mkdir", RawTracepoint("cgroup_mkdir")),
            Attachment("on_rmdir", RawTracepoint("cgroup_rmdir")),
        ]
