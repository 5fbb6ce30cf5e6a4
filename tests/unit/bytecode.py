"""BPF instructions, decoded without any help of ebtop."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

LD_IMM64 = 0x18
PSEUDO_MAP_FD = 1


class Instruction(NamedTuple):
    """One instruction; LD_IMM64 takes two slots and is one instruction here."""

    slot: int
    opcode: int
    destination: int
    source: int
    offset: int
    immediate: int
    """Signed 32 bits; unsigned 64 bits of a LD_IMM64."""


def instructions(code: bytes) -> Iterator[Instruction]:
    """All instructions of a program in order."""
    slots = iter(enumerate(struct.iter_unpack("<BBhi", code)))
    for slot, (opcode, registers, offset, immediate) in slots:
        if opcode == LD_IMM64:
            _, (_, _, _, high) = next(slots)
            immediate = (immediate & 0xFFFFFFFF) | (high & 0xFFFFFFFF) << 32
        yield Instruction(slot, opcode, registers & 15, registers >> 4, offset, immediate)
