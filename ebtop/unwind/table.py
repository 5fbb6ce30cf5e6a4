"""The unwind table of one ELF file: for each address of its code, the rule that leads to the caller.

Three arrays, laid out for binary search in the kernel and copied there as they are:

    pages   u64 for each 4 KiB of code: its first row, and the number of its rows << 32; no rows: rule 0
    rows    u32: low 16 bits of the address << 16 | rule; a rule holds up to the next row; the first row of a
            page starts it
    rules   16 bytes each, see rule.py; rule 0 is GAP
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from ebtop.process.elf import ElfError, ElfFile
from ebtop.process.pause import pause
from ebtop.unwind.eh_frame import read_functions
from ebtop.unwind.machine import MACHINES
from ebtop.unwind.rule import GAP, LAYOUT, Rule, RuleSet
from ebtop.unwind.undescribed import undescribed_functions

PAGE_BITS = 12
ROWS_MAX = 4 << 20
"""Rows of one table; the largest binaries seen (libLLVM, Chrome) have about a million."""
PAGES_MAX = 1 << 18
"""A table covers at most 1 GiB from its first to its last function."""
_CHUNK = 1024
"""Functions laid out between two chances for other threads."""
_IN_PAGE = (1 << PAGE_BITS) - 1


class UnwindTable(NamedTuple):
    """Immutable; addresses are the ELF file's virtual addresses."""

    first_page: int
    """The first page's address >> 12."""
    pages: bytes
    rows: bytes
    rules: bytes
    left_out: int = 0
    """Functions whose description is damaged or of a kind that is not read: there is a GAP in their place."""

    @property
    def nbytes(self) -> int:
        """Bytes that the table takes in the kernel."""
        return len(self.pages) + len(self.rows) + len(self.rules)

    def rule(self, address: int) -> Rule:
        """The rule for an address, as the kernel finds it; GAP outside of the table."""
        page = (address >> PAGE_BITS) - self.first_page
        if not 0 <= page < len(self.pages) // 8:
            return GAP
        span = memoryview(self.pages).cast("Q")[page]
        low, count = span & 0xFFFFFFFF, span >> 32
        if not count:
            return GAP
        rows = memoryview(self.rows).cast("I")
        key = (address & 0xFFFF) << 16 | 0xFFFF
        while count > 1:
            half = count >> 1
            if rows[low + half] <= key:
                low += half
            count -= half
        return Rule._make(LAYOUT.unpack_from(self.rules, (rows[low] & 0xFFFF) * LAYOUT.size))


def build(elf: ElfFile) -> UnwindTable:
    """The table of a file; an empty one when nothing in it describes how to unwind.

    Takes up to some seconds for the largest files, and lets other threads run meanwhile. Raises ElfError.
    """
    machine = MACHINES.get(elf.machine) if elf.is64 else None
    if machine is None:
        raise ElfError(f"stacks of machine {elf.machine} ({'64' if elf.is64 else '32'} bits) are not unwound")
    rules = RuleSet()
    functions = read_functions(elf, machine, rules)
    starts, ends, programs = functions.starts, functions.ends, functions.programs
    order = sorted(range(len(starts)), key=starts.__getitem__)
    more = undescribed_functions(elf, [(starts[i], ends[i]) for i in order], rules)
    more.reverse()
    builder = TableBuilder()
    left_out = functions.left_out
    for count, i in enumerate(order, 1):
        while more and more[-1].start < starts[i]:
            builder.add(*more.pop())
        if starts[i] < builder.end:
            left_out += 1
            continue
        builder.add(starts[i], ends[i], programs[i])
        if not count % _CHUNK:
            pause()
    while more:
        builder.add(*more.pop())
    return builder.build(rules.pack(), left_out)


class TableBuilder:
    """Takes functions in the order of their addresses and lays out rows and pages."""

    def __init__(self) -> None:
        self._first_page = -1
        self._page = 0
        self._pages = array("Q")
        self._rows = array("I")
        self._row_of_page = 0
        self._rule = 0
        self._end = 0

    @property
    def end(self) -> int:
        """Where the last function ends; the next one must not start before."""
        return self._end

    def add(self, start: int, end: int, program: Sequence[int]) -> None:
        """Take one function, `end` exclusive: `program` has (bytes from its start) << 16 | rule, the first one at 0.

        Raises ElfError when the table gets larger than what is possible for an honest file.
        """
        if self._first_page < 0:
            self._first_page = self._page = start >> PAGE_BITS
        elif start > self._end:
            self._put(self._end, 0)
        if (end >> PAGE_BITS) - self._first_page >= PAGES_MAX or len(self._rows) + len(program) > ROWS_MAX:
            raise ElfError("more code than an unwind table can describe")
        self._put(start, program[0] & 0xFFFF)
        page_begun = len(self._rows) > self._row_of_page
        if page_begun and (end - 1) >> PAGE_BITS == self._page and program[-1] >> 16 < end - start:
            base = (start & 0xFFFF) << 16
            self._rows.extend([row + base & 0xFFFFFFFF for row in program[1:]])
            self._rule = program[-1] & 0xFFFF
        else:
            for row in program[1:]:
                if row >> 16 >= end - start:
                    break
                self._put(start + (row >> 16), row & 0xFFFF)
        self._end = end

    def build(self, rules: bytes, left_out: int = 0) -> UnwindTable:
        """The table of what was added."""
        if self._first_page < 0:
            return UnwindTable(0, b"", b"", rules, left_out)
        self._put(self._end, 0)
        self._turn_page()
        return UnwindTable(self._first_page, self._pages.tobytes(), self._rows.tobytes(), rules, left_out)

    def _put(self, address: int, rule: int) -> None:
        while self._page < address >> PAGE_BITS:
            self._turn_page()
        if rule == self._rule:
            return
        if len(self._rows) == self._row_of_page and address & _IN_PAGE:
            self._rows.append((self._page << PAGE_BITS & 0xFFFF) << 16 | self._rule)
        self._rows.append((address & 0xFFFF) << 16 | rule)
        self._rule = rule

    def _turn_page(self) -> None:
        if self._rule and len(self._rows) == self._row_of_page:
            self._rows.append((self._page << PAGE_BITS & 0xFFFF) << 16 | self._rule)
        count = len(self._rows) - self._row_of_page
        self._pages.append((self._row_of_page if count else 0) | count << 32)
        self._row_of_page = len(self._rows)
        self._page += 1
