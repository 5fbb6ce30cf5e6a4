"""What each default probe needs from the kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ebtop.kernel.doctor.check import Check
from ebtop.kernel.doctor.node import Node

# Probe -> the raw tracepoints it attaches to.
RAW_TRACEPOINTS: Mapping[str, tuple[str, ...]] = {
    "exec": ("sched_process_exec", "sched_process_exit"),
    "tcp": ("inet_sock_set_state", "tcp_rcv_space_adjust"),
    "retransmits": ("inet_sock_set_state", "tcp_retransmit_skb", "tcp_retransmit_synack"),
    "connects": ("inet_sock_set_state",),
}


def cpu(node: Node) -> Check:
    """Opens the event that samples are taken by."""
    need = "perf_event_open(2) opens the CPU clock"
    try:
        node.attempts.open_sampler()
    except OSError as error:
        return Check("probe cpu", "fail", f"refused: {error.strerror}", need)
    return Check("probe cpu", "ok", "the CPU clock can be sampled", need)


def raw_tracepoint_checks() -> list[Callable[[Node], Check]]:
    """One check for each probe that attaches to raw tracepoints."""

    def check_of(probe: str, tracepoints: tuple[str, ...]) -> Callable[[Node], Check]:
        return lambda node: _raw_tracepoints(node, probe, tracepoints)

    return [check_of(probe, tracepoints) for probe, tracepoints in RAW_TRACEPOINTS.items()]


def _raw_tracepoints(node: Node, probe: str, tracepoints: tuple[str, ...]) -> Check:
    """Every raw tracepoint leaves a typedef btf_trace_NAME in the kernel's types."""
    name, need = f"probe {probe}", f"tracepoints {', '.join(tracepoints)}"
    if node.btf is None:
        return Check(name, "fail", "unknown without BTF", need)
    missing = [tracepoint for tracepoint in tracepoints if not node.has_type(f"btf_trace_{tracepoint}")]
    if missing:
        return Check(name, "fail", f"this kernel has no tracepoint {', '.join(missing)}", need)
    return Check(name, "ok", "all tracepoints are there", need)


def tcp_iterator(node: Node) -> Check:
    """Walks the open sockets, for live rates."""
    need = "the iterator tcp (Linux >= 5.9), for live rates"
    if node.has_type("bpf_iter__tcp"):
        return Check("tcp iterator", "ok", "present", need)
    return Check("tcp iterator", "warn", "not in this kernel", need)
