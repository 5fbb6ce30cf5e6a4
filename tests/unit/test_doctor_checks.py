"""The doctor on made-up nodes: files in a temporary directory, and attempts with chosen answers."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from ebtop.kernel.attach import Iterator, RawTracepoint
from ebtop.kernel.doctor import Check, Node, ready, run_checks
from ebtop.kernel.doctor.attempts import Attempts
from ebtop.kernel.doctor.node import Terminal
from ebtop.kernel.doctor.probe_checks import HOOKS, Hooks
from ebtop.kernel.environment import Environment
from ebtop.probes import NAMES, REGISTRY
from ebtop.probes.base import Settings

ALL_CAPABILITIES = "000001ffffffffff"
TYPES = [
    *[f"btf_trace_{name}" for hooks in HOOKS.values() for name in hooks.raw_tracepoints],
    *[f"bpf_iter__{name}" for hooks in HOOKS.values() for name in hooks.iterators],
]
FILES = {
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "proc/self/status": f"Name:\tebtop\nCapEff:\t{ALL_CAPABILITIES}\nSeccomp:\t0\n",
    "proc/self/limits": "Limit  Soft Limit  Hard Limit  Units\nMax locked memory         unlimited  unlimited  bytes\n",
    "proc/sys/net/core/bpf_jit_enable": "1\n",
    "proc/sys/kernel/unprivileged_bpf_disabled": "2\n",
    "proc/sys/kernel/perf_event_paranoid": "2\n",
    "proc/sys/kernel/perf_event_max_sample_rate": "100000\n",
    "proc/sys/kernel/kptr_restrict": "0\n",
    "proc/kallsyms": "0000000000000000 A fixed_percpu_data\nffffffff81000000 T _text\n",
    "sys/kernel/security/lsm": "lockdown,capability,bpf\n",
    "sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
    "usr/lib/python3/dist-packages/bcc/__init__.py": "",
}


class Answers(Attempts):
    """Attempts that succeed, except for those that were given an errno."""

    synchronised = True

    def __init__(self, **errnos: int) -> None:
        self._errnos = errnos

    def _answer(self, name: str) -> None:
        if name in self._errnos:
            raise OSError(self._errnos[name], os.strerror(self._errnos[name]))

    def load_program(self) -> None:
        self._answer("load_program")

    def enable_stats(self) -> None:
        self._answer("enable_stats")

    def open_sampler(self) -> None:
        self._answer("open_sampler")

    def open_tracefs(self) -> str:
        self._answer("open_tracefs")
        return "private mount"

    def read_securityfs(self, name: str) -> str:
        self._answer("read_securityfs")
        return {"lockdown": "none [integrity] confidentiality", "lsm": "capability"}[name]

    def clock_synchronised(self) -> bool:
        self._answer("clock_synchronised")
        return self.synchronised


class ClockOnItsOwn(Answers):
    synchronised = False


def btf_of(*names: str) -> bytes:
    return b"\x9f\xeb\x01\x00" + bytes(20) + b"".join(b"\0" + name.encode() for name in names) + b"\0"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node on which nothing is wrong."""
    root = tmp_path / "root"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "sys/kernel/btf").mkdir()
    (root / "sys/kernel/btf/vmlinux").write_bytes(btf_of(*TYPES))
    (root / "proc/self/ns").mkdir()
    (root / "proc/self/ns/pid").symlink_to("pid:[4026531836]")
    return Node(
        root=root,
        release="6.1.0-13-amd64",
        machine="x86_64",
        environ={"TERM": "xterm-256color"},
        uid=0,
        cache=tmp_path / "cache" / "ebtop",
        terminal=Terminal(True, 120, 40, "utf-8"),
        attempts=Answers(),
        time_s=1_750_000_000.0,
    )


def find(node: Node, name: str) -> Check:
    (check,) = (c for c in run_checks(node) if c.name == name)
    return check


def write(name: str, text: str) -> Callable[[Node], Node]:
    def change(node: Node) -> Node:
        node.path(name).write_text(text)
        return node

    return change


