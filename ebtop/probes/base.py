"""What a probe is: a C file in bpf/, where its programs attach, and how its bytes become records."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any, ClassVar, TypeVar

from ebtop.kernel.cgroups import CgroupHierarchy, CgroupNames
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment, Module
from ebtop.store.records import Batch, Record
from ebtop.text import c_string
from ebtop.unwind import UserStacks, default_user_stacks

_R = TypeVar("_R", bound=Record)
_CLOCK_READINGS = 3
_V4_MAPPED = b"\0" * 10 + b"\xff\xff"


@dataclass(frozen=True)
class Settings:
    """What the user chose, as far as probes are concerned."""

    hertz: int = 49
    min_latency_ms: float = 100.0
    tcp_openings: bool = True
    """Whether each connect and accept is an event. The screen sees them in its scans and at their end."""
    min_block_ns: int = 0
    """What is blocked for less is not counted by offcpu."""
    fault_period: int = 61
    """Of so many minor page faults faults looks at one. A prime, to keep out of step with what is looked at."""
    user_stacks: UserStacks = field(default_factory=default_user_stacks)


class Clock:
    """Kernel time (CLOCK_MONOTONIC, ns) to wall time."""

    def __init__(self) -> None:
        self.offset_ns = 0
        self.adjust()

    def adjust(self) -> None:
        """Follow the wall clock, which may be set while we run."""
        readings = []
        for _ in range(_CLOCK_READINGS):
            before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
            readings.append((after - before, wall - (before + after) // 2))
        # The reading that was interrupted least.
        self.offset_ns = min(readings)[1]


@dataclass(frozen=True)
class Context:
    """What every probe may use to decode."""

    settings: Settings
    clock: Clock
    hierarchy: CgroupHierarchy
    cgroups: CgroupNames


class Probe:
    """Base of all probes. Subclasses name their parts and decode; the session loads, drains and unloads them.

    To add one: bpf/NAME.c, a module here with a subclass, a line in ebtop/probes/__init__.py.
    """

    name: ClassVar[str]
    """As on the command line. In parentheses: not chosen by people, loaded because another one requires it."""
    artifact: ClassVar[str]
    """bpf/ARTIFACT.c"""
    summary: ClassVar[str]
    """One line for people."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Probes that must be loaded before this one."""
    reports_for: ClassVar[str] = ""
    """Of a probe not chosen by people: the probe whose events it reports, and with which it is filtered."""
    backed_up: ClassVar[frozenset[str]] = frozenset()
    """Programs whose run another one makes up for when the kernel skips it, as it does not nest a program in itself."""

    def __init__(self, module: Module, context: Context, required: Mapping[str, Probe]) -> None:
        """`module` is loaded and attached. `required` are the probes of `requires`."""
        self.module = module
        self.context = context

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        """Programs and hooks on this kernel. Raises EbtopError when the probe can't work here."""
        raise NotImplementedError

    @classmethod
    def later_attachments(cls, settings: Settings) -> Sequence[Attachment]:
        """Slots of program arrays that the probe can do without at first; filled when all probes run."""
        return ()

    @classmethod
    def constants(cls, settings: Settings) -> dict[str, int]:
        """Load-time constants, as "probe.name"."""
        return {}

    @classmethod
    def sizes(cls, settings: Settings) -> dict[str, int]:
        """Maps that need another max_entries than the C file says."""
        return {}

    @classmethod
    def headers(cls, settings: Settings) -> dict[str, str]:
        """Headers of bpf/ that another one stands in for."""
        return {}

    @classmethod
    def blind_spots(cls, environment: Environment) -> tuple[str, ...]:
        """What this probe can't see on this kernel, a line each."""
        return ()

    def drain(self) -> Sequence[Record]:
        """Records that came since the last call; called many times a second."""
        return ()

    def poll(self, batch: Batch) -> Batch:
        """Called once a second: add what is read by looking rather than by waiting."""
        return batch

    def lost(self) -> dict[str, int]:
        """Losses on this side of the kernel, by reason; those inside are counted there."""
        return {}

    def close(self) -> None:
        """Called before the module is unloaded."""


@lru_cache(maxsize=4096)
def comm_text(raw: bytes) -> str:
    """A task name as printable text."""
    return c_string(raw)


@lru_cache(maxsize=8192)
def address_text(family: int, raw: bytes) -> tuple[int, str]:
    """(4 or 6, address) of a socket; a v4-mapped IPv6 address is IPv4."""
    if family == AF_INET:
        return 4, inet_ntop(AF_INET, raw[:4])
    if raw.startswith(_V4_MAPPED):
        return 4, inet_ntop(AF_INET, raw[12:])
    return 6, inet_ntop(AF_INET6, raw)


def errno_name(code: int) -> str | None:
    """ECONNREFUSED for 111; None for 0."""
    return errno.errorcode.get(code, f"errno {code}") if code else None


OWNERS = ("unknown", "exact", "listener", "proc")
"""enum owner_kind of bpf/tcp.h."""

DIRECTIONS = (None, "out", "in")
"""enum direction of bpf/tcp.h."""

TCP_STATES = (
    "UNKNOWN", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT",
    "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV",
)  # fmt: skip
"""enum tcp_state of bpf/tcp.h."""


make_record: Callable[[type[_R], tuple[Any, ...]], _R] = tuple.__new__
"""A record from all its fields in order: what the class itself does, at a third of the price. For storms only."""


def tcp_state(number: int) -> str:
    """The state's name."""
    return TCP_STATES[number] if number < len(TCP_STATES) else str(number)
