"""One stack as FlameGraph's folded form has it."""

from __future__ import annotations

from ebtop.store.records import StackRecord

CUT = "[cut]"


def folded(record: StackRecord) -> str:
    """`comm;outermost;...;innermost` without the count; kernel frames end in _[k].

    A stack whose outer frames are missing has [cut] in their place. A semicolon in a name becomes a colon,
    because the format has no escape for it.
    """
    names = [record.comm or "-"]
    if not record.complete:
        names.append(CUT)
    names += [f"{frame.name}_[k]" if frame.kind == "kernel" else frame.name for frame in record.frames]
    return ";".join([name.replace(";", ":") for name in names])
