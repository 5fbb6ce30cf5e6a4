"""retransmits: TCP segments that had to be sent again."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.kernel.attach import RawTracepoint
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment
from ebtop.probes.base import OWNERS, Probe, Settings, address_text, comm_text, tcp_state
from ebtop.store.records import Record, RetransmitRecord

_KINDS = ("", "rto", "fast", "tlp", "syn", "synack")


class RetransmitsProbe(Probe):
    """Source: raw tracepoints tcp_retransmit_skb and tcp_retransmit_synack."""

    name = "retransmits"
    artifact = "retransmits"
    summary = "TCP segments sent again"
    requires = ("(sockets)",)

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        return [
            Attachment("on_retransmit", RawTracepoint("tcp_retransmit_skb")),
            Attachment("on_retransmit_synack", RawTracepoint("tcp_retransmit_synack")),
        ]

    @classmethod
    def blind_spots(cls, environment: Environment) -> tuple[str, ...]:
        if (environment.target.btf.raw_tracepoint_args("tcp_retransmit_skb") or 0) > 2:
            return ()
        return ("this kernel also reports segments that it then failed to send",)

    def drain(self) -> list[Record]:
        offset, path = self.context.clock.offset_ns, self.context.cgroups.path
        records: list[Record] = []
        for (
            time, cgroup, pid, uid, local, remote, netns, family, local_port, remote_port, state, kind, segments,
            owner, _unused, comm,
        ) in self.module.drain("retransmit_events", "retransmit_event"):  # fmt: skip
            ip, daddr = address_text(family, remote)
            known = pid != 0
            records.append(
                RetransmitRecord(
                    time + offset, pid, comm_text(comm), uid if known else None, path(cgroup) if known else None, ip,
                    address_text(family, local)[1], local_port, daddr, remote_port, tcp_state(state), segments,
                    _KINDS[kind], netns, OWNERS[owner],
                )
            )  # fmt: skip
        return records
