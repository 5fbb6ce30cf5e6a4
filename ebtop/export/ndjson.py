"""Records as newline-delimited JSON, one object a line, all ASCII.

Each object has the common fields, then those of its type in the order of the command line's contract,
then what else is known. A value that is not known is null. Lines are put together by hand: an encoder that
walks a dictionary takes three times as long, and a storm has tens of thousands of records a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from ebtop.export.record_types import owner_known
from ebtop.export.timestamps import rfc3339
from ebtop.store.containers import Container, ContainerLookup, no_containers
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
from ebtop.store.stack_kinds import FAULTS, OFFCPU, PAGE_BYTES
from ebtop.store.type_names import type_name

_MAX_PLACES = 20_000


class JsonLines:
    """Writes records as lines, with the names that `containers` knows."""

    def __init__(self, containers: ContainerLookup = no_containers) -> None:
        self._containers = containers
        self._places: dict[str | None, tuple[Container | None, str]] = {}
        """What is written of a cgroup, and the container that it says."""

    def line(self, record: Record) -> str:
        """One line without its line break."""
        known = owner_known(record)
        return (
            f'{{"type":{_quoted(type_name(record))},"time":"{rfc3339(record.time_ns)}",'
            f'"pid":{record.pid if known else "null"},"comm":{_quoted(record.comm) if known else "null"},'
            f'"uid":{_number(record.uid)},{self._place(record.cgroup)}{_FIELDS[type(record)](record)}}}'
        )

    def _place(self, cgroup: str | None) -> str:
        """Cgroup, container and pod: the same few in a storm of records."""
        container = self._containers(cgroup)
        written = self._places.get(cgroup)
        if written is None or written[0] is not container:
            if len(self._places) >= _MAX_PLACES:
                self._places.clear()
            written = self._places[cgroup] = container, _place_text(cgroup, container)
        return written[1]


def to_json(record: Record) -> str:
    """One line for a record whose container nobody looks up."""
    return _WITHOUT_NAMES.line(record)


def _place_text(cgroup: str | None, container: Container | None) -> str:
    """A service is no container."""
    if container is None or container.runtime == "systemd":
        return f'"cgroup":{_text(cgroup)},"container":null,"pod":null'
    name = container.name or container.id
    return f'"cgroup":{_text(cgroup)},"container":{_quoted(name)},"pod":{_text(container.pod)}'


def _text(value: str | None) -> str:
    return "null" if value is None else _quoted(value)


def _number(value: float | None) -> str:
    return "null" if value is None else repr(value)


def _texts(values: tuple[str, ...]) -> str:
    return f"[{','.join(map(_quoted, values))}]"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _exec(record: ExecRecord) -> str:
    return (
        f',"ppid":{record.ppid},"ret":{record.ret},"args":{_texts(record.args)},'
        f'"args_truncated":{record.args_truncated},"filename":{_quoted(record.filename)},'
        f'"parent_comm":{_quoted(record.parent_comm)}'
    )


def _exit(record: ExitRecord) -> str:
    return (
        f',"exit_code":{_number(record.exit_code)},"signal":{_number(record.signal)},'
        f'"duration_s":{_number(record.duration_s)},"ppid":{record.ppid},'
        f'"core_dumped":{"null" if record.core_dumped is None else _flag(record.core_dumped)}'
    )


def _tcp(record: TcpRecord) -> str:
    return (
        f',"event":"{record.event}","ip":{record.ip},"saddr":"{record.saddr}","sport":{record.sport},'
        f'"daddr":"{record.daddr}","dport":{record.dport},"state":"{record.state}","tx_bytes":{record.tx_bytes},'
        f'"rx_bytes":{record.rx_bytes},"duration_s":{_number(record.duration_s)},'
        f'"direction":{_text(record.direction)},"netns":{record.netns},"owner":"{record.owner}",'
        f'"error":{_text(record.error)},"reset":{_text(record.reset)},"retransmits":{record.retransmits}'
    )


def _retransmit(record: RetransmitRecord) -> str:
    return (
        f',"ip":{record.ip},"saddr":"{record.saddr}","sport":{record.sport},"daddr":"{record.daddr}",'
        f'"dport":{record.dport},"state":"{record.state}","segments":{record.segments},"kind":"{record.kind}",'
        f'"netns":{record.netns},"owner":"{record.owner}"'
    )


def _connect(record: ConnectRecord) -> str:
    return (
        f',"ip":{record.ip},"daddr":"{record.daddr}","dport":{record.dport},"latency_ms":{record.latency_ms!r},'
        f'"result":"{record.result}","saddr":"{record.saddr}","sport":{record.sport},'
        f'"error":{_text(record.error)},"netns":{record.netns}'
    )


def _stack(record: StackRecord) -> str:
    return (
        f',"kind":"{record.kind}","count":{record.amount if record.kind == FAULTS else record.samples},'
        f'"frames":{_texts(tuple([frame.name for frame in record.frames]))},"complete":{_flag(record.complete)},'
        f'"cut":{_quoted(record.cut) if record.cut else "null"},"thread":{_quoted(record.thread or record.comm)}'
        f"{_amounts(record)}"
    )


def _amounts(record: StackRecord) -> str:
    if record.kind == OFFCPU:
        return (
            f',"blocked_ms":{record.amount / 1e6!r},"state":"{record.state}",'
            f'"waker":{_text(record.waker or None)},"waker_pid":{_number(record.waker_pid or None)}'
        )
    if record.kind == FAULTS:
        return f',"samples":{record.samples},"bytes":{record.amount * PAGE_BYTES},"state":"{record.state}"'
    return ""


def _event(record: EventRecord) -> str:
    return "".join([f",{_quoted(name)}:{json.dumps(value)}" for name, value in record.fields])


_FIELDS: dict[type[Record], Callable[[Any], str]] = {
    ExecRecord: _exec,
    ExitRecord: _exit,
    TcpRecord: _tcp,
    RetransmitRecord: _retransmit,
    ConnectRecord: _connect,
    StackRecord: _stack,
    EventRecord: _event,
}

_WITHOUT_NAMES = JsonLines()
