"""One stack as FlameGraph's folded form has it."""

from __future__ import annotations

from collections.abc import Iterable

from ebtop.store.flame_paths import lacks_outermost
from ebtop.store.records import Frame, StackRecord

CUT = "[cut]"


def folded(record: StackRecord) -> str:
    """`comm;outermost;...;innermost` without the count; kernel frames end in _[k].

    A stack whose outer frames are missing has [cut] in their place, unless a mark among its frames says where. A
    semicolon in a name becomes a colon, because the format has no escape for it.
    """
    first = [Frame(record.comm or "-", "process", "")]
    if lacks_outermost(record):
        first.append(Frame(CUT, "cut", ""))
    return joined((*first, *record.frames))


def joined(frames: Iterable[Frame]) -> str:
    """The same of frames as they are, the outermost first."""
    names = [f"{frame.name}_[k]" if frame.kind == "kernel" else frame.name for frame in frames]
    text = ";".join(names)
    # Rare: a look at each name takes as long as all else.
    if text.count(";") >= max(1, len(names)):
        return ";".join([name.replace(";", ":") for name in names])
    return text
