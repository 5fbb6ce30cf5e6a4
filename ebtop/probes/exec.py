"""exec: every program that is started or fails to start, and how each process ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from ebtop.kernel.attach import RawTracepoint, Tracepoint
from ebtop.kernel.counters import RING_FULL
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment, Module
from ebtop.probes.base import Context, Probe, Settings, comm_text, make_record
from ebtop.probes.unseen_ends import UnseenEnds
from ebtop.store.records import Batch, ExecRecord, ExitRecord, Record
from ebtop.text import c_string, clean

_FAILURES = ("syscalls:sys_exit_execve", "syscalls:sys_exit_execveat")
_CALLS = ("syscalls:sys_enter_execve", "syscalls:sys_enter_execveat")
_CORE_DUMPED = 0x80
# Long execs first: of a failed search for a program that then starts, no attempt comes after the success.
_RINGS = (("exec_events", "exec_event"), ("short_exec_events", "short_exec_event"), ("exit_events", "exit_event"))
_OUT_OF_ORDER_NS = 500_000_000
"""Records of so much time may be out of order: one is stamped before it has its place, and one that is not submitted
yet holds up those behind it. Microseconds, or as long as a virtual CPU stands still."""


class ExecProbe(Probe):
    """Source: sched_process_exec, sched_process_exit, sys_exit_execve and sys_exit_execveat; /proc for ends that were
    lost.
    """

    name = "exec"
    artifact = "exec"
    summary = "programs started, failed starts, exits"

    def __init__(self, module: Module, context: Context, required: Mapping[str, Probe]) -> None:
        super().__init__(module, context, required)
        self._unseen = UnseenEnds()

    @classmethod
    def attachments(cls, environment: Environment, settings: Settings) -> Sequence[Attachment]:
        wanted = [
            Attachment("on_exec", RawTracepoint("sched_process_exec")),
            Attachment("on_exit", RawTracepoint("sched_process_exit")),
        ]
        if environment.has_event(_FAILURES[0]):
            if not environment.has_helper("task_pt_regs"):
                wanted += [
                    Attachment("on_execve_enter", Tracepoint(_CALLS[0])),
                    Attachment("on_execveat_enter", Tracepoint(_CALLS[1])),
                ]
            wanted += [
                Attachment("on_execve_exit", Tracepoint(_FAILURES[0])),
                Attachment("on_execveat_exit", Tracepoint(_FAILURES[1])),
            ]
        return wanted

    @classmethod
    def blind_spots(cls, environment: Environment) -> tuple[str, ...]:
        if environment.has_event(_FAILURES[0]):
            return ("failed execs of 32-bit programs are not seen",)
        why = environment.tracefs_error or "this kernel has no system call tracepoints"
        return (f"failed execs are not seen: {why}",)

    def drain(self) -> list[Record]:
        now_ns = time.monotonic_ns()
        long, short, exits = drained = [self.module.drain(*ring) for ring in _RINGS]
        until_ns = min([self._told_until(ring, part, now_ns) for ring, part in zip(_RINGS, drained, strict=True)])
        events = long + short
        offset, path = self.context.clock.offset_ns, self.context.cgroups.path
        execs: list[ExecRecord] = []
        for (
            time_ns, cgroup, pid, ppid, uid, ret, filename_len, args_read, args_len, comm, parent_comm, text,
        ) in events:  # fmt: skip
            cut = args_len - args_read
            args = text[filename_len : filename_len + args_read]
            execs.append(
                make_record(
                    ExecRecord,
                    (
                        time_ns + offset, pid, comm_text(comm), uid, path(cgroup), ppid, comm_text(parent_comm), ret,
                        c_string(text[:filename_len]), split_args(args, cut > 0), cut,
                    ),
                )
            )  # fmt: skip
        execs.sort(key=itemgetter(0))
        records: list[Record] = [*execs]
        for time_ns, duration, cgroup, pid, ppid, uid, code, comm in exits:
            records.append(
                make_record(
                    ExitRecord,
                    (
                        time_ns + offset, pid, comm_text(comm), uid, path(cgroup), ppid, code >> 8 & 0xFF, code & 0x7F,
                        bool(code & _CORE_DUMPED), duration / 1e9,
                    ),
                )
            )  # fmt: skip
        self._unseen.drained(execs, {event[3]: event[0] for event in exits}, offset, until_ns)
        return records

    def poll(self, batch: Batch) -> Batch:
        """Adds ends whose record was lost."""
        lost = self.module.counters().lost.get(RING_FULL, 0) + self.module.dropped
        ends = self._unseen.look(lost, self.context.clock.offset_ns)
        return batch._replace(records=[*batch.records, *ends]) if ends else batch

    def _told_until(self, ring: tuple[str, str], events: list[tuple[Any, ...]], now_ns: int) -> int:
        """The moment (kernel time, ns) from before which nothing is left in a ring buffer. `events` came out of it when
        it was drained, which began at `now_ns`.
        """
        if self.module.ring(*ring).waiting:
            now_ns = events[-1][0] if events else 0
        return now_ns - _OUT_OF_ORDER_NS


def split_args(raw: bytes, cut: bool) -> tuple[str, ...]:
    """The NUL-separated argv block as printable arguments; empty ones count, a cut last one is kept."""
    if not raw:
        return ()
    if raw[-1] == 0:
        raw = raw[:-1]
    elif not cut:
        raw = raw.rstrip(b"\0")
    text = raw.decode("utf-8", "backslashreplace")
    args = text.split("\0")
    if text.isascii() and text.replace("\0", "").isprintable():
        return tuple(args)
    return tuple([clean(arg) for arg in args])
