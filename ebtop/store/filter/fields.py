"""Every field of the language: what it is called, and what of which record it is about."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from ebtop.store.end_states import END_STATES, end_state
from ebtop.store.filter import kinds
from ebtop.store.filter.kinds import Kind
from ebtop.store.records import (
    ConnectRecord,
    EventRecord,
    ExecRecord,
    ExitRecord,
    Record,
    RetransmitRecord,
    StackRecord,
    TcpRecord,
)
from ebtop.store.type_names import TYPE_NAMES

Getter = Callable[[Any], Any]
"""A record's value; None = not known."""

RECORD_TYPES: tuple[type[Record], ...] = (*TYPE_NAMES, EventRecord)
_LIVES = (ExecRecord, ExitRecord)
_SOCKETS = (TcpRecord, RetransmitRecord, ConnectRecord)

_TCP_STATES = (
    "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK",
    "LISTEN", "CLOSING", "NEW_SYN_RECV", "UNKNOWN",
)  # fmt: skip
_STACK_STATES = ("sleep", "io", "uninterruptible", "stopped", "minor", "major")
_MAX_PID = 1 << 22
_OWNERS = ("exact", "listener", "proc", "unknown")
_RUNTIMES = ("docker", "containerd", "cri-o", "podman", "lxc", "nspawn", "systemd")


class Plain(NamedTuple):
    """Any of these values of a record decides."""

    getters: tuple[Getter, ...]


class Several(NamedTuple):
    """Any of the values in this sequence decides."""

    getter: Getter


class InContainer(NamedTuple):
    """The container that the record's cgroup is in decides."""


Source = Plain | Several | InContainer


@dataclass(frozen=True)
class Field:
    """One field. Records of a type that `of` does not name do not have it."""

    name: str
    help: str
    """What it is, for people, in a few words."""
    example: str
    kind: Kind
    of: Mapping[type[Record], Source]
    aliases: tuple[str, ...] = ()
    choices: Mapping[type[Record], tuple[str, ...]] | None = None
    """All values that records of a type can have, where they are few; a value that none of them has is an error."""
    usual: tuple[str, ...] = ()
    """Values to offer, where there may be others."""
    known_as: str = ""
    """The name under which `complete` is given known values; "" = its own."""

    def source(self, record_type: type[Record], names: tuple[str, ...] = ()) -> Source | None:
        """How to get at it; `names` are the fields of an EventRecord. None = such records do not have it."""
        if record_type in self.of or record_type is not EventRecord:
            return self.of.get(record_type)
        for name in (self.name, *self.aliases):
            if name in names and self.choices is None and isinstance(self.kind, (kinds.Number, kinds.Text)):
                return Plain((partial(_event_field, names.index(name), isinstance(self.kind, kinds.Number)),))
        return None

    @property
    def operator(self) -> str:
        """The one that is most likely wanted."""
        return ">" if isinstance(self.kind, kinds.Number) and (self.kind.measured or len(self.kind.units) > 1) else ":"


def _event_field(index: int, is_number: bool, record: EventRecord) -> Any:
    value = record.fields[index][1]
    if is_number:
        return value if isinstance(value, (int, float)) else None
    return None if value is None else str(value)


def _all(getter: Getter) -> dict[type[Record], Source]:
    return dict.fromkeys(RECORD_TYPES, Plain((getter,)))


def _of(types: tuple[type[Record], ...], *getters: Getter) -> dict[type[Record], Source]:
    return dict.fromkeys(types, Plain(getters))


_CONTAINER: dict[type[Record], Source] = dict.fromkeys(RECORD_TYPES, InContainer())


def _type_of(record_type: type[Record]) -> Source:
    name = TYPE_NAMES.get(record_type)
    return Plain((lambda record: name,)) if name else Plain((lambda record: record.type,))


