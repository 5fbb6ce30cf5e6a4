"""Whether a user stack is whole."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.store.records import Frame

DEPTH_MAX = 127
"""Frames that the kernel collects at most (perf_event_max_stack)."""
_LAST_FRAMES = 3
_ENTRIES = frozenset(
    [
        "_start",
        "_start_c",
        "_dl_start_user",
        "_dl_start",
        "__libc_start_main",
        "__libc_start_call_main",
        "main",
        "clone",
        "__clone",
        "clone3",
        "__clone3",
        "start_thread",
        "runtime.goexit",
        "runtime.goexit.abi0",
        "runtime.mstart",
        "runtime.mstart.abi0",
        "runtime.rt0_go",
        "runtime.rt0_go.abi0",
    ]
)
_ENTRY_PREFIX = "__libc_start_main"


def is_entry(frame: Frame) -> bool:
    """Whether programs and threads begin in this function."""
    return frame.kind == "native" and (frame.name in _ENTRIES or frame.name.startswith(_ENTRY_PREFIX))


def is_complete(user: Sequence[Frame], *, kernel_thread: bool, truncated: bool) -> bool:
    """Whether user frames (root first) reach the entry of the program or thread; False when in doubt.

    Stacks walked by frame pointers often lose a frame or two around the entry, which was written
    without them: one of the last three frames must be an entry point.
    """
    if kernel_thread:
        return not user
    if truncated or len(user) >= DEPTH_MAX:
        return False
    return any(is_entry(frame) for frame in user[:_LAST_FRAMES])
