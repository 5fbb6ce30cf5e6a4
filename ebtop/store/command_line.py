"""A process's argv as one line for people."""

from __future__ import annotations

import shlex

from ebtop.store.records import ExecRecord

_COMM_CHARACTERS = 15


def command_line(record: ExecRecord) -> str:
    """argv quoted as a shell would need it, or the filename where argv is not known.

    Ends in "…+N B" when N bytes of argv were not read; the mark follows the last argument without a
    space because that argument may itself be cut.
    """
    text = shlex.join(record.args) if record.args else record.filename
    return f"{text}…+{record.args_truncated} B" if record.args_truncated else text


def command_name(record: ExecRecord) -> str:
    """What the process is called after the exec, or would have been called had it not failed."""
    if record.ret >= 0:
        return record.comm
    return record.filename.rpartition("/")[2][:_COMM_CHARACTERS] or record.comm
