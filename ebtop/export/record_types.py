"""Which record types a probe yields, and what stands over them."""

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
from ebtop.store.type_names import TYPE_NAMES

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
    """The record types of these probes, each once, in their order. A probe not named here yields events."""
    types: dict[type[Record], None] = {}
    for probe in probes:
        types.update(dict.fromkeys(PROBE_TYPES.get(probe, (EventRecord,))))
    return tuple(types)


def title(record_type: type[Record]) -> str:
    """What stands over the columns of a type in a table of several."""
    return TYPE_NAMES.get(record_type, "others")


def owner_known(record: Record) -> bool:
    """Whether pid and comm say anything. Pid 0 with a name is the idle task."""
    return record.pid != 0 or record.comm != ""