def remove(*names: str) -> Callable[[Node], Node]:
    def change(node: Node) -> Node:
        for name in names:
            node.path(name).unlink()
        return node

    return change


def changed(**fields: object) -> Callable[[Node], Node]:
    return lambda node: replace(node, **fields)  # type: ignore[arg-type]


def without_type(name: str) -> Callable[[Node], Node]:
    def change(node: Node) -> Node:
        node.path("/sys/kernel/btf/vmlinux").write_bytes(btf_of(*(t for t in TYPES if t != name)))
        return node

    return change


def test_a_healthy_node_is_ready_and_needs_no_fix(node: Node) -> None:
    checks = run_checks(node)
    assert [c for c in checks if c.status != "ok" or c.fix] == []
    assert ready(checks)
    assert len({c.name for c in checks}) == len(checks)


@pytest.mark.parametrize(
    ("change", "name", "status", "value"),
    [
        (changed(release="5.9.16"), "kernel", "fail", "5.9.16"),
        (changed(release="5.10.0-28-amd64"), "kernel", "ok", "5.10.0-28-amd64"),
        (changed(release="weird"), "kernel", "warn", "weird"),
        (changed(machine="riscv64"), "architecture", "fail", "riscv64"),
        (remove("sys/kernel/btf/vmlinux"), "btf", "fail", "can't be read"),
        (write("sys/kernel/btf/vmlinux", "junk"), "btf", "fail", "not BTF"),
        (write("sys/kernel/security/lockdown", "none integrity [confidentiality]"), "lockdown", "fail", "confid"),
        (write("sys/kernel/security/lockdown", "none [integrity] confidentiality"), "lockdown", "ok", "integrity"),
        (remove("sys/kernel/security/lockdown"), "lockdown", "ok", "not part of this kernel"),
        (remove("sys/kernel/security/lsm"), "lockdown", "ok", "integrity"),
        (write("proc/sys/net/core/bpf_jit_enable", "0"), "jit", "warn", "0: off"),
        (write("proc/sys/net/core/bpf_jit_enable", "2"), "jit", "warn", "kernel's log"),
        (remove("proc/sys/net/core/bpf_jit_enable"), "jit", "warn", "unknown"),
        (write("proc/sys/kernel/unprivileged_bpf_disabled", "0"), "unprivileged bpf", "ok", "0: allowed"),
        (write("proc/sys/kernel/perf_event_max_sample_rate", "20"), "sample rate", "fail", "at most 20 Hz"),
        (remove("proc/sys/kernel/perf_event_paranoid"), "perf_event_paranoid", "warn", "unknown"),
        (write("proc/kallsyms", "0000000000000000 T _text\n"), "kernel symbols", "warn", "hidden"),
        (changed(attempts=Answers(enable_stats=errno.EPERM)), "bpf stats", "warn", "not permitted"),
        (changed(attempts=Answers(open_sampler=errno.EACCES)), "probe cpu", "fail", "Permission denied"),
        (changed(attempts=Answers(load_program=errno.ENOSYS)), "bpf", "fail", "no BPF"),
        (changed(attempts=Answers(load_program=errno.EPERM)), "bpf", "fail", "security module"),
        (without_type("btf_trace_tcp_retransmit_synack"), "probe retransmits", "fail", "tcp_retransmit_synack"),
        (without_type("btf_trace_sched_process_exit"), "probe exec", "fail", "sched_process_exit"),
        (without_type("bpf_iter__tcp"), "probe tcp", "fail", "no iterator tcp"),
        (without_type("bpf_iter__bpf_map_elem"), "probe tcp", "fail", "no iterator bpf_map_elem"),
        (changed(python=(3, 9, 2)), "python", "fail", "3.9.2"),
        (changed(attempts=ClockOnItsOwn()), "clock", "warn", "not synchronised"),
        (changed(time_s=0.0), "clock", "warn", "1970"),
        (changed(terminal=Terminal(False, 0, 0, "utf-8")), "terminal", "warn", "none"),
        (changed(terminal=Terminal(True, 60, 20, "utf-8")), "terminal", "warn", "60x20"),
    ],
)
def test_finding(node: Node, change: Callable[[Node], Node], name: str, status: str, value: str) -> None:
    check = find(change(node), name)
    assert check.status == status
    assert value in check.value


