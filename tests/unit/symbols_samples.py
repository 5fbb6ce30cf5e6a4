"""ELF files for the symbol tests: compiled by gcc on first use, or made by hand to be wrong."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from ebtop.process.elf import BytesReader, ElfFile, FileReader
from ebtop.symbols.binary import Binary
from ebtop.symbols.debug_files import debug_file

PROGRAM = """
#include <stdlib.h>
__attribute__((noinline)) static int local_function(int x) { return x * 3 + rand(); }
__attribute__((noinline)) int global_function(int x) { return local_function(x) + 1; }
extern int alias_function(int) __attribute__((alias("global_function")));
extern int __hidden_name(int) __attribute__((alias("global_function")));
__asm__(".text\\n.type unsized_function, @function\\nunsized_function: nop\\nnop\\nnop\\n"
        ".type sized_function, @function\\nsized_function: nop\\n.size sized_function, 1\\n"
        ".skip 32, 0xcc\\n.type last_unsized, @function\\nlast_unsized: nop\\n");
int data_object = 1;
int main(int argc, char **argv) { return global_function(argc) & 1; }
"""


@lru_cache
def _directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="ebtop-symbols-"))


@lru_cache
def compiled(name: str, *flags: str) -> Path:
    """PROGRAM compiled with these flags."""
    source = _directory() / "program.c"
    source.write_text(PROGRAM)
    target = _directory() / name
    subprocess.run(["gcc", "-O1", *flags, "-o", target, source], check=True)
    return target


@lru_cache
def stripped(path: Path) -> Path:
    """A copy without .symtab."""
    target = path.with_suffix(".stripped")
    subprocess.run(["strip", "-o", target, path], check=True)
    return target


def nm(path: Path, *flags: str) -> dict[str, tuple[int, int]]:
    """The functions of a file as binutils sees them: name -> (address, size, 0 where it has none)."""
    output = subprocess.run(["nm", "--defined-only", "-S", *flags, path], check=True, capture_output=True, text=True)
    found = {}
    for line in output.stdout.splitlines():
        fields = line.split()
        if fields[-2] in "tTwWi":
            found[fields[-1].partition("@")[0]] = (int(fields[0], 16), int(fields[1], 16) if len(fields) == 4 else 0)
    return found


def load(path: Path) -> Binary:
    """The symbols of a file on disk, its debug file included."""
    fd = os.open(path, os.O_RDONLY)
    try:
        elf = ElfFile(FileReader(fd))
        with debug_file(elf, str(path), "") as debug:
            return Binary(elf, debug)
    finally:
        os.close(fd)


def load_bytes(data: bytes) -> Binary:
    """The symbols of an image."""
    return Binary(ElfFile(BytesReader(data)))


def image(symbols: list[tuple[str, int, int]], *, is64: bool = True, order: str = "<") -> bytes:
    """An ELF file with one code section at 0x1000 (file offset 0x1000, 0x1000 bytes) and these functions.

    `symbols` are (name, address, size). Written out here from the ELF specification, so that readers are
    checked for word sizes and byte orders that gcc does not make on this machine.
    """
    names, table = b"\0", _symbol(is64, order, 0, 0, 0, 0, 0)
    for name, address, size in symbols:
        table += _symbol(is64, order, len(names), address, size, 0x12, 1)
        names += name.encode() + b"\0"
    labels = b"\0.text\0.symtab\0.strtab\0"
    header_size, program_size, section_size = (64, 56, 64) if is64 else (52, 32, 40)
    table_at = 0x2000
    names_at = table_at + len(table)
    labels_at = names_at + len(names)
    sections_at = labels_at + len(labels)
    sections = [
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 1, 6, 0x1000, 0x1000, 0x1000, 0, 0, 16, 0),
        (7, 2, 0, 0, table_at, len(table), 3, 1, 8, 24 if is64 else 16),
        (15, 3, 0, 0, names_at, len(names), 0, 0, 1, 0),
        (0, 3, 0, 0, labels_at, len(labels), 0, 0, 1, 0),
    ]
    ident = b"\x7fELF" + bytes([2 if is64 else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    machine = 22 if order == ">" else 62 if is64 else 3
    header = struct.pack(
        order + ("HHIQQQIHHHHHH" if is64 else "HHIIIIIHHHHHH"),
        3, machine, 1, 0x1800, header_size, sections_at, 0, header_size, program_size, 1, section_size, 5, 4,
    )  # fmt: skip
    if is64:
        program = struct.pack(order + "IIQQQQQQ", 1, 5, 0x1000, 0x1000, 0x1000, 0x1000, 0x1000, 0x1000)
    else:
        program = struct.pack(order + "IIIIIIII", 1, 0x1000, 0x1000, 0x1000, 0x1000, 0x1000, 5, 0x1000)
    layout = order + ("IIQQQQIIQQ" if is64 else "IIIIIIIIII")
    start = (ident + header + program).ljust(0x2000, b"\xcc")
    return start + table + names + labels + b"".join(struct.pack(layout, *s) for s in sections)


def _symbol(is64: bool, order: str, name: int, value: int, size: int, info: int, index: int) -> bytes:
    if is64:
        return struct.pack(order + "IBBHQQ", name, info, 0, index, value, size)
    return struct.pack(order + "IIIBBH", name, value, size, info, 0, index)
