"""Around the kernel: Python, the compiler, the cache, the terminal, the clock, the container."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timezone

from ebtop.kernel.compile_child import BCC_LOCATIONS
from ebtop.kernel.doctor.node import Node
from ebtop.kernel.pid_listing import HOST_PID_NAMESPACE
from ebtop.store.check import Check, Status

_MIN_COLUMNS, _MIN_LINES = 80, 24
_ARTIFACTS_BYTES = 1 << 20
_PLAUSIBLE_YEARS = range(2024, 2100)


def python(node: Node) -> Check:
    """The interpreter that runs this."""
    status: Status = "ok" if node.python >= (3, 10) else "fail"
    return Check("python", status, ".".join(map(str, node.python)), ">= 3.10")


def bcc(node: Node) -> Check:
    """The compiler; a cached or packaged build of the programs does without."""
    need = "only to build the eBPF programs"
    for pattern in BCC_LOCATIONS:
        relative = pattern.replace("{minor}", "*").lstrip("/")
        for package in sorted(node.root.glob(f"{relative}/__init__.py")):
            return Check("bcc", "ok", f"/{package.parent.relative_to(node.root)}", need)
    return Check("bcc", "warn", "not installed", need, node.distribution.install_bcc())


def cache(node: Node) -> Check:
    """Where built programs are kept."""
    need = "writable, or the programs are built at every start"
    existing = node.cache
    while not os.path.exists(existing) and existing != existing.parent:
        existing = existing.parent
    # A directory that others can write to would let them choose what root loads.
    fix = f"export XDG_CACHE_HOME={'/run' if node.uid == 0 else f'/run/user/{node.uid}'}"
    if not os.access(existing, os.W_OK | os.X_OK):
        return Check("cache", "warn", f"{existing} can't be written to", need, fix)
    if shutil.disk_usage(existing).free < _ARTIFACTS_BYTES:
        return Check("cache", "warn", f"{existing} is on a full disk", need, fix)
    return Check("cache", "ok", str(node.cache), need)


def terminal(node: Node) -> Check:
    """What the live screen draws on."""
    need = f"colours, UTF-8, {_MIN_COLUMNS}x{_MIN_LINES}; for the live screen only"
    kind = node.environ.get("TERM", "")
    if not node.terminal.attached:
        return Check("terminal", "warn", "none on the standard streams", need)
    size = f"{node.terminal.columns}x{node.terminal.lines}"
    if kind in ("", "dumb", "unknown"):
        return Check("terminal", "warn", f"TERM is {kind or 'not set'}, {size}", need, "export TERM=xterm-256color")
    if node.terminal.encoding.lower().replace("-", "") != "utf8":
        return Check(
            "terminal", "warn", f"{kind}, {size}, encoding {node.terminal.encoding}", need, "export LC_ALL=C.UTF-8"
        )
    value = f"{kind}, {size}, {_colours(node)} colours, UTF-8"
    fits = node.terminal.columns >= _MIN_COLUMNS and node.terminal.lines >= _MIN_LINES
    return Check("terminal", "ok" if fits else "warn", value, need)


def _colours(node: Node) -> str:
    if node.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return "16M"
    return "256" if "256color" in node.environ.get("TERM", "") else "16"


def clock(node: Node) -> Check:
    """Times of events are wall clock times, to be laid beside other machines' logs."""
    need = "in step, to compare times with other machines"
    now = datetime.fromtimestamp(node.time_s, timezone.utc)
    value = now.strftime("%Y-%m-%d %H:%M:%S UTC")
    fix = _clock_fix(node)
    if now.year not in _PLAUSIBLE_YEARS:
        return Check("clock", "warn", f"{value} can't be right", need, fix)
    try:
        synchronised = node.attempts.clock_synchronised()
    except OSError as error:
        return Check("clock", "warn", f"{value}, synchronisation unknown: {error.strerror}", need)
    if not synchronised:
        return Check("clock", "warn", f"{value}, not synchronised", need, fix)
    return Check("clock", "ok", f"{value}, synchronised", need)


def _clock_fix(node: Node) -> str | None:
    if node.exists("/run/systemd/system") and node.exists("/usr/bin/timedatectl"):
        return "timedatectl set-ntp true"
    return node.distribution.install("chrony")


def pid_namespace(node: Node) -> Check:
    """In a container of its own, /proc does not show the processes that the kernel names."""
    need = "the host's, to name processes by what /proc knows"
    try:
        namespace = os.readlink(node.path("/proc/self/ns/pid"))
    except OSError as error:
        return Check("pid namespace", "warn", f"unknown: {error.strerror}", need)
    if namespace == HOST_PID_NAMESPACE:
        return Check("pid namespace", "ok", "the host's", need)
    return Check(
        "pid namespace",
        "warn",
        f"{_container(node)}: pids are those of the host, /proc shows others",
        need,
        "docker run --privileged --pid=host",
    )


def _container(node: Node) -> str:
    kind = node.environ.get("container", "")
    for name, mark in (("docker", "/.dockerenv"), ("podman", "/run/.containerenv")):
        if not kind and node.exists(mark):
            kind = name
    return f"a container ({kind})" if kind else "a namespace of its own"
