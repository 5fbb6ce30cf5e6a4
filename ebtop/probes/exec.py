"""exec: every program that is started or fails to start, and how each process ended."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from ebtop.kernel.attach import RawTracepoint, Tracepoint
from ebtop.kernel.environment import Environment
from ebtop.kernel.module import Attachment
from ebtop.probes.base import Probe, Settings, comm_text, make_record
from ebtop.store.records import ExecRecord, ExitRecord, Record
from ebtop.text import c_string, clean

_FAILURES = ("syscalls:sys_exit_execve", "syscalls:sys_exit_execveat")
_CALLS = ("syscalls:sys_enter_execve", "syscalls:sys_enter_execveat")
_CORE_DUMPED = 0x80


class ExecProbe(Probe):
    """Source: sched_process_exec, sched_process_exit, sys_exit_execve and sys_exit_execveat."""

    name = "exec"
    artifact = "exec"
    summary = "programs started, failed starts, exits"

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
        # Long ones first: of a failed search for a program that then starts, no attempt comes after the success.
        events = self.module.drain("exec_events", "exec_event")
        events += self.module.drain("short_exec_events", "short_exec_event")
        exits = self.module.drain("exit_events", "exit_event")
        offset, path = self.context.clock.offset_ns, self.context.cgroups.path
        records: list[Record] = []
        for (
            time, cgroup, pid, ppid, uid, ret, filename_len, args_read, args_len, comm, parent_comm, text,
        ) in events:  # fmt: skip
            cut = args_len - args_read
            args = text[filename_len : filename_len + args_read]
            records.append(
                make_record(
                    ExecRecord,
                    (
                        time + offset, pid, comm_text(comm), uid, path(cgroup), ppid, comm_text(parent_comm), ret,
                        c_string(text[:filename_len]), split_args(args, cut > 0), cut,
                    ),
                )
            )  # fmt: skip
        records.sort(key=itemgetter(0))
        for time, duration, cgroup, pid, ppid, uid, code, comm in exits:
            records.append(
                make_record(
                    ExitRecord,
                    (
                        time + offset, pid, comm_text(comm), uid, path(cgroup), ppid, code >> 8 & 0xFF, code & 0x7F,
                        bool(code & _CORE_DUMPED), duration / 1e9,
                    ),
                )
            )  # fmt: skip
        return records


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
