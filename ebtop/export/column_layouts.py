"""The columns of each record type under the names that the BCC tools gave them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ebtop.export.folded_stack import folded
from ebtop.export.record_types import owner_known
from ebtop.export.timestamps import local_clock
from ebtop.store.command_line import command_line
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
from ebtop.store.stack_kinds import CPU, FAULTS, PAGE_BYTES, folded_count
from ebtop.store.type_names import type_name

UNKNOWN = "-"


class Column(NamedTuple):
    """One column of text. A value wider than the column pushes the rest of its line to the right."""

    name: str
    width: int
    """In characters; negative = aligned to the right, 0 = the last column, as wide as its value."""
    value: Callable[[Any], str]


class Layout(NamedTuple):
    """How one record type prints."""

    alone: tuple[Column, ...]
    """When nothing else is printed: as the BCC tool does it."""
    details: tuple[Column, ...]
    """Behind the columns that all types share, when several are printed."""


def _pid(record: Record) -> str:
    return str(record.pid) if owner_known(record) else UNKNOWN


def _comm(record: Record) -> str:
    return record.comm or UNKNOWN


def _exit_code(record: ExitRecord) -> str:
    if record.exit_code is None:
        return "end not seen"
    if record.signal:
        name = signal_name(record.signal).removeprefix("SIG")
        return f"signal {record.signal} ({name})" + (", core dumped" if record.core_dumped else "")
    return f"code {record.exit_code}" if record.exit_code else "0"


def _local_end(record: RetransmitRecord) -> str:
    return _endpoint(record.saddr, record.sport)


def _remote_end(record: RetransmitRecord) -> str:
    return _endpoint(record.daddr, record.dport)


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _age(record: ExitRecord) -> str:
    return UNKNOWN if record.duration_s is None else f"{record.duration_s:.3f}"


def _duration_ms(record: TcpRecord) -> str:
    return UNKNOWN if record.duration_s is None else f"{record.duration_s * 1000:.2f}"


def _stack_amount(record: StackRecord) -> str:
    """CPU time and time blocked in ms, memory in KiB."""
    if record.kind == FAULTS:
        return f"{record.amount * PAGE_BYTES >> 10} KiB"
    if record.kind == CPU and not record.period_ns:
        return UNKNOWN
    return f"{record.weight / 1e6:.1f} ms"


TIME = Column("TIME", 12, lambda r: local_clock(r.time_ns))
TYPE = Column("TYPE", 10, type_name)
PID = Column("PID", 7, _pid)
COMM = Column("COMM", 16, _comm)
_PCOMM = COMM._replace(name="PCOMM")
_PPID = Column("PPID", 7, lambda r: str(r.ppid))
_IP = Column("IP", 2, lambda r: str(r.ip))
_STATE = Column("STATE", 12, lambda r: r.state)

# execsnoop
_RET = Column("RET", 4, lambda r: str(r.ret))
_ARGS = Column("ARGS", 0, command_line)

# exitsnoop
_AGE = Column("AGE(s)", 9, _age)
_EXIT_CODE = Column("EXIT_CODE", 0, _exit_code)

# tcplife, with tcptracer's events
_EVENT = Column("EVENT", 7, lambda r: r.event)
_LADDR = Column("LADDR", 15, lambda r: r.saddr)
_LPORT = Column("LPORT", 5, lambda r: str(r.sport))
_RADDR = Column("RADDR", 15, lambda r: r.daddr)
_RPORT = Column("RPORT", 5, lambda r: str(r.dport))
_TX_KB = Column("TX_KB", -8, lambda r: f"{r.tx_bytes / 1024:.1f}")
_RX_KB = Column("RX_KB", -8, lambda r: f"{r.rx_bytes / 1024:.1f}")
_MS = Column("MS", 0, _duration_ms)

# tcpretrans
_LADDR_LPORT = Column("LADDR:LPORT", 21, _local_end)
_T = Column("T>", 2, lambda r: "L>" if r.kind == "tlp" else "R>")
_RADDR_RPORT = Column("RADDR:RPORT", 21, _remote_end)
_KIND = Column("KIND", 6, lambda r: r.kind)
_SEGS = Column("SEGS", 0, lambda r: str(r.segments))

# tcpconnlat
_SADDR = Column("SADDR", 15, lambda r: r.saddr)
_DADDR = Column("DADDR", 15, lambda r: r.daddr)
_DPORT = Column("DPORT", 5, lambda r: str(r.dport))
_LAT = Column("LAT(ms)", -9, lambda r: f"{r.latency_ms:.2f}")
_RESULT = Column("RESULT", 0, lambda r: r.result)

# profile -f, offcputime -f
_STACK_KIND = Column("KIND", 6, lambda r: r.kind)
_STACK_STATE = Column("STATE", 15, lambda r: r.state or UNKNOWN)
_COUNT = Column("COUNT", -6, lambda r: str(r.amount if r.kind == FAULTS else r.samples))
_AMOUNT = Column("AMOUNT", -10, _stack_amount)
_STACK = Column("STACK", 0, folded)
_FOLDED = Column("", 0, lambda r: f"{folded(r)} {folded_count(r)}")

_TCP_DETAILS = (_IP, _LADDR, _LPORT, _RADDR, _RPORT, _TX_KB, _RX_KB, _MS)
_RETRANSMIT_DETAILS = (_IP, _LADDR_LPORT, _T, _RADDR_RPORT, _STATE, _KIND, _SEGS)
_CONNECT_DETAILS = (_IP, _SADDR, _DADDR, _DPORT, _LAT, _RESULT)

# any other probe
_EVENT_FIELDS = Column("FIELDS", 0, lambda r: " ".join(f"{k}={UNKNOWN if v is None else v}" for k, v in r.fields))

LAYOUTS: dict[type[Record], Layout] = {
    ExecRecord: Layout((TIME, _PCOMM, PID, _PPID, _RET, _ARGS), (_PPID, _RET, _ARGS)),
    ExitRecord: Layout((TIME, _PCOMM, PID, _PPID, _AGE, _EXIT_CODE), (_PPID, _AGE, _EXIT_CODE)),
    TcpRecord: Layout((TIME, _EVENT, PID, COMM, *_TCP_DETAILS), (_EVENT, *_TCP_DETAILS)),
    RetransmitRecord: Layout((TIME, PID, *_RETRANSMIT_DETAILS), _RETRANSMIT_DETAILS),
    ConnectRecord: Layout((PID, COMM, *_CONNECT_DETAILS), _CONNECT_DETAILS),
    StackRecord: Layout((_FOLDED,), (_STACK_KIND, _STACK_STATE, _COUNT, _AMOUNT, _STACK)),
    EventRecord: Layout((TIME, TYPE, PID, COMM, _EVENT_FIELDS), (_EVENT_FIELDS,)),
}
