"""The tools that are compared, as their users would start them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EBTOP = str(Path(__file__).parents[2] / "bin" / "ebtop")

_BPFTRACE_EXEC = 'tracepoint:syscalls:sys_enter_execve { printf("%d ", pid); join(args->argv); }'
_BPFTRACE_EXIT = 'tracepoint:sched:sched_process_exit { printf("%s %d\\n", comm, pid); }'
_BPFTRACE_TCP = (
    "tracepoint:sock:inet_sock_set_state /args->newstate == 7 && args->protocol == 6/ "
    '{ printf("%d %s - %d - %d \\n", pid, comm, args->sport, args->dport); }'
)


@dataclass(frozen=True)
class Tool:
    """A command, the storm it is to watch, and which of the storm's readers understands its output."""

    name: str
    storm: str
    reader: str
    command: tuple[str, ...]


TOOLS = (
    Tool("ebtop trace exec", "exec", "ebtop", (EBTOP, "trace", "exec", "--json")),
    Tool("libbpf-tools execsnoop", "exec", "arguments", ("/usr/sbin/execsnoop",)),
    Tool("libbpf-tools exitsnoop", "exec", "exits", ("/usr/sbin/exitsnoop",)),
    Tool("bpftrace, exec", "exec", "arguments", ("bpftrace", "-e", _BPFTRACE_EXEC)),
    Tool("bpftrace, exit", "exec", "exits", ("bpftrace", "-e", _BPFTRACE_EXIT)),
    Tool("bcc exitsnoop", "exec", "exits", ("/usr/sbin/exitsnoop-bpfcc",)),
    Tool("ebtop trace tcp", "tcp", "ebtop", (EBTOP, "trace", "tcp", "--json")),
    Tool("libbpf-tools tcplife", "tcp", "columns", ("/usr/sbin/tcplife",)),
    Tool("bpftrace, close", "tcp", "columns", ("bpftrace", "-e", _BPFTRACE_TCP)),
    Tool("bcc tcplife", "tcp", "columns", ("/usr/sbin/tcplife-bpfcc",)),
)
