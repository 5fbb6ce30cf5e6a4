"""What this process may do."""

from __future__ import annotations

import errno

from ebtop.kernel.doctor.node import Node
from ebtop.store.check import Check

_REQUIRED = ("CAP_BPF", "CAP_PERFMON")
_USED_FOR = {
    "CAP_SYS_ADMIN": "the programs' cost, network namespaces of containers",
    "CAP_NET_ADMIN": "connections older than ebtop",
    "CAP_SYS_PTRACE": "symbols and sockets of other users' processes",
}


def capabilities(node: Node) -> Check:
    """CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON."""
    held = node.capabilities
    need = f"{' and '.join(_REQUIRED)}; {', '.join(_USED_FOR)} to see everything"
    fix = "sudo ebtop" if node.uid else "docker run --privileged --pid=host"
    missing = [name for name in _REQUIRED if name not in held]
    if missing:
        return Check("capabilities", "fail", f"missing {', '.join(missing)}", need, fix)
    lost = [f"{name} ({purpose})" for name, purpose in _USED_FOR.items() if name not in held]
    if lost:
        return Check("capabilities", "warn", f"missing {', '.join(lost)}", need, fix)
    return Check("capabilities", "ok", "all that ebtop uses", need)


def bpf(node: Node) -> Check:
    """Loads a program of two instructions."""
    need = "bpf(2) loads a tracing program"
    try:
        node.attempts.load_program()
    except OSError as error:
        return Check("bpf", "fail", f"refused: {error.strerror}{_suspect(node, error)}", need)
    return Check("bpf", "ok", "a program was loaded", need)


def _suspect(node: Node, error: OSError) -> str:
    """Who refused, where it can be told."""
    if error.errno == errno.ENOSYS:
        return ", this kernel has no BPF"
    if error.errno not in (errno.EPERM, errno.EACCES) or any(name not in node.capabilities for name in _REQUIRED):
        return ""
    if node.status.get("Seccomp") == "2":
        return ", by a seccomp filter (as containers have) or a security module"
    return ", by a security module or a lockdown"
