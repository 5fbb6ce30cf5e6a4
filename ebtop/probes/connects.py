"""connects: how long connect() took, how it ended, and which ones still wait."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence

from ebtop.kernel.attach import RawTracepoint
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment, Module
from ebtop.probes.base import Context, Probe, Settings, address_text, comm_text, errno_name
from ebtop.store.records import Batch, ConnectHistogram, ConnectRecord, Record

_RESULTS = {"ECONNREFUSED": "refused", "ETIMEDOUT": "timeout", "EHOSTUNREACH": "unreachable",
            "ENETUNREACH": "unreachable", "ENETDOWN": "unreachable", "EHOSTDOWN": "unreachable"}  # fmt: skip


class ConnectsProbe(Probe):
    """Source: raw tracepoint inet_sock_set_state, from SYN_SENT to what comes after."""

    name = "connects"
    artifact = "connects"
    summary = "slow and failed TCP connects, latency of all"
    backed_up = frozenset({"on_state", "on_state_missed"})

    def __init__(self, module: Module, context: Context, required: Mapping[str, Probe]) -> None:
        super().__init__(module, context, required)
        self._threshold_ns = int(context.settings.min_latency_ms * 1e6)
        self._pending = struct.Struct(module.artifact.layouts["pending.value"].format)

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [
            Attachment("on_state", RawTracepoint("inet_sock_set_state")),
            Attachment("on_state_missed", RawTracepoint("inet_sock_set_state")),
        ]

    @classmethod
    def constants(cls, settings: Settings) -> dict[str, int]:
        return {"connects.min_latency_ns": int(settings.min_latency_ms * 1e6)}

    @classmethod
    def sizes(cls, settings: Settings) -> dict[str, int]:
        # Without a threshold every connect is an event of its own.
        return {"connect_events": 1 << 20} if settings.min_latency_ms == 0 else {}

    @classmethod
    def blind_spots(cls, environment: Environment) -> tuple[str, ...]:
        return (
            "connects that fail for want of a route, before a SYN is sent, are not seen",
            "connects that were waiting before the probe was loaded are not seen",
        )

    def drain(self) -> list[Record]:
        offset, path = self.context.clock.offset_ns, self.context.cgroups.path
        records: list[Record] = []
        for (
            at, key, latency, cgroup, pid, uid, local, remote, netns, family, local_port, remote_port, error,
            connected, _unused, comm,
        ) in self.module.drain("connect_events", "connect_event"):  # fmt: skip
            ip, daddr = address_text(family, remote)
            name = None if connected else errno_name(error)
            result = "ok" if connected else _RESULTS.get(name or "", "aborted")
            records.append(
                ConnectRecord(
                    at + offset, pid, comm_text(comm), uid, path(cgroup), key, ip, address_text(family, local)[1],
                    local_port, daddr, remote_port, latency / 1e6, result, name, netns,
                )
            )  # fmt: skip
        return records

    def poll(self, batch: Batch) -> Batch:
        """Adds the histogram and the connects that wait for longer than the threshold."""
        counts = self.module.maps["histogram"].percpu_u64()
        half = len(counts) // 2
        return batch._replace(
            connect_histogram=ConnectHistogram(tuple(counts[:half]), tuple(counts[half:])),
            pending_connects=tuple(self._waiting()),
        )

    def _waiting(self) -> list[ConnectRecord]:
        now, offset, path = time.monotonic_ns(), self.context.clock.offset_ns, self.context.cgroups.path
        found = []
        for keys, values in self.module.maps["pending"].batches():
            for (key,), entry in zip(struct.iter_unpack("=Q", keys), self._pending.iter_unpack(values), strict=True):
                started, cgroup, pid, uid, remote, netns, family, port, comm = entry
                if now - started < self._threshold_ns:
                    continue
                ip, daddr = address_text(family, remote)
                found.append(
                    ConnectRecord(
                        now + offset, pid, comm_text(comm), uid, path(cgroup), key, ip, "", 0, daddr, port,
                        (now - started) / 1e6, "pending", None, netns,
                    )
                )  # fmt: skip
        return found