FIELDS: tuple[Field, ...] = (
    Field(
        "pid", "process id", "pid:1234",
        kinds.number("a process id", "1234", 1, _MAX_PID), _all(lambda r: r.pid or None),
    ),
    Field(
        "comm", "task name, upper and lower case as they are; of samples the process's or the thread's", "comm:nginx",
        kinds.Comm(),
        _all(lambda r: r.comm or None)
        | {StackRecord: Plain((lambda r: r.comm or None, lambda r: r.thread or None))},
    ),
    Field(
        "user", "user by name or uid", "user:www-data",
        kinds.User(), _all(lambda r: r.uid),
    ),
    Field(
        "uid", "user id", "uid>=1000",
        kinds.number("a user id", "0 or 1000", 0), _all(lambda r: r.uid),
    ),
    Field(
        "ppid", "parent's process id, of execs and exits", "ppid:1",
        kinds.number("a process id", "1234", 0), _of(_LIVES, lambda r: r.ppid),
    ),
    Field(
        "parent", "parent's task name, of execs", "parent:cron",
        kinds.Comm(), _of((ExecRecord,), lambda r: r.parent_comm or None), known_as="comm",
    ),
    Field(
        "cmd", "part of the command line, of execs", 'cmd:"--config /etc"',
        kinds.Part(), _of((ExecRecord,), lambda r: " ".join(r.args) or None, lambda r: r.filename or None),
        ("command", "cmdline"),
    ),
    Field(
        "arg", "one whole argument, of execs", "arg:--verbose",
        kinds.Text(), {ExecRecord: Several(lambda r: r.args)}, ("args",),
    ),
    Field(
        "cgroup", "a cgroup and everything below it", "cgroup:/system.slice",
        kinds.CgroupPath(), _all(lambda r: r.cgroup),
    ),
    Field(
        "container", "container by name or beginning of its id, service by unit", "container:web",
        kinds.ContainerName(), _CONTAINER,
    ),
    Field(
        "pod", "pod, or namespace/pod", "pod:shop/cart-*",
        kinds.PodName(), _CONTAINER,
    ),
    Field(
        "namespace", "the pod's namespace", "namespace:shop",
        kinds.OfContainer(attribute="namespace"), _CONTAINER, ("ns",),
    ),
    Field(
        "runtime", "what runs the container", "runtime:docker",
        kinds.OfContainer(attribute="runtime"), _CONTAINER, usual=_RUNTIMES,
    ),
    Field(
        "port", "port of either end", "port:443",
        kinds.number("a port", "443 or 8000..8999", 1, 65535),
        _of(_SOCKETS, lambda r: r.dport or None, lambda r: r.sport or None),
    ),
    Field(
        "sport", "port of this end", "sport:8080",
        kinds.number("a port", "443 or 8000..8999", 1, 65535), _of(_SOCKETS, lambda r: r.sport or None),
        ("lport",), known_as="port",
    ),
    Field(
        "dport", "port of the other end", "dport:5432",
        kinds.number("a port", "443 or 8000..8999", 1, 65535), _of(_SOCKETS, lambda r: r.dport or None),
        ("rport",), known_as="port",
    ),
    Field(
        "addr", "address of either end; also a network", "addr:10.0.0.0/8",
        kinds.Address(), _of(_SOCKETS, lambda r: r.daddr or None, lambda r: r.saddr or None), ("host", "address"),
    ),
    Field(
        "saddr", "address of this end", "saddr:10.0.0.5",
        kinds.Address(), _of(_SOCKETS, lambda r: r.saddr or None), ("laddr", "src"), known_as="addr",
    ),
    Field(
        "daddr", "address of the other end", "daddr:fd00::/8",
        kinds.Address(), _of(_SOCKETS, lambda r: r.daddr or None), ("raddr", "dst", "peer"), known_as="addr",
    ),
    Field(
        "ip", "IP version", "ip:6",
        kinds.number("an IP version", "4 or 6", 4, 6), _of(_SOCKETS, lambda r: r.ip),
    ),
    Field(
        "dir", "who opened a connection: out = this end", "dir:in",
        kinds.Choice(), _of((TcpRecord,), lambda r: r.direction), ("direction",), {TcpRecord: ("in", "out")},
    ),
    Field(
        "state", "TCP state; of a connection's end how it ended, or the state before; of a stack what it waits in",
        "state:syn_sent",
        kinds.Choice(),
        _of((TcpRecord,), lambda r: r.state, lambda r: end_state(r) if r.event == "close" else None)
        | _of((RetransmitRecord,), lambda r: r.state)
        | _of((StackRecord,), lambda r: r.state or None), (),
        {TcpRecord: (*_TCP_STATES, *END_STATES), RetransmitRecord: _TCP_STATES, StackRecord: _STACK_STATES},
    ),
    Field(
        "event", "what happened to a connection; live = it is open", "event:accept",
        kinds.Choice(), _of((TcpRecord,), lambda r: r.event), (),
        {TcpRecord: ("connect", "accept", "close", "live")},
    ),
    Field(
        "bytes", "payload of a connection so far, both ways", "bytes>1M",
        kinds.size("a number of bytes"), _of((TcpRecord,), lambda r: r.tx_bytes + r.rx_bytes),
    ),
    Field(
        "tx", "payload sent and acknowledged", "tx>64k",
        kinds.size("a number of bytes"), _of((TcpRecord,), lambda r: r.tx_bytes), ("tx_bytes",),
    ),
    Field(
        "rx", "payload received", "rx>1G",
        kinds.size("a number of bytes"), _of((TcpRecord,), lambda r: r.rx_bytes), ("rx_bytes",),
    ),
    Field(
        "retransmits", "segments sent again: of a connection so far, of a retransmit these", "retransmits>10",
        kinds.count("a number of segments"),
        _of((TcpRecord,), lambda r: r.retransmits) | _of((RetransmitRecord,), lambda r: r.segments),
        ("retrans", "segments"),
    ),
    Field(
        "owner", "how the process of a connection is known", "owner:unknown",
        kinds.Choice(), _of((TcpRecord, RetransmitRecord), lambda r: r.owner), (),
        dict.fromkeys((TcpRecord, RetransmitRecord), _OWNERS),
    ),
    Field(
        "netns", "network namespace, its inode number", "netns:4026531840",
        kinds.number("a network namespace", "4026531840", 1), _of(_SOCKETS, lambda r: r.netns),
    ),
    Field(
        "error", "why a connection or a connect failed", "error:ECONNRESET",
        kinds.Text(), _of((TcpRecord, ConnectRecord), lambda r: r.error),
    ),
    Field(
        "reset", "who reset a connection", "reset:peer",
        kinds.Choice(), _of((TcpRecord,), lambda r: r.reset), (), {TcpRecord: ("local", "peer")},
    ),
    Field(
        "lat", "how long a connect took; a bare number is in ms", "lat>100ms",
        kinds.milliseconds(), _of((ConnectRecord,), lambda r: r.latency_ms), ("latency",),
    ),
    Field(
        "result", "how a connect ended", "result:refused",
        kinds.Choice(), _of((ConnectRecord,), lambda r: r.result), (),
        {ConnectRecord: ("ok", "refused", "timeout", "unreachable", "aborted", "pending")},
    ),
    Field(
        "ret", "result of an exec: 0, or a negative errno, also by name", "ret:ENOENT",
        kinds.Number("an exec's result", "0, -2 or ENOENT", names=kinds.negative_errno),
        _of((ExecRecord,), lambda r: r.ret),
    ),
    Field(
        "exit", "exit code of a process that no signal ended", "exit!=0",
        kinds.number("an exit code", "0 to 255", 0, 255),
        _of((ExitRecord,), lambda r: None if r.signal else r.exit_code), ("exit_code", "code"),
    ),
    Field(
        "signal", "signal that ended a process, by name or number; 0 = none", "signal:SIGKILL",
        kinds.Number("a signal", "9 or SIGKILL", names=kinds.signal_number, least=0, most=64),
        _of((ExitRecord,), lambda r: r.signal), ("sig",),
    ),
    Field(
        "duration", "how long a process lived or a connection was open; a bare number is in s", "duration>5s",
        kinds.seconds(), _of((ExitRecord, TcpRecord), lambda r: r.duration_s), ("age",),
    ),
    Field(
        "func", "a function in a stack, by its whole name", "func:*alloc*",
        kinds.Text(), {StackRecord: Several(lambda r: [frame[0] for frame in r.frames])}, ("function", "frame"),
    ),
    Field(
        "module", "a binary, library or kernel module in a stack", "module:libc*",
        kinds.Text(), {StackRecord: Several(lambda r: [frame[2] for frame in r.frames if frame[2]])},
    ),
    Field(
        "samples", "samples of one stack", "samples>10",
        kinds.count("a number of samples"), _of((StackRecord,), lambda r: r.samples),
    ),
    Field(
        "waker", "task that woke a thread, off the CPU; interrupt = an interrupt did", "waker:postgres",
        kinds.Text(), _of((StackRecord,), lambda r: r.waker or None),
    ),
    Field(
        "blocked", "how long a stack was blocked in a second, all threads together; a bare number is in ms",
        "blocked>100ms",
        kinds.milliseconds(), _of((StackRecord,), lambda r: r.amount / 1e6 if r.kind == "offcpu" else None),
    ),
    Field(
        "kind", "kind of a retransmit, or of a stack", "kind:rto",
        kinds.Choice(), _of((RetransmitRecord, StackRecord), lambda r: r.kind), (),
        {RetransmitRecord: ("rto", "fast", "tlp", "syn", "synack"), StackRecord: ("cpu", "offcpu", "faults")},
    ),
    Field(
        "type", "type of a record", "type:exec",
        kinds.Choice(), {record_type: _type_of(record_type) for record_type in RECORD_TYPES},
        usual=tuple(TYPE_NAMES.values()),
    ),
)  # fmt: skip

_BY_NAME = {name: field for field in FIELDS for name in (field.name, *field.aliases)}


def find(name: str) -> Field | None:
    """The field of this name or alias, upper and lower case alike."""
    return _BY_NAME.get(name.lower())


def nearest(name: str) -> str | None:
    """The name of a field that looks like it."""
    found = difflib.get_close_matches(name.lower(), _BY_NAME, 1, 0.6)
    return found[0] if found else None
