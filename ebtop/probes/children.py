"""(children): lets the processes that filtered ones fork through the filter too."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.kernel.attach import RawTracepoint
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment
from ebtop.probes.base import Probe, Settings


class ChildrenProbe(Probe):
    """Source: raw tracepoints sched_process_fork and sched_process_free. No records of its own."""

    name = "(children)"
    artifact = "filter_children"
    summary = "children of filtered processes"

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [
            Attachment("on_fork", RawTracepoint("sched_process_fork")),
            Attachment("on_free", RawTracepoint("sched_process_free")),
        ]
