"""A stack that a program has written down: c/dump.h."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ebtop.process.elf import ElfFile, FileReader, file_to_address
from ebtop.unwind.ends import End
from ebtop.unwind.raw_stack import FindRule, StackCopy
from ebtop.unwind.rule import Rule
from ebtop.unwind.table import UnwindTable, build

_DUMP = struct.Struct("=16QQQQ100Q")
_STACK_POINTER = 7


class Dump(NamedTuple):
    """A stack, and what is needed to walk it."""

    registers: Sequence[int]
    ip: int
    stack: StackCopy
    addresses: list[int]
    """As the C library's unwinder found them, from the same function on."""
    find_rule: FindRule
    biases: dict[str, int]
    """Of the mapped files: address in memory - address in the file."""


def dump(program: Path, *arguments: str) -> Dump:
    """What a program that uses dump.h says."""
    output = subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE).stdout
    values = _DUMP.unpack_from(output)
    registers, ip, size, count = values[:16], *values[16:19]
    stack_end = _DUMP.size + size
    mappings: list[tuple[int, int, int, UnwindTable]] = []
    biases = {}
    for line in output[stack_end:].decode().splitlines():
        fields = line.split()
        if "x" in fields[1] and len(fields) > 5 and fields[5].startswith("/"):
            start, end = [int(text, 16) for text in fields[0].split("-")]
            table, address = _read(fields[5], int(fields[2], 16))
            mappings.append((start, end, start - address, table))
            biases[fields[5]] = start - address

    def find_rule(pc: int) -> Rule | End:
        for start, end, bias, table in mappings:
            if start <= pc < end:
                return table.rule(pc - bias)
        return End.NO_MAPPING

    stack = StackCopy(registers[_STACK_POINTER], output[_DUMP.size : stack_end])
    return Dump(registers, ip, stack, list(values[19 : 19 + count]), find_rule, biases)


def _read(path: str, offset: int) -> tuple[UnwindTable, int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        elf = ElfFile(FileReader(fd))
        address = file_to_address(elf.segments, offset)
        assert address is not None
        return build(elf), address
    finally:
        os.close(fd)
