"""What a code object in a process's memory says: the function's name, its file, and its first line."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from ebtop.cpython import layout as layouts
from ebtop.cpython.layout import Layout
from ebtop.text import clean

ENTRY = 1
"""Bit of a word, as CODE_ENTRY in bpf/cpython.h."""
_ADDRESS = 0x0000FFFF_FFFFFFF8
_CHECK_SHIFT, _CHECK_BITS = 48, 0xFFFF
_NAME_MAX, _FILE_MAX = 200, 400
"""Characters that are kept: of a name the first, of a path the last."""
_READ_MAX = 4096
"""Characters of a longer path are not looked at: its end would be far."""
_CODECS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}

Read = Callable[[int, int], bytes]
"""(address, length) to exactly so many bytes of memory. Raises OSError."""


class Text(NamedTuple):
    """A str, or one end of it."""

    characters: bytes
    kind: int
    """Bytes of each: 1, 2, 4."""
    length: int
    """Characters of the whole."""


class Function(NamedTuple):
    """All text printable."""

    name: str
    """co_qualname: Class.method, outer.<locals>.inner; co_name up to 3.10."""
    file: str
    line: int
    """co_firstlineno, 0 where there is none."""


def key_of(word: int) -> int:
    """The same for every frame of a code object, as long as it is the same."""
    return word & ~ENTRY


def read_function(read: Read, layout: Layout, word: int) -> Function | None:
    """The function that a word of the walk stands for; None when another object took the place of its code object.

    Raises OSError when the memory can't be read: the process is gone, or the object and its page with it; ValueError
    when what is there is no code object.
    """
    code = word & _ADDRESS
    walk = layout.walk
    (line,) = struct.unpack("<i", read(code + walk.first_line, 4))
    (file_at,) = struct.unpack("<Q", read(code + walk.file_name, 8))
    if (line + (file_at >> 4)) & _CHECK_BITS != word >> _CHECK_SHIFT:
        return None
    (name_at,) = struct.unpack("<Q", read(code + layout.qualified_name, 8))
    name = _text(read, layout.text, name_at)
    file = _text(read, layout.text, file_at)
    return function_of(name, file, line) if name is not None and file is not None else None


def function_of(name: Text, file: Text, line: int) -> Function:
    """Of a longer name the beginning may be there, of a longer path the end. Raises ValueError for what is no text."""
    beginning, end = _decoded(name)[:_NAME_MAX], _decoded(file)[-_FILE_MAX:]
    short_name = clean(beginning + "…" * (len(beginning) < name.length))
    short_file = clean("…" * (len(end) < file.length) + end)
    return Function(short_name or "?", short_file or "?", max(line, 0))


def _decoded(text: Text) -> str:
    codec = _CODECS.get(text.kind)
    if codec is None:
        raise ValueError(f"no str has characters of {text.kind} bytes")
    # Lone surrogates are allowed in a str; they are not printable, so `clean` writes them as escapes.
    return text.characters.decode(codec, "surrogatepass")


def _text(read: Read, layout: layouts.Text, at: int) -> Text | None:
    """A str; None for what is none. One whose characters are elsewhere (a subclass's) is not read: code has none."""
    header = read(at, layout.state + 4)
    (length,) = struct.unpack_from("<q", header, layout.length)
    (state,) = struct.unpack_from("<I", header, layout.state)
    kind, compact, is_ascii = (state >> layout.kind_shift + shift & mask for shift, mask in ((0, 7), (3, 1), (4, 1)))
    if kind not in _CODECS or not compact or not 0 <= length < 1 << 32:
        return None
    start = at + (layout.ascii_header if is_ascii else layout.compact_header)
    return Text(read(start, min(length, _READ_MAX) * kind), kind, length)
