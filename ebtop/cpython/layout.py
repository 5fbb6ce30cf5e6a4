"""Where a version of CPython keeps what leads from _PyRuntime to the names of functions.

The private structures of a minor version do not change between its patch releases. Up to 3.12 they are a table
here, taken from the headers (Include/internal/pycore_*.h, Include/cpython/code.h); since 3.13 _PyRuntime begins
with _Py_DebugOffsets, which says most of it itself, in an order of its own in each minor version.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

OLDEST, NEWEST = (3, 8), (3, 14)
"""Versions whose frames are read."""
DESCRIBED_SINCE = (3, 13)
DEBUG_OFFSETS_BYTES = 1024
EVERY_FRAME, MARKED_FRAMES, SHIM_ABOVE = range(3)
"""As enum cpython_entries in bpf/cpython.h."""

_COOKIE = b"xdebugpy"
_FRAME_BYTES_MAX = 88
"""As CPYTHON_FRAME_BYTES in bpf/cpython.h."""
_OFFSET_MAX = 1 << 20

Version = tuple[int, int]


class Walk(NamedTuple):
    """What the walk in the kernel needs, offsets in bytes; the fields of struct cpython after `runtime`."""

    interpreters: int
    next_interpreter: int
    threads: int
    next_thread: int
    thread_id: int
    current_frame: int
    has_cframe: int
    cframe_frame: int
    code: int
    previous: int
    owner: int
    entries: int
    first_line: int
    file_name: int


class Text(NamedTuple):
    """Where a str has its length, its state, and behind which headers its characters."""

    length: int
    state: int
    ascii_header: int
    compact_header: int
    kind_shift: int
    """Of the three bits of `state` that say how many bytes a character has."""


class Layout(NamedTuple):
    """One minor version."""

    walk: Walk
    qualified_name: int
    """In the code object; up to 3.10 it has only the name without the class."""
    text: Text


_TEXT_WITH_WSTR = Text(16, 32, 48, 72, 2)
_TEXT = Text(16, 32, 40, 56, 2)
_OLD = Layout(Walk(32, 0, 8, 8, 176, 24, 0, 0, 32, 24, 0, EVERY_FRAME, 40, 104), 112, _TEXT_WITH_WSTR)
_TABLE: dict[Version, Layout] = {
    (3, 8): _OLD,
    (3, 9): _OLD,
    (3, 10): _OLD,
    (3, 11): Layout(Walk(40, 0, 16, 8, 152, 56, 1, 8, 32, 48, 68, MARKED_FRAMES, 72, 112), 128, _TEXT_WITH_WSTR),
    (3, 12): Layout(Walk(40, 0, 72, 8, 136, 56, 1, 0, 0, 8, 70, SHIM_ABOVE, 68, 112), 128, _TEXT),
}

_GROUPS: dict[Version, dict[str, str]] = {
    (3, 13): {
        "runtime": "size finalizing interpreters_head",
        "interpreter": "size id next threads_head gc imports_modules sysdict builtins ceval_gil gil_runtime_state "
        "gil_runtime_state_enabled gil_runtime_state_locked gil_runtime_state_holder",
        "thread": "size prev next interp current_frame thread_id native_thread_id datastack_chunk status",
        "frame": "size previous executable instr_ptr localsplus owner",
        "code": "size filename name qualname linetable firstlineno argcount localsplusnames localspluskinds "
        "co_code_adaptive",
        "object": "size ob_type",
        "type": "size tp_name tp_repr tp_flags",
        "tuple": "size ob_item ob_size",
        "list": "size ob_item ob_size",
        "dict": "size ma_keys ma_values",
        "float": "size ob_fval",
        "long": "size lv_tag ob_digit",
        "bytes": "size ob_size ob_sval",
        "unicode": "size state length asciiobject_size",
    },
    (3, 14): {
        "runtime": "size finalizing interpreters_head",
        "interpreter": "size id next threads_head threads_main gc imports_modules sysdict builtins ceval_gil "
        "gil_runtime_state gil_runtime_state_enabled gil_runtime_state_locked gil_runtime_state_holder "
        "code_object_generation tlbc_generation",
        "thread": "size prev next interp current_frame thread_id native_thread_id datastack_chunk status",
        "frame": "size previous executable instr_ptr localsplus owner stackpointer tlbc_index",
        "code": "size filename name qualname linetable firstlineno argcount localsplusnames localspluskinds "
        "co_code_adaptive co_tlbc",
        "object": "size ob_type",
        "type": "size tp_name tp_repr tp_flags",
        "tuple": "size ob_item ob_size",
        "list": "size ob_item ob_size",
        "set": "size used table mask",
        "dict": "size ma_keys ma_values",
        "float": "size ob_fval",
        "long": "size lv_tag ob_digit",
        "bytes": "size ob_size ob_sval",
        "unicode": "size state length asciiobject_size",
    },
}
"""The members of _Py_DebugOffsets behind its cookie, version and free_threaded, each a u64."""


class LayoutError(Exception):
    """Why a build's frames are not read, in words for people."""


def version_of(number: int) -> Version:
    """(major, minor) of Py_Version, which is as PY_VERSION_HEX."""
    return number >> 24 & 0xFF, number >> 16 & 0xFF


def layout_of(version: Version, runtime: bytes) -> Layout:
    """The layout of a version. `runtime` is how _PyRuntime begins (DEBUG_OFFSETS_BYTES). Raises LayoutError."""
    if version < OLDEST or version > NEWEST:
        raise LayoutError("frames are not read")
    if version < DESCRIBED_SINCE:
        return _TABLE[version]
    return _described(version, runtime)


def _described(version: Version, runtime: bytes) -> Layout:
    groups = _GROUPS[version]
    names = [f"{group}.{member}" for group, members in groups.items() for member in members.split()]
    layout = struct.Struct(f"<8sQQ{len(names)}Q")
    if len(runtime) < layout.size or not runtime.startswith(_COOKIE):
        raise LayoutError("its runtime does not describe itself")
    _, number, free_threaded, *values = layout.unpack_from(runtime)
    if version_of(number) != version:
        raise LayoutError("its runtime describes another version")
    at = dict(zip(names, values, strict=True))
    walk = Walk(
        at["runtime.interpreters_head"],
        at["interpreter.next"],
        at["interpreter.threads_head"],
        at["thread.next"],
        at["thread.thread_id"],
        at["thread.current_frame"],
        0,
        0,
        at["frame.executable"],
        at["frame.previous"],
        at["frame.owner"],
        SHIM_ABOVE,
        at["code.firstlineno"],
        at["code.filename"],
    )
    # _Py_DebugOffsets has no members for the header of a str that is not ASCII, which is two words longer, nor for the
    # bits of its state, of which the first two, or without a GIL the first byte, say whether it is interned.
    header = at["unicode.asciiobject_size"]
    kind_shift = 8 if free_threaded and version >= (3, 14) else 2
    text = Text(at["unicode.length"], at["unicode.state"], header, header + 16, kind_shift)
    used = (*walk, at["code.qualname"], *text)
    if max(used) > _OFFSET_MAX or max(walk.code, walk.previous, walk.owner) > _FRAME_BYTES_MAX:
        raise LayoutError("its runtime describes what can't be")
    return Layout(walk, at["code.qualname"], text)
