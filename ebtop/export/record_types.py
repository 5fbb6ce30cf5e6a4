"""The name of each record type, and which types a probe yields."""

from __future__ import annotations

from collections.abc import Sequence

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

_TYPE_NAMES: dict[type[Record], str] = {
    ExecRecord: "exec",
    ExitRecord: "exit",
    TcpRecord: "tcp",
    RetransmitRecord: "retransmit",
    ConnectRecord: "connect",
    StackRecord: "stack",
}

PROBE_TYPES: dict[str, tuple[type[Record], ...]] = {
    "cpu": (StackRecord,),
    "exec": (ExecRecord, ExitRecord),
    "tcp": (TcpRecord,),
    "retransmits": (RetransmitRecord,),
    "connects": (ConnectRecord,),
    "offcpu": (StackRecord,),
    "faults": (StackRecord,),
}


def type_name(record: Record) -> str:
    """The `type` of a record's JSON line."""
    return record.type if isinstance(record, EventRecord) else _TYPE_NAMES[type(record)]


def types_of(probes: Sequence[str]) -> tuple[type[Record], ...]:
    """The record types of these probes, each once, in their order. A probe not named here yields events."""
    types: dict[type[Record], None] = {}
    for probe in probes:
        types.update(dict.fromkeys(PROBE_TYPES.get(probe, (EventRecord,))))
    return tuple(types)


def title(record_type: type[Record]) -> str:
    """What stands over the columns of a type in a table of several."""
    return _TYPE_NAMES.get(record_type, "others")


def owner_known(record: Record) -> bool:
    """Whether pid and comm say anything. Pid 0 with a name is the idle task."""
    return record.pid != 0 or record.comm != ""
