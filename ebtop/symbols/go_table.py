"""The functions of Go programs, which survive stripping: the runtime needs them for its own stack traces.

Source: section .gopclntab; layouts of Go 1.2, 1.16, 1.18 and 1.20 (runtime/symtab.go, debug/gosym/pclntab.go).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ebtop.process.elf import ElfError, ElfFile, Section
from ebtop.process.pause import pause
from ebtop.symbols.packed import PackedStrings
from ebtop.symbols.table import TableBuilder

_SECTIONS = (b".gopclntab", b".data.rel.ro.gopclntab")
_GO_1_2, _GO_1_16, _GO_1_18, _GO_1_20 = 0xFFFFFFFB, 0xFFFFFFFA, 0xFFFFFFF0, 0xFFFFFFF1
_FUNCTIONS_MAX = 500_000
_CHUNK = 1 << 18
_PIECE, _PIECES_MAX = 1 << 16, 16
_AT_ONCE = 1000
"""About a millisecond's work."""


class _Layout(NamedTuple):
    """Where things are; offsets from the beginning of the section."""

    functions: int
    functions_count: int
    names: int
    names_end: int
    text: int
    """What is added to the addresses of functions."""
    relative: bool
    """Entries of the table are pairs of 4 bytes, relative to `text`; otherwise two pointers."""


def go_section(elf: ElfFile) -> Section | None:
    """The table of a Go program; None for all others."""
    return next((found for name in _SECTIONS if (found := elf.section(name)) is not None), None)


def add_go_functions(elf: ElfFile, section: Section, strings: PackedStrings, builder: TableBuilder, limit: int) -> None:
    """Add all functions; their names must not take more than `limit` bytes of memory. Raises ElfError."""
    reader = _Pieces(elf, section)
    layout = _read_layout(elf, section, reader)
    width = 4 if layout.relative else reader.pointer
    if (
        not 0 < layout.functions_count <= _FUNCTIONS_MAX
        or layout.functions + (2 * layout.functions_count + 1) * width > section.size
    ):
        raise ElfError("unusual Go function table")
    names = _append_names(elf, section, layout, strings, limit)
    address, offset = reader.number(layout.functions, width), reader.number(layout.functions + width, width)
    for number in range(1, layout.functions_count + 1):
        if not number % _AT_ONCE:
            pause()
        at = layout.functions + 2 * number * width
        following = reader.number(at, width)
        # In struct _func the offset of the name comes after the address of the function.
        name = reader.number(layout.functions + offset + width, 4)
        if address < following:
            builder.add(layout.text + address, following - address, names + name)
        address, offset = following, reader.number(at + width, width) if number < layout.functions_count else 0


def _read_layout(elf: ElfFile, section: Section, reader: _Pieces) -> _Layout:
    magic, pointer = reader.number(0, 4), reader.number(7, 1)
    if pointer not in (4, 8):
        raise ElfError("no Go function table")
    reader.pointer = pointer

    def word(number: int) -> int:
        return reader.number(8 + number * pointer, pointer)

    if magic in (_GO_1_20, _GO_1_18):
        # Newer linkers leave it to the runtime to know where the code begins.
        text = word(2) or next((s.address for s in elf.sections if s.name == b".text"), 0)
        return _Layout(word(7), word(0), word(3), word(4), text, relative=True)
    if magic == _GO_1_16:
        return _Layout(word(6), word(0), word(2), word(3), 0, relative=False)
    raise ElfError("no Go function table, or one of a version that is not read")


def _append_names(elf: ElfFile, section: Section, layout: _Layout, strings: PackedStrings, limit: int) -> int:
    if not layout.names <= layout.names_end <= section.size:
        raise ElfError("unusual Go function names")
    begin = len(strings)
    for offset in range(layout.names, layout.names_end, _CHUNK):
        strings.append(elf.reader.read_at(section.offset + offset, min(_CHUNK, layout.names_end - offset)))
        if strings.nbytes > limit:
            raise ElfError("Go function names too large")
    strings.append(b"\0")
    return begin


class _Pieces:
    """Numbers at offsets of a section, read in large pieces, of which few are kept."""

    pointer = 8

    def __init__(self, elf: ElfFile, section: Section) -> None:
        self._elf = elf
        self._section = section
        self._pieces: dict[int, bytes] = {}
        self._formats = {1: "B", 4: elf.byte_order + "I", 8: elf.byte_order + "Q"}

    def number(self, offset: int, width: int) -> int:
        """Raises ElfError outside of the section."""
        if not 0 <= offset <= self._section.size - width:
            raise ElfError("Go function table cut short")
        index, skip = divmod(offset, _PIECE)
        piece = self._pieces.get(index) or self._read(index)
        if skip + width > len(piece):
            raise ElfError("Go function table cut short")
        (value,) = struct.unpack_from(self._formats[width], piece, skip)
        return int(value)

    def _read(self, index: int) -> bytes:
        if len(self._pieces) >= _PIECES_MAX:
            del self._pieces[next(iter(self._pieces))]
        # A few bytes more, for numbers that lie across the border.
        self._pieces[index] = self._elf.reader.read_at(self._section.offset + index * _PIECE, _PIECE + 8)
        return self._pieces[index]
