"""The functions of one ELF file, from .symtab, a separate debug file, or .dynsym."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator

from ebtop.process.elf import (
    EM_ARM,
    SHF_EXECINSTR,
    SHT_DYNSYM,
    SHT_SYMTAB,
    ElfError,
    ElfFile,
    Section,
    file_to_address,
)
from ebtop.symbols.packed import PackedStrings
from ebtop.symbols.plt import plt_table
from ebtop.symbols.table import SymbolTable, TableBuilder

SYMBOLS_MAX = 500_000
"""Entries of one symbol table that are read; a larger table is left out."""
_STRINGS_MAX = 128 << 20
_ENTRY_SPAN = 48
"""Bytes taken for the entry point's function where nothing names it (glibc's _start has 34 to 48)."""
_CHUNK = 1 << 18
_STT_FUNC, _STT_GNU_IFUNC = 2, 10


class Binary:
    """One ELF file's functions and where its bytes are mapped to. Immutable, holds no file open."""

    __slots__ = ("_entry", "_functions", "_plt", "_segments", "build_id", "symbols")

    def __init__(self, elf: ElfFile, debug: ElfFile | None = None, names_limit: int = 8 << 20) -> None:
        """Read the functions of `elf`, or of `debug` where `elf` was stripped.

        A symbol table that is damaged, too large, or whose names take more than `names_limit` bytes of
        memory is left out; this never raises.
        """
        self.build_id = elf.build_id
        self._segments = elf.segments
        self._entry = elf.entry
        self._functions, self.symbols = _first_usable_table(elf, debug, names_limit)
        """`symbols`: where the names come from, as in `ModuleFacts.symbols`."""
        self._plt = plt_table(elf)

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken."""
        return 500 + 120 * len(self._segments) + self._functions.nbytes + self._plt.nbytes

    def __len__(self) -> int:
        """Functions known by name."""
        return len(self._functions)

    def address(self, file_offset: int) -> int | None:
        """The ELF virtual address of a byte of the file; None outside of the executable segments."""
        return file_to_address(self._segments, file_offset)

    def name(self, address: int) -> bytes | None:
        """The function at an ELF virtual address, as in the symbol table (mangled); None where not known."""
        name = self._functions.name(address)
        if name is not None:
            # .symtab of a shared library writes versions into names: memcpy@@GLIBC_2.14.
            return name[:1] + name[1:].partition(b"@")[0]
        name = self._plt.name(address)
        if name is not None:
            return name + b"@plt"
        if self._entry and self._entry <= address < self._entry + _ENTRY_SPAN:
            following = self._functions.next_start(self._entry)
            if following is None or address < following:
                return b"_start"
        return None


def _first_usable_table(elf: ElfFile, debug: ElfFile | None, names_limit: int) -> tuple[SymbolTable, str]:
    # .symtab holds what .dynsym holds and the local functions.
    sources = [(elf, SHT_SYMTAB, "symtab"), (debug, SHT_SYMTAB, "debug file"), (elf, SHT_DYNSYM, "dynsym")]
    base = min((s.address for s in elf.segments), default=0)
    for file, kind, source in sources:
        section = next((s for s in file.sections if s.type == kind), None) if file else None
        if file is None or section is None:
            continue
        try:
            table = _read_table(file, section, base, names_limit)
        except ElfError:
            continue
        if len(table):
            return table, source
    return TableBuilder(0, PackedStrings()).build(), "none"


def _read_table(elf: ElfFile, section: Section, base: int, names_limit: int) -> SymbolTable:
    builder = TableBuilder(base, _read_names(elf, section, names_limit))
    thumb = elf.machine == EM_ARM
    for name, info, section_index, value, size in _entries(elf, section):
        if info & 15 in (_STT_FUNC, _STT_GNU_IFUNC) and section_index and value:
            builder.add(value & ~1 if thumb else value, size, name)
    return builder.build(_code_ends(elf))


def _read_names(elf: ElfFile, section: Section, limit: int) -> PackedStrings:
    if section.link >= len(elf.sections):
        raise ElfError("symbol table without names")
    at = elf.sections[section.link]
    if at.size > _STRINGS_MAX or at.offset + at.size > elf.reader.size:
        raise ElfError("symbol names cut short")
    strings = PackedStrings()
    for offset in range(0, at.size, _CHUNK):
        strings.append(elf.reader.read_at(at.offset + offset, min(_CHUNK, at.size - offset)))
        if strings.nbytes > limit:
            raise ElfError("symbol names too large")
    return strings


def _entries(elf: ElfFile, section: Section) -> Iterator[tuple[int, int, int, int, int]]:
    """(name offset, info, section index, value, size) of each symbol."""
    layout = struct.Struct(elf.byte_order + ("IBBHQQ" if elf.is64 else "IIIBBH"))
    if section.entry_size != layout.size or section.size > SYMBOLS_MAX * layout.size:
        raise ElfError("unusual symbol table")
    if section.offset + section.size > elf.reader.size:
        raise ElfError("symbol table cut short")
    end = section.offset + section.size - section.size % layout.size
    step = _CHUNK - _CHUNK % layout.size
    for offset in range(section.offset, end, step):
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
