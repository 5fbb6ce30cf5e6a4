"""What each record type is called: the `type` of its JSON line, and what `type:` in a filter means."""

from __future__ import annotations

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

TYPE_NAMES: dict[type[Record], str] = {
    ExecRecord: "exec",
    ExitRecord: "exit",
    TcpRecord: "tcp",
    RetransmitRecord: "retransmit",
    ConnectRecord: "connect",
    StackRecord: "stack",
}
"""An EventRecord says its own."""


def type_name(record: Record) -> str:
    """The name of a record's type."""
    return record.type if isinstance(record, EventRecord) else TYPE_NAMES[type(record)]
