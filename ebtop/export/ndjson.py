"""Records as newline-delimited JSON, one object a line, all ASCII.

Each object has the common fields, then those of its type in the order of the command line's contract,
then what else is known. A value that is not known is null.
"""

from __future__ import annotations

from collections.abc import Callable
from json import JSONEncoder
from typing import Any

from ebtop.export.record_types import owner_known, type_name
from ebtop.export.timestamps import rfc3339
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

_encode = JSONEncoder(separators=(",", ":"), check_circular=False).encode


def to_json(record: Record) -> str:
    """One line without its line break."""
    known = owner_known(record)
    fields: dict[str, object] = {
        "type": type_name(record),
        "time": rfc3339(record.time_ns),
        "pid": record.pid if known else None,
        "comm": record.comm if known else None,
        "uid": record.uid,
        "cgroup": record.cgroup,
        "container": None,
        "pod": None,
    }
    fields.update(_FIELDS[type(record)](record))
    return _encode(fields)


def _exec(record: ExecRecord) -> dict[str, object]:
    return {
        "ppid": record.ppid,
        "ret": record.ret,
        "args": record.args,
        "args_truncated": record.args_truncated,
        "filename": record.filename,
        "parent_comm": record.parent_comm,
    }


def _exit(record: ExitRecord) -> dict[str, object]:
    return {
        "exit_code": record.exit_code,
        "signal": record.signal,
        "duration_s": record.duration_s,
        "ppid": record.ppid,
        "core_dumped": record.core_dumped,
    }


def _tcp(record: TcpRecord) -> dict[str, object]:
    return {
        "event": record.event,
        "ip": record.ip,
        "saddr": record.saddr,
        "sport": record.sport,
        "daddr": record.daddr,
        "dport": record.dport,
        "state": record.state,
        "tx_bytes": record.tx_bytes,
        "rx_bytes": record.rx_bytes,
        "duration_s": record.duration_s,
        "direction": record.direction,
        "netns": record.netns,
        "owner": record.owner,
        "error": record.error,
        "reset": record.reset,
        "retransmits": record.retransmits,
    }


def _retransmit(record: RetransmitRecord) -> dict[str, object]:
    return {
        "ip": record.ip,
        "saddr": record.saddr,
        "sport": record.sport,
        "daddr": record.daddr,
        "dport": record.dport,
        "state": record.state,
        "segments": record.segments,
        "kind": record.kind,
        "netns": record.netns,
        "owner": record.owner,
    }


def _connect(record: ConnectRecord) -> dict[str, object]:
    return {
        "ip": record.ip,
        "daddr": record.daddr,
        "dport": record.dport,
        "latency_ms": record.latency_ms,
        "result": record.result,
        "saddr": record.saddr,
        "sport": record.sport,
        "error": record.error,
        "netns": record.netns,
    }


def _stack(record: StackRecord) -> dict[str, object]:
    return {
        "kind": record.kind,
        "count": record.samples,
        "frames": [frame.name for frame in record.frames],
        "complete": record.complete,
    }


def _event(record: EventRecord) -> dict[str, object]:
    return dict(record.fields)


_FIELDS: dict[type[Record], Callable[[Any], dict[str, object]]] = {
    ExecRecord: _exec,
    ExitRecord: _exit,
    TcpRecord: _tcp,
    RetransmitRecord: _retransmit,
    ConnectRecord: _connect,
    StackRecord: _stack,
    EventRecord: _event,
}
