"""What text a record has for those who search without naming a field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebtop.store.containers import ContainerLookup
from ebtop.store.filter import patterns
from ebtop.store.filter.expression import Value
from ebtop.store.names import signal_name
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


def test(value: Value, record_type: type[Record], containers: ContainerLookup) -> Callable[[Any], bool]:
    """Whether some text of such a record has this in it. A number is a pid, too."""
    text_of = _TEXTS[record_type]
    inside = patterns.inside(value)
    pid = int(value.text) if value.text.isdecimal() and value.text.isascii() else 0

    def is_in(record: Record) -> bool:
        if inside(text_of(record)) or (pid and record.pid == pid):
            return True
        container = containers(record.cgroup) if record.cgroup else None
        # Each for itself: the name of a container is nothing that follows its pod's.
        return container is not None and any(
            map(inside, filter(None, (container.name, container.pod, container.namespace, container.id)))
        )

    return is_in


# A line break between two texts keeps a search from finding the end of one and the beginning of the next.


def _exec(r: ExecRecord) -> str:
    return f"{r.comm}\n{r.parent_comm}\n{' '.join(r.args)}\n{r.filename}\n{r.cgroup or ''}"


def _exit(r: ExitRecord) -> str:
    return f"{r.comm}\n{r.cgroup or ''}\n{signal_name(r.signal) if r.signal else ''}"


def _tcp(r: TcpRecord) -> str:
    return f"{r.comm}\n{r.saddr}:{r.sport}\n{r.daddr}:{r.dport}\n{r.cgroup or ''}\n{r.state}\n{r.error or ''}"


def _retransmit(r: RetransmitRecord) -> str:
    return f"{r.comm}\n{r.saddr}:{r.sport}\n{r.daddr}:{r.dport}\n{r.cgroup or ''}\n{r.state}\n{r.kind}"


def _connect(r: ConnectRecord) -> str:
    return f"{r.comm}\n{r.saddr}:{r.sport}\n{r.daddr}:{r.dport}\n{r.cgroup or ''}\n{r.result}\n{r.error or ''}"


def _stack(r: StackRecord) -> str:
    names = "\n".join([frame[0] for frame in r.frames])
    return f"{r.comm}\n{r.thread}\n{r.cgroup or ''}\n{names}"


def _event(r: EventRecord) -> str:
    values = "\n".join([str(value) for _, value in r.fields if value is not None])
    return f"{r.comm}\n{r.cgroup or ''}\n{r.type}\n{values}"


_TEXTS: dict[type[Record], Callable[[Any], str]] = {
    ExecRecord: _exec,
    ExitRecord: _exit,
    TcpRecord: _tcp,
    RetransmitRecord: _retransmit,
    ConnectRecord: _connect,
    StackRecord: _stack,
    EventRecord: _event,
}
