"""Why the walk of a user stack ended where it did."""

from __future__ import annotations

from enum import IntEnum

BY_FRAME_POINTERS = 0x100
"""Set beside the reason: the tables led nowhere, and the frames are what frame pointers gave instead."""


class End(IntEnum):
    """enum walk_end of bpf/unwind.h."""

    NOT_KNOWN = 0
    """Frame pointers ended; nobody knows whether the stack did."""
    TOO_DEEP = 1
    WHOLE = 2
    BASE = 3
    NO_PROCESS = 4
    NO_MAPPING = 5
    NO_TABLE = 6
    NO_INFORMATION = 7
    BAD_FRAME = 8
    UNSUPPORTED = 9
    READ_FAULT = 10
    NO_REGISTERS = 11


NO_FRAME_POINTERS = "code without frame pointers"
TOO_MANY_FUNCTIONS = "more than 127 Python functions"
_REASONS = {
    End.NOT_KNOWN: NO_FRAME_POINTERS,
    End.TOO_DEEP: "more than 127 frames",
    End.BASE: "ends before the program's entry",
    End.NO_PROCESS: "process not known yet",
    End.NO_MAPPING: "mapping not known yet",
    End.NO_TABLE: "unwind table not built yet",
    End.NO_INFORMATION: "code without unwind information",
    End.BAD_FRAME: "unwind information that leads nowhere",
    End.UNSUPPORTED: "unwind information of a kind that is not followed",
    End.READ_FAULT: "stack not readable",
    End.NO_REGISTERS: "registers not readable",
}
REASONS = frozenset((*_REASONS.values(), TOO_MANY_FUNCTIONS))
"""Every text that `reason` may give, but for ""."""


def is_whole(cut: int) -> bool:
    """Whether the walk knows that it reached the end."""
    return cut & ~BY_FRAME_POINTERS == End.WHOLE


def is_short(cut: int) -> bool:
    """Whether a stack is known to be cut, whatever it ends with. `cut` is as in struct stack of bpf/stack.h."""
    return not cut & BY_FRAME_POINTERS and cut not in (End.NOT_KNOWN, End.WHOLE, End.BASE)


def reason(cut: int, reaches_entry: bool) -> str:
    """In words why a stack is cut; "" when it is whole.

    `reaches_entry`: whether names show an entry at its root, which counts where the walk itself can't know.
    """
    end = End(cut & ~BY_FRAME_POINTERS)
    if end == End.WHOLE or (reaches_entry and not is_short(cut)):
        return ""
    return _REASONS[end]
