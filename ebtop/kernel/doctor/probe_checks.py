"""What each probe needs from the kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ebtop.kernel.doctor.node import Node
from ebtop.store.check import Check, Status


class Hooks(NamedTuple):
    """What a probe can't do without."""

    raw_tracepoints: tuple[str, ...]
    iterators: tuple[str, ...] = ()


HOOKS: Mapping[str, Hooks] = {
    "exec": Hooks(("sched_process_exec", "sched_process_exit")),
    "tcp": Hooks(("inet_sock_set_state", "tcp_rcv_space_adjust"), ("tcp", "bpf_map_elem")),
    "retransmits": Hooks(
        ("tcp_retransmit_skb", "tcp_retransmit_synack", "inet_sock_set_state", "tcp_rcv_space_adjust")
    ),
    "connects": Hooks(("inet_sock_set_state",)),
    "offcpu": Hooks(("sched_switch", "sched_waking")),
}
_OPTIONAL = frozenset(("offcpu",))
"""Without these ebtop is whole: nobody is shown them who did not ask."""


def cpu(node: Node) -> Check:
    """Opens the event that samples are taken by."""
    need = "perf_event_open(2) opens the CPU clock"
    try:
        node.attempts.open_sampler()
    except OSError as error:
        return Check("probe cpu", "fail", f"refused: {error.strerror}", need)
    return Check("probe cpu", "ok", "the CPU clock can be sampled", need)


def hook_checks() -> list[Callable[[Node], Check]]:
    """One check for each probe that hooks into named places."""

    def check_of(probe: str, hooks: Hooks) -> Callable[[Node], Check]:
        return lambda node: _hooks(node, probe, hooks)

    return [check_of(probe, hooks) for probe, hooks in HOOKS.items()]


def _hooks(node: Node, probe: str, hooks: Hooks) -> Check:
    """The kernel's types name them: typedef btf_trace_NAME of a raw tracepoint, function bpf_iter__NAME."""
    types = {f"tracepoint {name}": f"btf_trace_{name}" for name in hooks.raw_tracepoints}
    types |= {f"iterator {name}": f"bpf_iter__{name}" for name in hooks.iterators}
    name, need = f"probe {probe}", ", ".join(types)
    if node.btf is None:
        return Check(name, "warn" if probe in _OPTIONAL else "fail", "unknown without BTF", need)
    missing = [hook for hook, type_name in types.items() if not node.has_type(type_name)]
    if missing:
        status: Status = "warn" if probe in _OPTIONAL else "fail"
        return Check(name, status, f"this kernel has no {', no '.join(missing)}", need)
    return Check(name, "ok", f"all {len(types)} hooks are there" if len(types) > 1 else "its hook is there", need)
