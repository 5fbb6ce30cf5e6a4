"""Name the stubs of the procedure linkage table, which have no symbols of their own (x86-64)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ebtop.process.elf import EM_X86_64, ElfError, ElfFile, Section
from ebtop.process.pause import pause
from ebtop.symbols.packed import PackedStrings
from ebtop.symbols.table import SymbolTable, TableBuilder

_STUBS_MAX = 16384
_RELOCATIONS_MAX = 1 << 20
_PAUSE_STUBS = 500
"""About a millisecond's work."""
_NAME_MAX = 256
_PIECE, _PIECES_MAX = 1 << 16, 64
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQq")
_JUMP_THROUGH_GOT = b"\xff\x25"
"""jmp *disp32(%rip)"""


def plt_table(elf: ElfFile) -> SymbolTable:
    """Address of each stub -> name of the imported function; empty for other machines and damaged files.

    A stub is matched with its relocation by the GOT slot it jumps through, not by its position, which
    differs between linkers.
    """
    strings = PackedStrings()
    builder = TableBuilder(min((s.address for s in elf.segments), default=0), strings)
    if elf.machine == EM_X86_64 and elf.is64:
        try:
            slots = _got_slots(elf)
            names = _SymbolNames(elf)
            for number, (address, size, slot) in enumerate(_stubs(elf) if slots else ()):
                if not number % _PAUSE_STUBS:
                    pause()
                if slot in slots:
                    builder.add(address, size, strings.append(names.name(*slots[slot]) + b"\0"))
        except ElfError:
            return TableBuilder(0, PackedStrings()).build()
    return builder.build()


def _got_slots(elf: ElfFile) -> dict[int, tuple[int, Section]]:
    slots: dict[int, tuple[int, Section]] = {}
    for name in (b".rela.plt", b".rela.dyn"):
        section = elf.section(name)
        if section is None or section.size > _RELOCATIONS_MAX or section.link >= len(elf.sections):
            continue
        data = memoryview(elf.data(section, _RELOCATIONS_MAX))
        for slot, info, _ in _RELOCATION.iter_unpack(data[: len(data) - len(data) % _RELOCATION.size]):
            if info >> 32:
                slots[slot] = (info >> 32, elf.sections[section.link])
    return slots


def _stubs(elf: ElfFile) -> Iterator[tuple[int, int, int]]:
    """(address, size, GOT slot) of each stub."""
    for name, size in ((b".plt", 16), (b".plt.sec", 16), (b".plt.got", 8)):
        section = elf.section(name)
        if section is None or section.size > _STUBS_MAX * size:
            continue
        step = section.entry_size if section.entry_size in (8, 16) else size
        code = elf.data(section, _STUBS_MAX * size)
        for at in range(0, len(code), step):
            jump = code.find(_JUMP_THROUGH_GOT, at, at + step)
            if 0 <= jump <= len(code) - 6:
                (displacement,) = struct.unpack_from("<i", code, jump + 2)
                yield section.address + at, step, section.address + jump + 6 + displacement


class _SymbolNames:
    """Names by index in a symbol table; what is read of the file is read in pieces of many."""

    def __init__(self, elf: ElfFile) -> None:
        self._elf = elf
        self._pieces: dict[int, bytes] = {}

    def name(self, index: int, symbols: Section) -> bytes:
        """Raises ElfError."""
        if symbols.link >= len(self._elf.sections):
            raise ElfError("relocations without symbols")
        if index * _SYMBOL.size >= symbols.size:
            raise ElfError("relocation without its symbol")
        entry = self._read(symbols.offset + index * _SYMBOL.size, _SYMBOL.size)
        if len(entry) != _SYMBOL.size:
            raise ElfError("relocation without its symbol")
        names = self._elf.sections[symbols.link]
        return self._read(names.offset + int(_SYMBOL.unpack(entry)[0]), _NAME_MAX).partition(b"\0")[0]

    def _read(self, offset: int, length: int) -> bytes:
        number, skip = divmod(offset, _PIECE)
        data = self._piece(number)[skip : skip + length]
        return data + self._piece(number + 1)[: length - len(data)] if len(data) < length else data

    def _piece(self, number: int) -> bytes:
        piece = self._pieces.get(number)
        if piece is None:
            if len(self._pieces) >= _PIECES_MAX:
                self._pieces.clear()
            piece = self._pieces[number] = self._elf.reader.read_at(number * _PIECE, _PIECE)
        return piece
