"""The name of each record type, and which types a probe yields."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.errors import UsageError
from ebtop.store.records import (
    ConnectRecord,
    ExecRecord,
    ExitRecord,
    Record,
    RetransmitRecord,
    StackRecord,
    TcpRecord,
)

TYPE_NAMES: dict[type[Record], str] = {
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


def types_of(probes: Sequence[str]) -> tuple[type[Record], ...]:
    """The record types of these probes, each once, in their order.

    Raises UsageError for a probe that yields no records.
    """
    types: dict[type[Record], None] = {}
    for probe in probes:
        if probe not in PROBE_TYPES:
            raise UsageError(f"probe {probe!r} prints no records", fix=f"use {', '.join(PROBE_TYPES)}")
        types.update(dict.fromkeys(PROBE_TYPES[probe]))
    return tuple(types)


def owner_known(record: Record) -> bool:
    """Whether pid and comm say anything. Pid 0 with a name is the idle task."""
    return record.pid != 0 or record.comm != ""
