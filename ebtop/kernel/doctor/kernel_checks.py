"""The kernel: what it is, and which of its settings let BPF programs in."""

from __future__ import annotations

import re

from ebtop.kernel.doctor.node import Node
from ebtop.store.check import Check, Status

_BTF_MAGIC = b"\x9f\xeb"
_SECURITYFS = "mount -t securityfs securityfs /sys/kernel/security"
_LOCKED_MEMORY = re.compile(r"^Max locked memory\s+(?:(?P<bytes>\d+)|unlimited)", re.MULTILINE)
_KALLSYMS_HEAD_BYTES = 65536
_SAMPLE_RATE_HZ = 49
_LOCKED_BYTES = 32 << 20


def kernel(node: Node) -> Check:
    """Ring buffers came with 5.8, the TCP iterator with 5.9; 5.10 is the oldest kernel with long-term support."""
    status: Status = "warn" if node.version is None else "ok" if node.at_least(5, 10) else "fail"
    return Check("kernel", status, node.release, ">= 5.10")


def architecture(node: Node) -> Check:
    """System call numbers and register layouts are known for these."""
    known = node.machine in ("x86_64", "aarch64")
    return Check("architecture", "ok" if known else "fail", node.machine, "x86_64 or aarch64")


def btf(node: Node) -> Check:
    """Programs find the members of kernel structs by it."""
    need = "a kernel built with CONFIG_DEBUG_INFO_BTF=y"
    if node.btf is None:
        return Check("btf", "fail", "/sys/kernel/btf/vmlinux can't be read", need)
    if not node.btf.startswith(_BTF_MAGIC):
        return Check("btf", "fail", "/sys/kernel/btf/vmlinux is not BTF of this byte order", need)
    return Check("btf", "ok", f"{len(node.btf) / 2**20:.1f} MiB of types", need)


def tracefs(node: Node) -> Check:
    """Formats of system call tracepoints; raw tracepoints and sampling work without."""
    need = "readable, for failed execs"
    try:
        return Check("tracefs", "ok", node.attempts.open_tracefs(), need)
    except OSError as error:
        reason = f"not readable: {error.strerror}"
        return Check("tracefs", "warn", reason, need, "mount -t tracefs tracefs /sys/kernel/tracing")


def jit(node: Node) -> Check:
    """Interpreted programs cost several times as much."""
    name, need = "/proc/sys/net/core/bpf_jit_enable", "1"
    fix = "sysctl -w net.core.bpf_jit_enable=1"
    value = node.number(name)
    if value is None:
        return Check("jit", "warn", f"unknown: {name} can't be read", need)
    if value == 2:
        return Check("jit", "warn", "2: every program is written to the kernel's log", need, fix)
    return Check("jit", "ok", str(value), need) if value else Check("jit", "warn", "0: off", need, fix)


def unprivileged_bpf(node: Node) -> Check:
    """Decides only about users without CAP_BPF, which ebtop does not run as."""
    meanings = {0: "allowed", 1: "off until the next boot", 2: "off"}
    value = node.number("/proc/sys/kernel/unprivileged_bpf_disabled")
    text = "unknown" if value is None else f"{value}: {meanings.get(value, 'unknown')}"
    return Check("unprivileged bpf", "ok", text, "any: ebtop runs with CAP_BPF")


def lockdown(node: Node) -> Check:
    """In its confidentiality mode nothing may read kernel memory, BPF programs included."""
    need = "none or integrity"
    try:
        text = node.security("lockdown")
    except FileNotFoundError:
        return Check("lockdown", "ok", "not part of this kernel", need)
    except OSError as error:
        return Check("lockdown", "warn", f"unknown: {error.strerror}", need, _SECURITYFS)
    mode = text.partition("[")[2].partition("]")[0] or text
    return Check("lockdown", "fail" if mode == "confidentiality" else "ok", mode, need)


def lsm(node: Node) -> Check:
    """With the bpf module an agent's own program may refuse ours."""
    need = "any; the bpf module may refuse programs"
    try:
        return Check("lsm", "ok", node.security("lsm"), need)
    except FileNotFoundError:
        return Check("lsm", "ok", "none", need)
    except OSError as error:
        return Check("lsm", "warn", f"unknown: {error.strerror}", need, _SECURITYFS)


def memlock(node: Node) -> Check:
    """Before Linux 5.11 maps and programs count as locked memory of the user."""
    if node.at_least(5, 11):
        return Check("memlock", "ok", "BPF memory is charged to the cgroup", "a limit of 32 MiB before Linux 5.11")
    need = "32 MiB, as BPF memory is locked memory before Linux 5.11"
    limit = _locked_memory_limit(node)
    if limit is None:
        return Check("memlock", "ok", "unlimited", need)
    value = f"{limit / 2**20:.1f} MiB"
    if limit >= _LOCKED_BYTES:
        return Check("memlock", "ok", value, need)
    if "CAP_SYS_RESOURCE" in node.capabilities:
        return Check("memlock", "ok", f"{value}, raised by ebtop", need)
    return Check("memlock", "fail", value, need, "ulimit -l unlimited")


def _locked_memory_limit(node: Node) -> int | None:
    """Bytes; None = unlimited. 0 when it is not known."""
    match = _LOCKED_MEMORY.search(node.read("/proc/self/limits") or "")
    if match is None:
        return 0
    return int(match["bytes"]) if match["bytes"] else None


def perf_event_paranoid(node: Node) -> Check:
    """Bounds users without CAP_PERFMON."""
    need = "any with CAP_PERFMON"
    value = node.number("/proc/sys/kernel/perf_event_paranoid")
    if value is None:
        return Check("perf_event_paranoid", "warn", "unknown: this kernel may have no perf events", need)
    return Check("perf_event_paranoid", "ok", str(value), need)


def sample_rate(node: Node) -> Check:
    """The kernel lowers it by itself when sampling took too long, and refuses rates above it."""
    need = f">= {_SAMPLE_RATE_HZ} Hz"
    value = node.number("/proc/sys/kernel/perf_event_max_sample_rate")
    if value is None:
        return Check("sample rate", "warn", "unknown", need)
    if value < _SAMPLE_RATE_HZ:
        fix = "sysctl -w kernel.perf_event_max_sample_rate=100000"
        return Check("sample rate", "fail", f"at most {value} Hz", need, fix)
    return Check("sample rate", "ok", f"at most {value} Hz", need)


def bpf_stats(node: Node) -> Check:
    """Where the cost of programs comes from."""
    need = "Linux >= 5.8 and CAP_SYS_ADMIN, to show what the programs cost"
    try:
        node.attempts.enable_stats()
    except OSError as error:
        return Check("bpf stats", "warn", f"refused: {error.strerror}", need)
    return Check("bpf stats", "ok", "run time is counted", need)


def kernel_symbols(node: Node) -> Check:
    """Names of kernel functions in stacks."""
    need = "addresses in /proc/kallsyms, to name kernel frames"
    restrict = node.number("/proc/sys/kernel/kptr_restrict")
    try:
        with node.path("/proc/kallsyms").open("rb") as file:
            head = file.read(_KALLSYMS_HEAD_BYTES)
    except OSError as error:
        return Check("kernel symbols", "warn", f"/proc/kallsyms: {error.strerror}", need)
    if any(line.split(b" ")[0].strip(b"0") for line in head.splitlines()):
        return Check("kernel symbols", "ok", f"readable (kptr_restrict {restrict})", need)
    fix = "sysctl -w kernel.kptr_restrict=1" if restrict == 2 else None
    return Check("kernel symbols", "warn", f"addresses are hidden (kptr_restrict {restrict})", need, fix)
