"""The node as the doctor sees it. Everything a check looks at comes from here, so that a test can make one up."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ebtop.kernel.compiler import cache_directory
from ebtop.kernel.doctor.attempts import Attempts
from ebtop.kernel.doctor.distribution import Distribution

CAPABILITIES = {
    "CAP_NET_ADMIN": 12,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_RESOURCE": 24,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
_IMPLIED_BY_SYS_ADMIN = ("CAP_PERFMON", "CAP_BPF")


class Terminal(NamedTuple):
    """The terminal on the standard streams."""

    attached: bool
    columns: int
    lines: int
    encoding: str

    @classmethod
    def this(cls) -> Terminal:
        """The first standard stream that is a terminal."""
        for fd in (1, 0, 2):
            try:
                size = os.get_terminal_size(fd)
            except OSError:
                continue
            return cls(True, size.columns, size.lines, sys.getfilesystemencoding())
        return cls(False, 0, 0, sys.getfilesystemencoding())


@dataclass(frozen=True)
class Node:
    """Files below `root`, and what is known in other ways."""

    root: Path = Path("/")
    release: str = field(default_factory=lambda: os.uname().release)
    machine: str = field(default_factory=lambda: os.uname().machine)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    uid: int = field(default_factory=os.geteuid)
    cache: Path = field(default_factory=cache_directory)
    terminal: Terminal = field(default_factory=Terminal.this)
    attempts: Attempts = field(default_factory=Attempts)
    python: tuple[int, int, int] = sys.version_info[:3]
    time_s: float = field(default_factory=time.time)
    """Wall clock, seconds since the Unix epoch."""

    def path(self, name: str) -> Path:
        """An absolute path of the node, below `root`."""
        return self.root / name.lstrip("/")

    def exists(self, name: str) -> bool:
        """Whether a path of the node is there and may be seen."""
        return os.path.exists(self.path(name))

    def read(self, name: str) -> str | None:
        """A small text file without the white space at its ends; None when it is missing or unreadable."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def security(self, name: str) -> str:
        """A file of securityfs. Raises FileNotFoundError when the kernel has none of that name, else OSError."""
        if not self.exists("/sys/kernel/security/lsm"):
            return self.attempts.read_securityfs(name)
        return self.path(f"/sys/kernel/security/{name}").read_text(encoding="utf-8", errors="replace").strip()

    def number(self, name: str) -> int | None:
        """A file that holds one number; None when it does not."""
        try:
            return int(self.read(name) or "")
        except ValueError:
            return None

    @cached_property
    def version(self) -> tuple[int, int] | None:
        """Major and minor of the kernel's release; None when it has an unknown form."""
        numbers = self.release.split("-")[0].split(".")
        try:
            return int(numbers[0]), int(numbers[1])
        except (ValueError, IndexError):
            return None

    def at_least(self, major: int, minor: int) -> bool:
        """Whether the kernel is of this version or newer; an unknown one counts as newer."""
        return self.version is None or self.version >= (major, minor)

    @cached_property
    def status(self) -> Mapping[str, str]:
        """The fields of /proc/self/status."""
        lines = (self.read("/proc/self/status") or "").splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    @cached_property
    def capabilities(self) -> frozenset[str]:
        """Those of CAPABILITIES in the effective set, and what CAP_SYS_ADMIN stands for."""
        try:
            mask = int(self.status["CapEff"], 16)
        except (KeyError, ValueError):
            return frozenset()
        held = {name for name, bit in CAPABILITIES.items() if mask >> bit & 1}
        if "CAP_SYS_ADMIN" in held:
            held.update(_IMPLIED_BY_SYS_ADMIN)
        return frozenset(held)

    @cached_property
    def btf(self) -> bytes | None:
        """The kernel's types, raw; None without any."""
        try:
            return self.path("/sys/kernel/btf/vmlinux").read_bytes()
        except OSError:
            return None

    def has_type(self, name: str) -> bool:
        """Whether the kernel's types know a name (a type's, a function's)."""
        return self.btf is not None and b"\0" + name.encode() + b"\0" in self.btf

    @cached_property
    def distribution(self) -> Distribution:
        """The distribution after os-release(5)."""
        return Distribution(self.read("/etc/os-release") or self.read("/usr/lib/os-release") or "")
