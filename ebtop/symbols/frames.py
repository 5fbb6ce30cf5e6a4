"""Resolved frames by key, and whole stacks of them, bounded."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.store.records import Frame
from ebtop.symbols.recent import Recent

_FRAME_BYTES = 350
"""A frame, its key and its place in the dictionary, without the text, roughly."""
_STACK_BYTES = 500
_STACK_FRAME_BYTES = 16
"""An address in the key, and a reference to the frame, which the cache of frames has, too."""


class FrameCache(Recent[Frame]):
    """Frames by address."""

    __slots__ = ()

    def _bytes_of(self, value: Frame) -> int:
        return _FRAME_BYTES + len(value.name) + len(value.file)


class NamedStack(NamedTuple):
    """A stack by name."""

    frames: tuple[Frame, ...]
    """Root first, user before kernel."""
    complete: bool
    """Whether the native frames of the user part are."""


class StackCache(Recent[NamedStack]):
    """Stacks by their addresses, packed, and what those were an address of."""

    __slots__ = ()

    def _bytes_of(self, value: NamedStack) -> int:
        return _STACK_BYTES + _STACK_FRAME_BYTES * len(value.frames)