@pytest.mark.parametrize(
    ("change", "name", "fix"),
    [
        (remove("sys/kernel/security/lsm"), "lsm", "mount -t securityfs securityfs /sys/kernel/security"),
        (write("proc/sys/net/core/bpf_jit_enable", "0"), "jit", "sysctl -w net.core.bpf_jit_enable=1"),
        (
            changed(attempts=Answers(open_tracefs=errno.EPERM)),
            "tracefs",
            "mount -t tracefs tracefs /sys/kernel/tracing",
        ),
        (changed(environ={"TERM": "dumb"}), "terminal", "export TERM=xterm-256color"),
        (changed(terminal=Terminal(True, 120, 40, "latin-1")), "terminal", "export LC_ALL=C.UTF-8"),
        (changed(attempts=ClockOnItsOwn()), "clock", "apt-get install -y chrony"),
    ],
)
def test_fix(node: Node, change: Callable[[Node], Node], name: str, fix: str) -> None:
    changed_node = change(node)
    if name == "lsm":
        changed_node = replace(changed_node, attempts=Answers(read_securityfs=errno.EPERM))
    assert find(changed_node, name)[1::3] == ("warn", fix)


def test_hidden_kernel_addresses_are_mended_only_where_the_setting_hides_them(node: Node) -> None:
    node.path("proc/kallsyms").write_text("0000000000000000 T _text\n")
    assert find(node, "kernel symbols").fix is None
    node.path("proc/sys/kernel/kptr_restrict").write_text("2\n")
    assert find(node, "kernel symbols").fix == "sysctl -w kernel.kptr_restrict=1"


