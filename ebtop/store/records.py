"""The typed records a source yields. Immutable, cheap to make, safe to print.

Every record starts with the same fields: `time_ns` (wall clock, ns since the Unix epoch), `pid` (tgid in
the root pid namespace, 0 where not known), `comm` (task name, already printable, "" where not known),
`uid` (None where not known), `cgroup` (path below the hierarchy's root, None where not known).
"""

from __future__ import annotations

from typing import NamedTuple


class ExecRecord(NamedTuple):
    """One execve(2) or execveat(2) call. Source: raw tracepoint sched_process_exec; sys_exit_execve for failures."""

    time_ns: int
    pid: int
    comm: str
    uid: int | None
    cgroup: str | None
    ppid: int
    parent_comm: str
    ret: int
    """0, or the negative errno of a failed call."""
    filename: str
    args: tuple[str, ...]
    args_truncated: int
    """Bytes of argv that were not read (0 = `args` is whole). For a failed call a floor."""


class ExitRecord(NamedTuple):
    """The last thread of a process ended. Source: raw tracepoint sched_process_exit; where what that told of a process
    was lost, that it is not in /proc any more. Such an end was not seen: all about it is None, `time_ns` is when the
    process was missed, and who it was is what its last exec said.
    """

    time_ns: int
    pid: int
    comm: str
    uid: int | None
    cgroup: str | None
    ppid: int
    exit_code: int | None
    """None = its end was not seen."""
    signal: int | None
    """The signal that ended it, 0 for a normal exit; None = its end was not seen."""
    core_dumped: bool | None
    """None = its end was not seen."""
    duration_s: float | None
    """Since the process was forked; None = its end was not seen."""


class TcpRecord(NamedTuple):
    """A TCP connection: opened, accepted, closed, or (event `live`) still open with its bytes so far.

    Source: raw tracepoint inet_sock_set_state for events, a walk over what those told of for `live`; bytes from
    tcp_sock.bytes_acked and bytes_received, without the SYN and FIN that the kernel counts in.
    """

    time_ns: int
    pid: int
    comm: str
    uid: int | None
    cgroup: str | None
    event: str
    """connect, accept, close or live."""
    key: int
    """Tells connections apart (the struct sock address); not for people."""
    ip: int
    """4 or 6; a v4-mapped IPv6 address counts as 4."""
    saddr: str
    sport: int
    daddr: str
    dport: int
    state: str
    """TCP state name; for `close` the state before it."""
    tx_bytes: int
    """Payload bytes the peer has acknowledged."""
    rx_bytes: int
    """Payload bytes received in order."""
    duration_s: float | None
    """Since connect() or the SYN; None where the start was not seen."""
    direction: str | None
    """in, out, or None where not known."""
    netns: int
    """Inode number of the network namespace."""
    owner: str
    """How pid is known: exact (seen in its own context), listener (who called listen), proc (from /proc), unknown."""
    error: str | None
    """ECONNREFUSED, ECONNRESET, ETIMEDOUT...; None when there was none."""
    reset: str | None
    """Who reset it: local, peer, or None."""
    retransmits: int
    """Segments retransmitted over the life of the connection."""


class RetransmitRecord(NamedTuple):
    """Segments sent again. Source: tcp_retransmit_skb, tcp_retransmit_synack and tcp_sock.total_retrans."""

    time_ns: int
    pid: int
    comm: str
    uid: int | None
    cgroup: str | None
    ip: int
    saddr: str
    sport: int
    daddr: str
    dport: int
    state: str
    segments: int
    kind: str
    """rto, fast, tlp, syn, synack."""
    netns: int
    owner: str


class ConnectRecord(NamedTuple):
    """A connect() that finished, or (result `pending`) is still waiting past the threshold."""

    time_ns: int
    pid: int
    comm: str
    uid: int | None
    cgroup: str | None
    key: int
    ip: int
    saddr: str
    sport: int
    daddr: str
    dport: int
    latency_ms: float
    result: str
    """ok, refused, timeout, unreachable, aborted, pending."""
    error: str | None
    """None for one that was aborted: whoever called gave up. EADDRNOTAVAIL: there was no free port for it."""
    netns: int


class Frame(NamedTuple):
    """One frame of a stack by name."""

    name: str
    kind: str
    """kernel, native, interpreted, jit, unknown (no symbol: name is [module+0xoffset], of a function known only
    by where it begins [module+0xbegin()], or [unknown]), or cut (no frame: a mark where frames are missing)."""
    module: str
    """File name of the binary or of the source, kernel module, or ""."""
    file: str = ""
    """The source file of an interpreted function, as its code names it; "" where not known."""
    line: int = 0
    """The function's first line in `file`, 0 where not known."""


