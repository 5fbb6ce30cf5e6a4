"""Functions that .eh_frame does not describe, found by their symbols, with rules read out of their instructions."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from ebtop.process.elf import SHF_EXECINSTR, SHT_DYNSYM, SHT_SYMTAB, ElfFile
from ebtop.process.pause import pause
from ebtop.unwind.rule import SIGNAL, STOP, RuleSet
from ebtop.unwind.x86_frames import LENGTH_MAX, frame_rules

_GAP_MIN = 16
"""Bytes; less is padding between functions."""
_GAPS_MIN = 512
"""Bytes of all gaps of a file; less is what every program begins and ends with."""
_FUNCTIONS_MAX = 4096
_SYMBOLS_MAX = 1 << 20
_SYMBOL = struct.Struct("<IBBHQQ")
_CHUNK = _SYMBOL.size << 12
_STT_FUNC, _STT_GNU_IFUNC = 2, 10
_ENTRY_SPAN = 48
"""Bytes taken for the program's entry where no symbol says how long it is."""


class Function(NamedTuple):
    """A function with rules."""

    start: int
    end: int
    program: array[int]
    """(bytes from its start) << 16 | rule, as of those that are described."""


def undescribed_functions(elf: ElfFile, described: list[tuple[int, int]], rules: RuleSet) -> list[Function]:
    """Functions between those that are `described`, (start, end) ascending; ascending and apart from each other.

    A function whose instructions do not tell is left out. Raises ElfError when the file can't be read.
    """
    gaps = _gaps(elf, described)
    found: list[Function] = []
    if sum(high - low for low, high in gaps) >= _GAPS_MIN:
        for start, end, low in _candidates(elf, gaps):
            program = _program(elf, start, end, rules)
            if program is not None:
                # Who returns to a signal's end has not called it: the byte before is looked up.
                back = program[0] == rules.index(SIGNAL) and start > max(low, found[-1].end if found else 0)
                found.append(Function(start - back, end, program))
            if len(found) % 32 == 0:
                pause()
    return found


def _gaps(elf: ElfFile, described: list[tuple[int, int]]) -> list[tuple[int, int]]:
    gaps = []
    starts = [start for start, _ in described]
    code = sorted((s.address, s.address + s.size) for s in elf.sections if s.flags & SHF_EXECINSTR and s.size)
    for low, high in code:
        at = low
        first = max(bisect_right(starts, low) - 1, 0)
        for start, end in described[first : bisect_right(starts, high)]:
            if start - at >= _GAP_MIN:
                gaps.append((at, start))
            at = max(at, end)
        if high - at >= _GAP_MIN:
            gaps.append((at, high))
    return gaps


def _candidates(elf: ElfFile, gaps: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """(start, end, start of the gap) of functions that have a symbol, at most _FUNCTIONS_MAX."""
    lows = [low for low, _ in gaps]
    sizes: dict[int, int] = {elf.entry: 0} if elf.entry else {}
    for start, size in _symbols(elf):
        index = bisect_right(lows, start) - 1
        if index >= 0 and start < gaps[index][1]:
            sizes[start] = max(size, sizes.get(start, 0))
    starts = sorted(sizes)
    last_end = count = 0
    for start, following in pairwise([*starts, 1 << 64]):
        index = bisect_right(lows, start) - 1
        if start < last_end or index < 0 or start >= gaps[index][1]:
            continue
        low, high = gaps[index]
        size = sizes[start] or min(following - start, _ENTRY_SPAN if start == elf.entry else high - start)
        last_end = min(start + size, high)
        yield start, last_end, low
        count += 1
        if count == _FUNCTIONS_MAX:
            return


def _symbols(elf: ElfFile) -> Iterator[tuple[int, int]]:
    """(address, size) of the functions of the larger symbol table; size 0: not known."""
    by_type = {s.type: s for s in elf.sections}
    table = by_type.get(SHT_SYMTAB) or by_type.get(SHT_DYNSYM)
    if table is None or table.entry_size != _SYMBOL.size:
        return
    end = min(table.offset + table.size, elf.reader.size, table.offset + _SYMBOLS_MAX * _SYMBOL.size)
    for at in range(table.offset, end, _CHUNK):
        data = elf.reader.read_at(at, min(_CHUNK, end - at))
        for _, info, _, section, value, size in _SYMBOL.iter_unpack(data[: len(data) // _SYMBOL.size * _SYMBOL.size]):
            if info & 15 in (_STT_FUNC, _STT_GNU_IFUNC) and section and value:
                yield value, size
        pause()


def _program(elf: ElfFile, start: int, end: int, rules: RuleSet) -> array[int] | None:
    if start == elf.entry:
        return array("Q", [rules.index(STOP)])
    for segment in elf.segments:
        if segment.address <= start and end <= segment.address + segment.file_size:
            at = segment.offset + start - segment.address
            code = elf.reader.read_at(at, min(end - start, LENGTH_MAX))
            found = frame_rules(code)
            return array("Q", [offset << 16 | rules.index(rule) for offset, rule in found]) if found else None
    return None
