"""Find a few symbols of an ELF file by name, without reading its whole symbol table."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ebtop.process.elf import SHT_DYNSYM, SHT_SYMTAB, ElfError, ElfFile, Section

SHT_GNU_HASH = 0x6FFFFFF6
_CHAIN_MAX = 4096
_SCANNED_MAX = 200_000
"""Symbols of a table without a hash that are looked at."""


class Symbol(NamedTuple):
    """A symbol that is defined in the file."""

    address: int
    """ELF virtual address."""
    size: int


def find_exported(elf: ElfFile, names: Iterable[bytes]) -> dict[bytes, Symbol]:
    """Those of `names` that the file exports, through .gnu.hash. 64 bits only; a damaged table finds nothing."""
    hashes = next((s for s in elf.sections if s.type == SHT_GNU_HASH), None)
    symbols = next((s for s in elf.sections if s.type == SHT_DYNSYM), None)
    if not elf.is64 or hashes is None or symbols is None:
        return {}
    try:
        table = _GnuHash(elf, hashes, symbols)
        return {name: found for name in names if (found := table.find(name)) is not None}
    except (ElfError, struct.error):
        return {}


def find_local(elf: ElfFile, names: Iterable[bytes]) -> dict[bytes, Symbol]:
    """Those of `names` that .symtab has, by reading all of it. 64 bits only; a damaged or huge table finds nothing."""
    table = next((s for s in elf.sections if s.type == SHT_SYMTAB), None)
    if not elf.is64 or table is None or table.size > _SCANNED_MAX * 24:
        return {}
    wanted, found = set(names), {}
    try:
        strings = elf.sections[table.link]
        text = elf.data(strings, 32 << 20)
        places = {name: set(_places(text, name)) for name in wanted}
        for name_at, index, value, size in _symbols(elf, table):
            for name in wanted:
                if index and value and name_at in places[name]:
                    found[name] = Symbol(value, size)
    except (ElfError, IndexError, struct.error):
        return {}
    return found


def _places(text: bytes, name: bytes) -> Iterator[int]:
    """Where a string begins that is `name`; the linker shares tails, so it may be the end of a longer one."""
    at = text.find(name + b"\0")
    while at >= 0:
        yield at
        at = text.find(name + b"\0", at + 1)


def _symbols(elf: ElfFile, table: Section) -> Iterator[tuple[int, int, int, int]]:
    """(name, section index, value, size)."""
    layout = _entry(elf)
    data = elf.data(table, _SCANNED_MAX * 24)
    for name, _info, _other, index, value, size in layout.iter_unpack(data[: len(data) - len(data) % layout.size]):
        yield name, index, value, size


def _entry(elf: ElfFile) -> struct.Struct:
    return struct.Struct(elf.byte_order + "IBBHQQ")


class _GnuHash:
    """Raises ElfError where the file ends too early."""

    def __init__(self, elf: ElfFile, hashes: Section, symbols: Section) -> None:
        self._elf = elf
        self._symbols = symbols
        self._strings = elf.sections[symbols.link] if symbols.link < len(elf.sections) else symbols
        self._u32 = struct.Struct(elf.byte_order + "I")
        header = struct.Struct(elf.byte_order + "IIII")
        self._buckets, self._first, filter_words, _shift = header.unpack(elf.reader.read_at(hashes.offset, header.size))
        self._at_buckets = hashes.offset + header.size + 8 * filter_words
        self._at_chains = self._at_buckets + 4 * self._buckets

    def find(self, name: bytes) -> Symbol | None:
        if not self._buckets:
            return None
        wanted = _gnu_hash(name)
        index = self._word(self._at_buckets + 4 * (wanted % self._buckets))
        if index < self._first:
            return None
        for number in range(index, index + _CHAIN_MAX):
            link = self._word(self._at_chains + 4 * (number - self._first))
            if (link ^ wanted) >> 1 == 0 and (found := self._symbol(number, name)) is not None:
                return found
            if link & 1:
                break
        return None

    def _symbol(self, number: int, name: bytes) -> Symbol | None:
        layout = _entry(self._elf)
        raw = self._elf.reader.read_at(self._symbols.offset + number * layout.size, layout.size)
        name_at, _info, _other, index, value, size = layout.unpack(raw)
        text = self._elf.reader.read_at(self._strings.offset + name_at, len(name) + 1)
        return Symbol(value, size) if index and text == name + b"\0" else None

    def _word(self, at: int) -> int:
        (value,) = self._u32.unpack(self._elf.reader.read_at(at, 4))
        return int(value)


def _gnu_hash(name: bytes) -> int:
    value = 5381
    for byte in name:
        value = value * 33 + byte & 0xFFFFFFFF
    return value