@pytest.mark.parametrize(
    ("os_release", "fix"),
    [
        ("ID=debian", "apt-get install -y python3-bpfcc"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"', "apt-get install -y python3-bpfcc"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "dnf install -y python3-bcc"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"', "zypper install -y python3-bcc"),
        ("# a comment\nID=alpine", "apk add py3-bcc"),
        ("ID=arch", "pacman -S --noconfirm python-bcc"),
        ("ID=nixos", None),
        ("", None),
    ],
)
def test_installing_bcc_in_this_distribution(node: Node, os_release: str, fix: str | None) -> None:
    node.path("usr/lib/python3/dist-packages/bcc/__init__.py").unlink()
    node.path("etc/os-release").write_text(os_release)
    assert find(node, "bcc")[1::3] == ("warn", fix)


def test_bcc_in_the_place_of_rpm_distributions(node: Node) -> None:
    node.path("usr/lib/python3/dist-packages/bcc/__init__.py").unlink()
    package = node.path("usr/lib/python3.12/site-packages/bcc")
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    assert find(node, "bcc")[1:3] == ("ok", "/usr/lib/python3.12/site-packages/bcc")


def with_capabilities(node: Node, *bits: int, seccomp: int = 0) -> Node:
    mask = sum(1 << bit for bit in bits)
    node.path("proc/self/status").write_text(f"CapEff:\t{mask:016x}\nSeccomp:\t{seccomp}\n")
    return node


def test_sys_admin_stands_for_bpf_and_perfmon(node: Node) -> None:
    check = find(with_capabilities(node, 12, 19, 21), "capabilities")
    assert check.status == "ok"


def test_bpf_and_perfmon_are_enough_to_run_and_what_is_lost_is_named(node: Node) -> None:
    checks = run_checks(with_capabilities(node, 38, 39))
    (check,) = (c for c in checks if c.name == "capabilities")
    assert check.status == "warn"
    assert all(name in check.value for name in ("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE"))
    assert "CAP_BPF" not in check.value
    assert ready(checks)


@pytest.mark.parametrize(("uid", "fix"), [(1000, "sudo ebtop"), (0, "docker run --privileged --pid=host")])
def test_without_capabilities_it_is_not_ready(node: Node, uid: int, fix: str) -> None:
    checks = run_checks(replace(with_capabilities(node, 39), uid=uid))
    assert not ready(checks)
    (check,) = (c for c in checks if c.name == "capabilities")
    assert check[1:3] == ("fail", "missing CAP_PERFMON")
    assert check.fix == fix


def test_a_refusal_under_seccomp_names_the_filter(node: Node) -> None:
    refused = replace(with_capabilities(node, 21, seccomp=2), attempts=Answers(load_program=errno.EPERM))
    assert "seccomp filter" in find(refused, "bpf").value


@pytest.mark.parametrize(
    ("limit", "capability", "expected"),
    [
        ("unlimited", 39, ("ok", "unlimited")),
        ("67108864", 39, ("ok", "64.0 MiB")),
        ("65536", 39, ("fail", "0.1 MiB")),
        ("65536", 24, ("ok", "0.1 MiB, raised by ebtop")),
    ],
)
def test_memlock_before_5_11(node: Node, limit: str, capability: int, expected: tuple[str, str]) -> None:
    node.path("proc/self/limits").write_text(f"Max locked memory         {limit}  {limit}  bytes\n")
    old = replace(with_capabilities(node, capability), release="5.10.0")
    assert find(old, "memlock")[1:3] == expected


def test_a_pid_namespace_of_its_own(node: Node) -> None:
    link = node.path("proc/self/ns/pid")
    link.unlink()
    link.symlink_to("pid:[4026532001]")
    node.path(".dockerenv").touch()
    check = find(node, "pid namespace")
    assert check.status == "warn"
    assert "docker" in check.value


def test_a_cache_that_can_not_be_made(node: Node, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check = find(replace(node, cache=tmp_path / "file" / "ebtop"), "cache")
    assert check[1::3] == ("warn", "export XDG_CACHE_HOME=/run")


def test_an_empty_node_has_findings_for_everything_and_raises_nothing(tmp_path: Path) -> None:
    refusals = {name: errno.EPERM for name in vars(Attempts) if not name.startswith("_")}
    empty = Node(root=tmp_path, environ={}, attempts=Answers(**refusals), terminal=Terminal(False, 0, 0, "ascii"))
    checks = run_checks(empty)
    assert {c.name for c in checks if c.status == "fail"} >= {"btf", "capabilities", "bpf", "probe cpu", "probe exec"}


def test_directories_in_the_place_of_files_raise_nothing(node: Node) -> None:
    for name in FILES:
        path = node.path(name)
        path.unlink()
        path.mkdir()
    assert {c.name for c in run_checks(node)} == {c.name for c in run_checks(Node(root=node.root, attempts=Answers()))}


class WithoutSystemCallTracepoints:
    """An Environment on which probes ask for no more than what they can't do without."""

    def has_event(self, event: str) -> bool:
        return False


@pytest.mark.parametrize("probe", NAMES)
def test_the_doctor_looks_for_what_the_probe_attaches_to(probe: str) -> None:
    environment = cast(Environment, WithoutSystemCallTracepoints())
    hooks = [
        attachment.hook
        for name in (probe, *REGISTRY[probe].requires)
        for attachment in REGISTRY[name].attachments(environment, Settings())
    ]
    wanted = HOOKS.get(probe, Hooks(()))
    assert {hook.name for hook in hooks if isinstance(hook, RawTracepoint)} == set(wanted.raw_tracepoints)
    assert {hook.target for hook in hooks if isinstance(hook, Iterator)} == set(wanted.iterators)


def test_hostile_text_is_escaped(node: Node) -> None:
    hostile = replace(node, release="6.1\x1b]0;owned\x07", environ={"TERM": "xterm\x1b[2J"})
    assert all(c.value.isprintable() for c in run_checks(hostile))
