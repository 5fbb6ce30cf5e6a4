"""The functions of one ELF file, from .symtab, a separate debug file, Go's own table, MiniDebugInfo or .dynsym."""

from __future__ import annotations

import itertools

from ebtop.cpython.build import find_build
from ebtop.process.elf import ElfFile, file_to_address
from ebtop.symbols.function_starts import NOWHERE, read_function_starts
from ebtop.symbols.plt import plt_table
from ebtop.symbols.symbol_tables import read_functions

_ENTRY_SPAN = 48
"""Bytes taken for the entry point's function where nothing names it (glibc's _start has 34 to 48)."""

_serials = itertools.count(1)

_WHOLE = frozenset(("symtab", "debug file", "pclntab"))
"""Places that name every function."""


class Binary:
    """One ELF file's functions and where its bytes are mapped to. Immutable, holds no file open."""

    __slots__ = ("_entry", "_functions", "_plt", "_segments", "_starts", "build_id", "cpython", "serial", "symbols")

    def __init__(
        self, elf: ElfFile, debug: ElfFile | None = None, names_limit: int = 8 << 20, file_name: str = ""
    ) -> None:
        """Read the functions of `elf`, or of `debug` where `elf` was stripped.

        A symbol table that is damaged, too large, or whose names take more than `names_limit` bytes of
        memory is left out; this never raises.
        """
        self.serial = next(_serials)
        """Another one for each, never used twice."""
        self.build_id = elf.build_id
        self._segments = elf.segments
        self._entry = elf.entry
        self._functions, self.symbols = read_functions(elf, debug, names_limit)
        """`symbols`: where the names come from, as in `ModuleFacts.symbols`."""
        # Where all functions have names, nothing else need tell them apart.
        self._starts = NOWHERE if self.symbols in _WHOLE else read_function_starts(elf)
        self._plt = plt_table(elf)
        self.cpython = find_build(elf, file_name)
        """None where there is no CPython in it."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken."""
        return 500 + 120 * len(self._segments) + self._functions.nbytes + self._starts.nbytes + self._plt.nbytes

    def __len__(self) -> int:
        """Functions known by name."""
        return len(self._functions)

    def address(self, file_offset: int) -> int | None:
        """The ELF virtual address of a byte of the file; None outside of the executable segments."""
        return file_to_address(self._segments, file_offset)

    def function_start(self, address: int) -> int | None:
        """Where the function at an ELF virtual address begins, for one without a name; None where not known."""
        return self._starts.covering(address)

    def extent(self, address: int) -> tuple[int, int]:
        """[begin, end) around an ELF virtual address, all of which `name` and `function_start` answer alike."""
        around = [table.extent(address) for table in (self._functions, self._plt, self._starts)]
        begin, end = max(begin for begin, _ in around), min(end for _, end in around)
        for border in (self._entry, self._entry + _ENTRY_SPAN):
            begin, end = (max(begin, border), end) if border <= address else (begin, min(end, border))
        return (begin, end) if begin <= address < end else (address, address + 1)

    def name(self, address: int) -> bytes | None:
        """The function at an ELF virtual address, as in the symbol table (mangled); None where not known."""
        name = self._functions.name(address)
        if name is not None:
            # .symtab of a shared library writes versions into names (memcpy@@GLIBC_2.14), Go's linker conventions.
            return name[:1] + name[1:].partition(b"@")[0].removesuffix(b".abi0")
        name = self._plt.name(address)
        if name is not None:
            return name + b"@plt"
        if self._entry and self._entry <= address < self._entry + _ENTRY_SPAN:
            following = self._functions.next_start(self._entry)
            if following is None or address < following:
                return b"_start"
        return None