class StackRecord(NamedTuple):
    """`samples` samples of one stack, of a process's threads of one name.

    Source: by kind: perf_event cpu-clock; raw tracepoint sched_switch, the stack of what was taken off a CPU and is
    not ready to run; perf_event page-faults-min and -maj.
    """

    time_ns: int
    pid: int
    comm: str
    """Of the process: its first thread's."""
    uid: int | None
    cgroup: str | None
    kind: str
    """cpu, offcpu or faults."""
    samples: int
    """Of offcpu how often it was blocked and woken up again; what is blocked still has amounts, and 0 samples."""
    frames: tuple[Frame, ...]
    """Root first."""
    complete: bool
    """The user stack reaches the program's or thread's entry (or there is none); False = cut."""
    thread: str = ""
    """The name of the threads that ran; "" = the same as `comm`."""
    period_ns: int = 0
    """The CPU time that each sample stands for: estimated CPU time = samples * period_ns, which stays right where the
    sampling rate was changed. 0 = not known, or not samples of CPU time."""
    amount: int = 0
    """offcpu: ns blocked, all samples together. faults: page faults, estimated (samples times the sampling period).
    cpu: 0, it is samples * period_ns."""
    state: str = ""
    """offcpu: sleep, io (uninterruptible, waiting for a disk or a file system), uninterruptible (for anything else),
    stopped. faults: minor, major (a disk or a swap device was read). "" for cpu."""
    waker: str = ""
    """offcpu: task name of who ended the wait; "interrupt" where an interrupt did; "" where not known."""
    waker_pid: int = 0
    """offcpu: process of that task; 0 = an interrupt, or not known."""
    cut: str = ""
    """Why the user stack is not complete, in words; "" when it is."""

    @property
    def weight(self) -> int:
        """What a tree of one kind is weighed by: ns of CPU time, or samples where their period is not known; ns
        blocked; page faults."""
        return self.samples * (self.period_ns or 1) if self.kind == "cpu" else self.amount


class EventRecord(NamedTuple):
    """An event of a probe that needs no table of its own: printed and exported as it is."""

    time_ns: int
    pid: int
    comm: str
    uid: int | None
    cgroup: str | None
    type: str
    """The `type` of its JSON line."""
    fields: tuple[tuple[str, str | int | float | None], ...]
    """Name and value, in the order to print; text already printable."""


Record = EventRecord | ExecRecord | ExitRecord | TcpRecord | RetransmitRecord | ConnectRecord | StackRecord


class ConnectHistogram(NamedTuple):
    """Latency of all finished connects since the probe was loaded, whatever the threshold. Kept in the kernel.

    Bucket i counts latencies in [2**i, 2**(i+1)) microseconds (bucket 0 also holds 0).
    """

    ok: tuple[int, ...]
    failed: tuple[int, ...]


class ModuleFacts(NamedTuple):
    """A file that frames of stacks lie in. Source: /proc/PID/maps and the file's own notes."""

    name: str
    """As in `Frame.module`. Two files may have the same name: then which of them a frame is from is not known."""
    path: str
    """In the mount namespace of the process that it was seen in first, printable; "[vdso]" for the kernel's own."""
    build_id: str
    """GNU build id in hexadecimal digits, "" where the file has none or could not be read."""
    symbols: str = ""
    """Where the names of its functions come from: symtab, debug file, pclntab (Go's own table), minidebuginfo,
    dynsym (exported functions only), none (there are none), or "unreadable: " and why; "" where not known."""


class TcpScan(NamedTuple):
    """Every open TCP socket at one moment, in the namespaces named."""

    time_ns: int
    connections: tuple[TcpRecord, ...]
    netns: tuple[int, ...]
    """Namespaces of which all connections are known."""
    netns_missed: int
    """Namespaces where those that began before ebtop are not."""


class Batch(NamedTuple):
    """What a source hands over at once. Records are in no particular order across types."""

    time_ns: int
    records: list[Record]
    tcp_scan: TcpScan | None = None
    connect_histogram: ConnectHistogram | None = None
    pending_connects: tuple[ConnectRecord, ...] | None = None
    """Connects past the threshold that have not finished; None = not looked at this time."""
    sampled_s: float = 0.0
    """Seconds that the stack records in this batch cover, 0 when there was no drain."""
    sampled_kind: str = "cpu"
    """The kind of stacks that `sampled_s` is about."""
    modules: tuple[ModuleFacts, ...] = ()
    """Files that frames of this batch lie in and that no batch told of before. Sent again where the facts changed."""
