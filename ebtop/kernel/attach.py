"""Where a program hooks into the kernel. Each attachment is a file descriptor: closing it detaches."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import NamedTuple

from ebtop.errors import EbtopError
from ebtop.kernel import syscall
from ebtop.kernel.cpus import online_cpus
from ebtop.kernel.syscall import Cmd

_PROG_TYPE_TRACEPOINT, _PROG_TYPE_PERF_EVENT, _PROG_TYPE_RAW_TRACEPOINT, _PROG_TYPE_TRACING = 5, 7, 17, 26
_ATTACH_TRACE_ITER = 28
_PERF_TYPE_SOFTWARE, _PERF_TYPE_TRACEPOINT = 1, 2
_PERF_COUNT_SW_CPU_CLOCK = 0
MINOR_FAULTS, MAJOR_FAULTS = 5, 6
"""enum perf_sw_ids of linux/perf_event.h."""
_PERF_ATTR_SIZE = 112
_PERF_FLAG_DISABLED, _PERF_FLAG_FREQ = 1 << 0, 1 << 10
_PERF_EVENT_IOC_SET_BPF, _PERF_EVENT_IOC_ENABLE = 0x40042408, 0x2400
_MAX_SAMPLE_RATE = "/proc/sys/kernel/perf_event_max_sample_rate"


class RawTracepoint(NamedTuple):
    """A raw tracepoint: cheap, detaches in 0.3 ms, needs no tracefs."""

    name: str
    prog_type: int = _PROG_TYPE_RAW_TRACEPOINT


class Tracepoint(NamedTuple):
    """A tracepoint through perf ("category:event"): for system calls, whose raw form fires for every call."""

    event: str
    prog_type: int = _PROG_TYPE_TRACEPOINT


class Sampler(NamedTuple):
    """perf_event cpu-clock on every online CPU, `hertz` times a second each."""

    hertz: int
    prog_type: int = _PROG_TYPE_PERF_EVENT


class PeriodSampler(NamedTuple):
    """A software perf_event on every online CPU, each `period`th time that it happens there."""

    event: int
    """MINOR_FAULTS or MAJOR_FAULTS."""
    period: int
    prog_type: int = _PROG_TYPE_PERF_EVENT


class Iterator(NamedTuple):
    """A BPF iterator over a kernel collection; nothing runs until it is read."""

    target: str
    """As in bpf_iter_TARGET."""
    map: str = ""
    """For bpf_map_elem: the map's name in the artifact."""
    prog_type: int = _PROG_TYPE_TRACING
    expected_attach_type: int = _ATTACH_TRACE_ITER


class TailCall(NamedTuple):
    """A slot of a program array, which other programs of the same kind go on to."""

    program_array: str
    """The map's name in the artifact."""
    slot: int
    prog_type: int = _PROG_TYPE_PERF_EVENT


TAIL_CALL_OF_RAW_TRACEPOINT = _PROG_TYPE_RAW_TRACEPOINT
"""As prog_type of a TailCall: programs that raw tracepoints run."""

Hook = RawTracepoint | Tracepoint | Sampler | PeriodSampler | Iterator | TailCall


def raw_tracepoint(program_fd: int, hook: RawTracepoint) -> list[int]:
    """Attach; raises OSError (ENOENT: this kernel has no such tracepoint)."""
    name = bytearray(hook.name.encode() + b"\0")
    return [syscall.bpf(Cmd.RAW_TRACEPOINT_OPEN, syscall.attr("=QI", syscall.pointer(name), program_fd, size=16))]


def tracepoint(program_fd: int, event_id: int) -> list[int]:
    """Attach to the tracepoint with this tracefs id; raises OSError."""
    attr = syscall.attr("=IIQQQQ", _PERF_TYPE_TRACEPOINT, _PERF_ATTR_SIZE, event_id, 1, 0, 0, size=_PERF_ATTR_SIZE)
    return [_with_program(syscall.perf_event_open(attr, -1, 0), program_fd)]


def sampler(program_fd: int, hook: Sampler) -> list[int]:
    """Attach one event on each online CPU; raises OSError, or EbtopError for a rate the kernel refuses."""
    check_rate(hook.hertz)
    return _on_every_cpu(program_fd, _PERF_COUNT_SW_CPU_CLOCK, hook.hertz, _PERF_FLAG_FREQ)


def period_sampler(program_fd: int, hook: PeriodSampler) -> list[int]:
    """Attach one event on each online CPU; raises OSError."""
    return _on_every_cpu(program_fd, hook.event, hook.period, 0)


def _on_every_cpu(program_fd: int, event: int, period_or_frequency: int, flags: int) -> list[int]:
    attr = syscall.attr(
        "=IIQQQQQ", _PERF_TYPE_SOFTWARE, _PERF_ATTR_SIZE, event, period_or_frequency, 0, 0,
        _PERF_FLAG_DISABLED | flags, size=_PERF_ATTR_SIZE,
    )  # fmt: skip
    events: list[int] = []
    try:
        events.extend(_with_program(syscall.perf_event_open(attr, -1, cpu), program_fd) for cpu in online_cpus())
    except OSError:
        for fd in events:
            os.close(fd)
        raise
    return events


def check_rate(hertz: int) -> None:
    """Raises EbtopError for a rate that the kernel refuses."""
    limit = max_sample_rate()
    if not 1 <= hertz <= limit:
        raise EbtopError(
            f"can't sample {hertz} times a second", f"this kernel takes 1 to {limit}", f"give a rate up to {limit}"
        )


def iterator(program_fd: int, map_fd: int | None = None) -> list[int]:
    """Make the link that iterator reads are created from, over the elements of a map; raises OSError."""
    info = bytearray(struct.pack("=I", map_fd or 0))
    about = (syscall.pointer(info), len(info)) if map_fd is not None else (0, 0)
    attr = syscall.attr("=IIIIQI", program_fd, 0, _ATTACH_TRACE_ITER, 0, *about, size=32)
    return [syscall.bpf(Cmd.LINK_CREATE, attr)]


def open_iterator(link_fd: int) -> int:
    """A file descriptor from which one walk over the collection is read."""
    return syscall.bpf(Cmd.ITER_CREATE, syscall.attr("=II", link_fd, 0, size=8))


def max_sample_rate() -> int:
    """The most samples a second one CPU gives."""
    try:
        with open(_MAX_SAMPLE_RATE, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 100_000


def _with_program(event_fd: int, program_fd: int) -> int:
    try:
        fcntl.ioctl(event_fd, _PERF_EVENT_IOC_SET_BPF, program_fd)
        fcntl.ioctl(event_fd, _PERF_EVENT_IOC_ENABLE, 0)
    except OSError:
        os.close(event_fd)
        raise
    return event_fd


def describe(hook: Hook) -> str:
    """The hook in the words of the field, for messages."""
    match hook:
        case RawTracepoint(name):
            return f"raw tracepoint {name}"
        case Tracepoint(event):
            return f"tracepoint {event}"
        case Sampler(hertz):
            return f"cpu-clock at {hertz} Hz"
        case PeriodSampler(event):
            return f"page-faults-{'min' if event == MINOR_FAULTS else 'maj'}"
        case Iterator(target):
            return f"iter/{target}"
        case TailCall(program_array, slot):
            return f"slot {slot} of {program_array}"
