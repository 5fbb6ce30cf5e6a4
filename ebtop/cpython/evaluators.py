"""Where the function lies that runs Python functions: compilers spread it over several places.

Rare parts of _PyEval_EvalFrameDefault are moved away from it into a function of their own, which has no name in
stripped files; since 3.14 an interpreter may have a function for every opcode, each of which takes the place of the one
before on the stack (tail calls). Both are found through the table of 256 places, one for each opcode, that the
interpreter jumps by, and through .eh_frame_hdr, which knows where functions begin.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ebtop.process.elf import SHF_ALLOC, SHF_EXECINSTR, SHT_PROGBITS, SHT_RELA, ElfError, ElfFile
from ebtop.process.elf_lookup import Symbol

_OPCODES = 256
_STRIDE = _OPCODES // 2
"""Words: of a table at least one is met at that."""
_DISTINCT_MIN, _MOST_COMMON_MIN = 100, 8
"""Of the places in a table: opcodes that are not in use share one."""
_INSIDE_MIN = 200
"""Of the places, unless the interpreter has a function for each: so many lie in _PyEval_EvalFrameDefault."""
_SECTION_MAX = 32 << 20
_RELATIVE = 8
"""R_X86_64_RELATIVE."""
_HDR = struct.Struct("<4BiI")
_USUAL_HDR = (1, 0x1B, 0x03, 0x3B)
"""Version and encodings of .eh_frame_hdr that linkers write."""


def find_evaluators(elf: ElfFile, evaluate: Symbol) -> tuple[range, ...]:
    """ELF virtual addresses, sorted, apart from each other. `evaluate` is _PyEval_EvalFrameDefault. x86-64 only."""
    ranges = [range(evaluate.address, evaluate.address + evaluate.size)]
    try:
        places = _opcode_places(elf, ranges[0])
        starts = _function_starts(elf) if places else []
    except ElfError:
        return tuple(ranges)
    for place in places:
        at = bisect_right(starts, place)
        if place not in ranges[0] and 0 < at < len(starts):
            ranges.append(range(starts[at - 1], starts[at]))
    merged: list[range] = []
    for part in sorted(set(ranges), key=lambda part: (part.start, part.stop)):
        if merged and part.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(part.stop, merged[-1].stop))
        else:
            merged.append(part)
    return tuple(merged)


def _opcode_places(elf: ElfFile, evaluate: range) -> set[int]:
    """Empty when there is no table, or two that could be the one."""
    code = [
        range(s.address, s.address + s.size) for s in elf.sections if s.flags & SHF_EXECINSTR and s.type == SHT_PROGBITS
    ]
    low, high = min((r.start for r in code), default=0), max((r.stop for r in code), default=0)
    found = []
    for run in (*_runs_in_data(elf, low, high), *_runs_in_relocations(elf, low, high)):
        if len(run) == _OPCODES:
            (_, most), *others = Counter(run).most_common()
            if len(others) >= _DISTINCT_MIN and most >= _MOST_COMMON_MIN:
                found.append(run)
    inside = [run for run in found if sum(place in evaluate for place in run) >= _INSIDE_MIN]
    for candidates in (inside, found):
        if len(candidates) == 1:
            return set(candidates[0])
    return set()


def _runs_in_data(elf: ElfFile, low: int, high: int) -> Iterator[Sequence[int]]:
    """Addresses of code that stand one after the other in data, as many as a table has; some that are fewer."""
    for section in elf.sections:
        data = section.type == SHT_PROGBITS and section.flags & SHF_ALLOC and not section.flags & SHF_EXECINSTR
        if not data or section.size < 8 * _OPCODES or section.address % 8:
            continue
        raw = elf.data(section, _SECTION_MAX)
        words = memoryview(raw)[: len(raw) // 8 * 8].cast("Q")
        end = 0
        for at in range(0, len(words), _STRIDE):
            if at >= end and low <= words[at] < high:
                begin, end = at, at + 1
                while begin and low <= words[begin - 1] < high:
                    begin -= 1
                while end < len(words) and low <= words[end] < high:
                    end += 1
                yield words[begin:end].tolist()


def _runs_in_relocations(elf: ElfFile, low: int, high: int) -> Iterator[Sequence[int]]:
    """Addresses of code that the dynamic linker writes one after the other."""
    for section in elf.sections:
        if section.type != SHT_RELA or not section.flags & SHF_ALLOC:
            continue
        raw = elf.data(section, _SECTION_MAX)
        code = {
            offset: addend
            for offset, kind, addend in struct.iter_unpack("<QQq", raw[: len(raw) // 24 * 24])
            if kind == _RELATIVE and low <= addend < high
        }
        run: list[int] = []
        for offset, following in pairwise((*sorted(code), 0)):
            run.append(code[offset])
            if following != offset + 8:
                yield run
                run = []


def _function_starts(elf: ElfFile) -> list[int]:
    """Sorted. Empty where .eh_frame_hdr is missing or unusual."""
    section = elf.section(b".eh_frame_hdr")
    if section is None or section.size < _HDR.size:
        return []
    raw = elf.data(section, _SECTION_MAX)
    *encodings, _, count = _HDR.unpack_from(raw)
    if tuple(encodings) != _USUAL_HDR or _HDR.size + 8 * count > len(raw):
        return []
    table = struct.unpack_from(f"<{2 * count}i", raw, _HDR.size)
    return sorted(section.address + start for start in table[::2])
