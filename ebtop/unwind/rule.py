"""How one gets from a frame to its caller: the rule of a row of an unwind table, and its bytes for the kernel.

`struct unwind_rule` in bpf/unwind.h is the same 16 bytes.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple


class Cfa(IntEnum):
    """Where the canonical frame address is: the stack pointer's value before the call."""

    GAP = 0
    """Nothing describes this code: follow the frame pointer."""
    REGISTER = 1
    """register + offset"""
    DEREF = 2
    """*(register + offset) + offset2: functions that align their stack (gcc's DRAP), OpenSSL's assembler."""
    PLT = 3
    """register + 8, and 8 more where (pc & 15) >= offset: a lazy procedure linkage table has pushed one word."""
    SIGNAL = 4
    """A signal frame at the stack pointer holds all registers; there is no call, so pc - 1 must not be looked up."""
    STOP = 5
    """The return address is undefined: the outermost frame, the stack is whole."""
    UNSUPPORTED = 6
    """There is a description, but not one of these."""
    NOT_READ = 7
    """Where a compiler at run time puts its code: what is there came since the table was made."""


class FramePointer(IntEnum):
    """Where the caller's frame pointer is (rbp on x86-64)."""

    UNCHANGED = 0
    AT_CFA = 1
    """In memory at CFA + offset."""
    AT_FRAME_POINTER = 2
    """In memory at frame pointer + offset."""
    AT_STACK_POINTER = 3
    """In memory at stack pointer + offset."""
    LOST = 4
    """Not known: take 0."""


class Rule(NamedTuple):
    """One step of unwinding. Registers have their DWARF numbers, offsets are bytes."""

    cfa: int
    cfa_register: int = 0
    frame_pointer: int = FramePointer.UNCHANGED
    return_address: int = 0
    """0: in memory, where calls put it (x86-64: CFA - 8); otherwise 1 + the register that holds it."""
    cfa_offset: int = 0
    cfa_offset2: int = 0
    frame_pointer_offset: int = 0

    def pack(self) -> bytes:
        """The bytes that bpf/unwind.h reads."""
        return LAYOUT.pack(*self)


LAYOUT = struct.Struct("=BBBBiii")
"""The fields of `Rule` in their order."""
GAP = Rule(Cfa.GAP)
"""Rule 0 of every table."""
STOP = Rule(Cfa.STOP)
SIGNAL = Rule(Cfa.SIGNAL)
UNSUPPORTED = Rule(Cfa.UNSUPPORTED)
NOT_READ = Rule(Cfa.NOT_READ)


class RuleSet:
    """The rules of one table, each once. Rule 0 is `GAP`."""

    LIMIT = 1 << 16

    def __init__(self) -> None:
        self._indices: dict[Rule, int] = {GAP: 0, UNSUPPORTED: 1}

    def index(self, rule: Rule) -> int:
        """The rule's number in this table; that of `UNSUPPORTED` when it does not fit in."""
        found = self._indices.get(rule)
        if found is None:
            found = 1
            if len(self._indices) < self.LIMIT and _fits(rule):
                found = self._indices[rule] = len(self._indices)
        return found

    def pack(self) -> bytes:
        """All rules, 16 bytes each."""
        return b"".join(rule.pack() for rule in self._indices)


def _fits(rule: Rule) -> bool:
    return all(-(1 << 31) <= offset < 1 << 31 for offset in rule[4:]) and all(0 <= field < 256 for field in rule[:4])
