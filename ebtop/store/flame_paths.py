"""How a stack becomes a path of a call tree: what it is grouped by, and from which end it is read."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from ebtop.store.glue import without_glue
from ebtop.store.records import Frame, StackRecord
from ebtop.store.unnamed import is_address_only

_kind = attrgetter("kind")
CUT = Frame("[cut]", "cut", "")
"""Stands where the outer frames of an incomplete stack would be, unless the stack has a mark elsewhere."""
COMMAND, PROCESS, THREAD, WAKER = "command", "process", "thread", "waker"
SPLITS = (COMMAND, PROCESS, THREAD)
OFFCPU_SPLITS = (*SPLITS, WAKER)
STATES = {
    "sleep": "[sleep]",
    "io": "[I/O wait]",
    "uninterruptible": "[uninterruptible]",
    "stopped": "[stopped]",
    "minor": "[minor]",
    "major": "[major: read from a disk]",
}
"""StackRecord.state as a frame's name."""


class Shape(NamedTuple):
    """What a tree is made to show."""

    split: str = COMMAND
    """command: all processes of one name together; process: each one apart; thread: its threads, by name, too;
    waker: who ended its waits, too, off the CPU only."""
    callers: bool = False
    """False: from the process down to the function that ran. True: from that function up to the process."""
    glue: bool = False
    """With the native frames of CPython between Python functions."""


def path_of(stack: StackRecord, shape: Shape) -> list[Frame]:
    """The frames of a path, the tree's outermost first.

    Code without symbols is named by where its function begins, or else by its module: an address says nothing to
    people. A process is a frame of kind `process`, its pid for a module where processes are told apart or the name is
    not known; a thread is one of kind `thread`. What a stack off the CPU waits in, and of page faults what kind they
    are, is a frame of kind `state`, who woke it one of kind `waker`.
    """
    frames = above_code(stack, shape)
    frames += named(stack.frames if shape.glue else without_glue(stack.frames))
    if shape.callers:
        frames.reverse()
    return frames


def above_code(stack: StackRecord, shape: Shape) -> list[Frame]:
    """What stands above the functions of a path: the process at least."""
    alone = shape.split != COMMAND or not stack.comm
    frames = [Frame(stack.comm or "?", "process", str(stack.pid) if alone else "")]
    if shape.split == THREAD:
        frames.append(Frame(stack.thread or stack.comm or "?", "thread", ""))
    if stack.state:
        frames.append(Frame(STATES.get(stack.state, f"[{stack.state}]"), "state", ""))
    if shape.split == WAKER:
        frames.append(Frame(waker_of(stack), "waker", str(stack.waker_pid or "")))
    if lacks_outermost(stack):
        frames.append(CUT)
    return frames


def code_of(frames: Sequence[Frame]) -> Sequence[Frame]:
    """The functions of a stack as a path shows them without glue."""
    return named(without_glue(frames))


def waker_of(stack: StackRecord) -> str:
    """Who ended a wait, for people."""
    if stack.waker_pid:
        return f"woken by {stack.waker or '?'}"
    return "woken by an interrupt" if stack.waker else "still blocked" if not stack.samples else "waker not known"


def named(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Addresses that are in no function that is known under their module's name."""
    if "unknown" not in map(_kind, frames):
        return frames
    return [
        Frame(unnamed_in(frame.module), "unknown", frame.module) if is_address_only(frame) else frame
        for frame in frames
    ]


def lacks_outermost(stack: StackRecord) -> bool:
    """Whether a stack is incomplete and has no mark itself that says where frames are missing."""
    return not stack.complete and "cut" not in map(_kind, stack.frames)


def unnamed_in(module: str) -> str:
    """The name of all frames of a module that have no symbol and are in no function that is known."""
    return f"[{module}]"


def title_of(frame: Frame) -> str:
    """A frame as people read it: nginx (1234), deflate_slow."""
    return f"{frame.name} ({frame.module})" if frame.kind in ("process", "waker") and frame.module else frame.name


def is_code(frame: Frame) -> bool:
    """Whether a frame is a function, and not a process, a thread or a mark."""
    return frame.kind not in ("process", "thread", "state", "waker", "cut", "root")
