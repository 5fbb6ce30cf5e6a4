"""Read the functions of ELF symbol tables."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator

from ebtop.process.elf import (
    EM_ARM,
    SHF_EXECINSTR,
    SHT_DYNSYM,
    SHT_SYMTAB,
    ElfError,
    ElfFile,
    Section,
)
from ebtop.process.pause import pause
from ebtop.symbols.go_table import add_go_functions, go_section
from ebtop.symbols.mini_debug_info import mini_debug_info
from ebtop.symbols.packed import PackedStrings
from ebtop.symbols.table import SymbolTable, TableBuilder

SYMBOLS_MAX = 500_000
"""Entries of one symbol table that are read; a larger table is left out."""
_STRINGS_MAX = 128 << 20
_CHUNK = 1 << 18
_SYMBOLS_AT_ONCE = 1500
"""About a millisecond's work."""
_STT_FUNC, _STT_GNU_IFUNC = 2, 10

_GO = -1
_Place = tuple[ElfFile, int]
"""A file and the type of the section that holds its symbols; _GO for the table of a Go program."""


def read_functions(elf: ElfFile, debug: ElfFile | None, names_limit: int) -> tuple[SymbolTable, str]:
    """The functions of the best place that has some, and which that is, as in `ModuleFacts.symbols`.

    Places that are damaged, too large, or whose names take more than `names_limit` bytes of memory are left out.
    """
    base = min((s.address for s in elf.segments), default=0)
    ends = _code_ends(elf)
    for places, source in _places(elf, debug):
        try:
            table = _read_table(places, base, names_limit, ends)
        except ElfError:
            continue
        if len(table):
            return table, source
    return TableBuilder(0, PackedStrings()).build(), "none"


def _places(elf: ElfFile, debug: ElfFile | None) -> Iterator[tuple[list[_Place], str]]:
    """In the order in which they are tried."""
    # .symtab holds what .dynsym holds and the local functions.
    yield [(elf, SHT_SYMTAB)], "symtab"
    if debug is not None:
        yield [(debug, SHT_SYMTAB)], "debug file"
    if go_section(elf) is not None:
        yield [(elf, _GO), (elf, SHT_DYNSYM)], "pclntab"
    mini = mini_debug_info(elf)
    if mini is not None:
        yield [(mini, SHT_SYMTAB), (elf, SHT_DYNSYM)], "minidebuginfo"
    yield [(elf, SHT_DYNSYM)], "dynsym"


def _read_table(places: Iterable[_Place], base: int, names_limit: int, code_ends: Callable[[int], int]) -> SymbolTable:
    strings = PackedStrings()
    builder = TableBuilder(base, strings)
    for elf, kind in places:
        if kind == _GO:
            go = go_section(elf)
            assert go is not None
            add_go_functions(elf, go, strings, builder, names_limit)
            continue
        section = next((s for s in elf.sections if s.type == kind), None)
        if section is None:
            continue
        names = _append_names(strings, elf, section, names_limit)
        thumb = elf.machine == EM_ARM
        for name, info, section_index, value, size in _entries(elf, section):
            if info & 15 in (_STT_FUNC, _STT_GNU_IFUNC) and section_index and value:
                builder.add(value & ~1 if thumb else value, size, names + name)
    return builder.build(code_ends)


def _append_names(strings: PackedStrings, elf: ElfFile, section: Section, limit: int) -> int:
    """Where in `strings` the names of this symbol table begin."""
    if section.link >= len(elf.sections):
        raise ElfError("symbol table without names")
    at = elf.sections[section.link]
    if at.size > _STRINGS_MAX or at.offset + at.size > elf.reader.size:
        raise ElfError("symbol names cut short")
    begin = len(strings)
    for offset in range(0, at.size, _CHUNK):
        strings.append(elf.reader.read_at(at.offset + offset, min(_CHUNK, at.size - offset)))
        if strings.nbytes > limit:
            raise ElfError("symbol names too large")
    # The last name may lack its end.
    strings.append(b"\0")
    return begin


def _entries(elf: ElfFile, section: Section) -> Iterator[tuple[int, int, int, int, int]]:
    """(name offset, info, section index, value, size) of each symbol."""
    layout = struct.Struct(elf.byte_order + ("IBBHQQ" if elf.is64 else "IIIBBH"))
    if section.entry_size != layout.size or section.size > SYMBOLS_MAX * layout.size:
        raise ElfError("unusual symbol table")
    if section.offset + section.size > elf.reader.size:
        raise ElfError("symbol table cut short")
    end = section.offset + section.size - section.size % layout.size
    step = _SYMBOLS_AT_ONCE * layout.size
    for offset in range(section.offset, end, step):
        pause()
        chunk = elf.reader.read_at(offset, min(step, end - offset))
        whole = memoryview(chunk)[: len(chunk) - len(chunk) % layout.size]
        if elf.is64:
            for name, info, _other, index, value, size in layout.iter_unpack(whole):
                yield name, info, index, value, size
        else:
            for name, value, size, info, _other, index in layout.iter_unpack(whole):
                yield name, info, index, value, size


def _code_ends(elf: ElfFile) -> Callable[[int], int]:
    code = sorted((s.address, s.address + s.size) for s in elf.sections if s.flags & SHF_EXECINSTR)
    starts = [start for start, _ in code]

    def code_end(address: int) -> int:
        """End of the code section an address lies in; 0 outside of them."""
        index = bisect_right(starts, address) - 1
        return code[index][1] if index >= 0 else 0

    return code_end
