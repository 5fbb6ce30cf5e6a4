"""Who fills the user stack of a sample, and how one knows that it is whole.

A way to unwind is a header that defines fill_user_stack(), put in the place of user_stack.h, and a class here that
names it.
"""

from __future__ import annotations

from typing import Protocol


class UserStacks(Protocol):
    """A way to walk user stacks in the kernel."""

    name: str
    header: str
    """The header that stands in for user_stack.h: a name in bpf/, or an absolute path."""


class FramePointers:
    """bpf_get_stack(): right where code keeps frame pointers, two frames deep where it does not."""

    name = "frame pointers"
    header = "user_stack.h"
