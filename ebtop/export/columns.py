"""Records as aligned columns for people."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.export.column_layouts import COMM, LAYOUTS, PID, TIME, TYPE, Column
from ebtop.export.record_types import title, types_of
from ebtop.store.records import Record, StackRecord

_SHARED = (TIME, TYPE, PID, COMM)
_GAP = " "


class Columns:
    """Prints what some probes yield as one table.

    Where all records are of one type, the table is that of the BCC tool: tcplife and tcptracer for tcp,
    tcpretrans for retransmits, tcpconnlat for connects, and folded stacks without a header for cpu, offcpu (counts
    are microseconds) and faults.

    Where several types, or several kinds of stacks, share the table (also for exec, which yields execs and exits),
    each line begins with TIME, TYPE, PID and COMM, and the columns of its type follow. The header then has a line
    with the shared names and below it a line for each type, whose names stand over that type's values:

        TIME         TYPE       PID     COMM
                     exec                                PPID    RET  ARGS
                     exit                                PPID    AGE(s)    EXIT_CODE
        14:00:00.123 exec       4711    ls               4700    0    ls -l
        14:00:00.125 exit       4711    ls               4700    0.002     0

    Times are local. A value that is not known is "-".
    """

    def __init__(self, probes: Sequence[str]) -> None:
        """`probes` are names as on the command line."""
        self._types = types_of(probes)
        # A folded stack does not say whether it counts samples, microseconds or page faults.
        self._mixed = len(self._types) != 1 or (self._types == (StackRecord,) and len(set(probes)) > 1)

    def header(self) -> str:
        """Without the last line break; "" where a header would not belong to the format."""
        if not self._mixed:
            return _names(LAYOUTS[self._types[0]].alone)
        lines = [_names(_SHARED)]
        for record_type in self._types:
            heads = ["", title(record_type), "", ""]
            shared = _join([_pad(text, column) for text, column in zip(heads, _SHARED, strict=True)])
            lines.append(f"{shared}{_GAP}{_names(LAYOUTS[record_type].details)}")
        return "\n".join(lines)

    def line(self, record: Record) -> str:
        """One record, without its line break."""
        layout = LAYOUTS[type(record)]
        columns = (*_SHARED, *layout.details) if self._mixed else layout.alone
        return _join([_pad(column.value(record), column) for column in columns]).rstrip()


def _names(columns: Sequence[Column]) -> str:
    return _join([_pad(column.name, column) for column in columns]).rstrip()


def _join(cells: Sequence[str]) -> str:
    return _GAP.join(cells)


def _pad(text: str, column: Column) -> str:
    return text.rjust(-column.width) if column.width < 0 else text.ljust(column.width)
