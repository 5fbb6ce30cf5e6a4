"""Who fills the user stack of a sample, and how one knows that it is whole.

A way to unwind is a header put in the place of user_stack.h, with the same functions, and a class here that names it.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Protocol

from ebtop.errors import UsageError
from ebtop.kernel.attach import TailCall
from ebtop.kernel.module import Attachment
from ebtop.unwind.ends import End

_NATIVE, _DONE, _FILE, _ON = range(4)
"""Slots of unwind_programs, bpf/unwind.h."""
_KERNEL_STACK_BYTES = 16 << 10


class UserStacks(Protocol):
    """A way to walk user stacks in the kernel."""

    name: str
    """As on the command line."""
    header: str
    """The header that stands in for user_stack.h: a name in bpf/, or an absolute path."""
    hands_over: bool
    """Whether a sample may come with a stack that user space has to walk."""
    no_stack: int
    """What it says of a sample without a user stack, as in `cut` of struct stack."""

    def chain(self, stores: str, prog_type: int) -> Sequence[Attachment]:
        """Programs that a sample goes through, attached once the probe runs; `stores` is the probe's own at the end."""
        ...


class FramePointers:
    """bpf_get_stack(): right where code keeps frame pointers, two frames deep where it does not."""

    name = "frame-pointers"
    header = "user_stack.h"
    hands_over = False
    no_stack: int = End.NOT_KNOWN

    def chain(self, stores: str, prog_type: int) -> Sequence[Attachment]:
        return ()


class UnwindTables:
    """Tables made from .eh_frame, walked in BPF; what they do not cover by frame pointers. x86-64."""

    name = "tables"
    header = "unwind.h"
    hands_over = True
    no_stack: int = End.WHOLE

    def chain(self, stores: str, prog_type: int) -> Sequence[Attachment]:
        # In this order: a walk must not begin before there is something at its end.
        return (
            Attachment(stores, TailCall("unwind_programs", _DONE, prog_type)),
            Attachment("unwind_file", TailCall("unwind_programs", _FILE, prog_type)),
            Attachment("unwind_native", TailCall("unwind_programs", _ON, prog_type)),
            Attachment("unwind_native", TailCall("unwind_programs", _NATIVE, prog_type)),
        )


CONSTANTS = {"unwind.kernel_stack_bytes": _KERNEL_STACK_BYTES, "unwind.ask_for_files": 1}
"""What bpf/unwind.h wants to be told: the size of a task's kernel stack, where no helper finds its registers (before
Linux 5.15); and whether the kernel may be asked which file is mapped where, if it is one that can be (since 6.1)."""


WAYS = (UnwindTables.name, FramePointers.name)


def default_user_stacks() -> UserStacks:
    """The best way on this machine."""
    return UnwindTables() if platform.machine() == "x86_64" else FramePointers()


def user_stacks(name: str) -> UserStacks:
    """The way of that name; "" is the default. Raises UsageError where it is not to be had."""
    if name == FramePointers.name:
        return FramePointers()
    chosen = default_user_stacks()
    if name and chosen.name != name:
        raise UsageError(f"--unwind {name} is for x86-64 only", "", f"give --unwind {FramePointers.name}")
    return chosen
