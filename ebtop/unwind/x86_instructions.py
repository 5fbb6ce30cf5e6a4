"""How long an x86-64 instruction is, and where its parts are. It does not say what most of them do.

Source: Intel 64 manual, volume 2, chapter 2 and appendix A: opcode maps, VEX, EVEX; AMD64 manual, volume 3: XOP.
"""

from __future__ import annotations

from typing import NamedTuple

LONGEST = 15


class Instruction(NamedTuple):
    """One instruction. `map` is 0 for opcodes of one byte, 1 for 0F, 2 for 0F 38, 3 for 0F 3A, or higher."""

    length: int
    map: int
    opcode: int
    rex: int
    """0 where there is none, and for VEX and its like."""
    modrm: int
    """-1: none"""
    sib: int
    """-1: none"""
    displacement: int
    immediate: int
    """Signed, also the distance of relative jumps."""

    @property
    def mod(self) -> int:
        return self.modrm >> 6

    @property
    def reg(self) -> int:
        """The register that the middle of ModRM names."""
        return self.modrm >> 3 & 7 | (self.rex & 4) << 1

    @property
    def rm(self) -> int:
        """The register that the end of ModRM names; of a memory operand without SIB the base."""
        return self.modrm & 7 | (self.rex & 1) << 3


def _table(*spans: str) -> frozenset[int]:
    numbers: set[int] = set()
    for span in " ".join(spans).split():
        first, _, last = span.partition("-")
        numbers.update(range(int(first, 16), int(last or first, 16) + 1))
    return frozenset(numbers)


_PREFIXES = _table("26 2e 36 3e 64 65 66 67 f0 f2 f3")
_INVALID = _table("06 07 0e 16 17 1e 1f 27 2f 37 3f 60 61 82 9a ce d4-d6 ea")
_ARITHMETIC = _table("00-03 08-0b 10-13 18-1b 20-23 28-2b 30-33 38-3b")
_MODRM = _ARITHMETIC | _table("63 69 6b 80 81 83-8f c0 c1 c6 c7 d0-d3 d8-df f6 f7 fe ff")
_BYTE = _table("04 0c 14 1c 24 2c 34 3c 6a 6b 70-7f 80 83 a8 b0-b7 c0 c1 c6 cd e0-e7 eb")
_WORD_OR_LONG = _table("05 0d 15 1d 25 2d 35 3d 68 69 81 a9 c7")
_LONG = _table("e8 e9")
_0F_NO_MODRM = _table("05-09 0b 0e 30-37 77 80-8f a0-a2 a8-aa c8-cf")
_0F_BYTE = _table("0f 70-73 a4 ac ba c2 c4-c6")
_0F_INVALID = _table("04 0a 0c 24-27 36 38 39-3f")


class UnknownInstruction(Exception):
    """Not an instruction of 64-bit code, or one cut short."""


def decode(code: bytes, at: int) -> Instruction:
    """The instruction at an offset. Raises UnknownInstruction."""
    try:
        return _decode(code, at)
    except IndexError:
        raise UnknownInstruction from None


def _decode(code: bytes, start: int) -> Instruction:
    at = start
    narrow = narrow_address = False
    opcode = code[at]
    while opcode in _PREFIXES:
        narrow |= opcode == 0x66
        narrow_address |= opcode == 0x67
        at += 1
        if at - start >= LONGEST:
            raise UnknownInstruction
        opcode = code[at]
    rex = 0
    if opcode & 0xF0 == 0x40:
        rex = opcode
        at += 1
        opcode = code[at]
    at += 1
    number, has_modrm, immediate_size = 0, False, 0
    if opcode == 0x0F:
        number, opcode, at = _escaped(code, at)
        has_modrm = number > 1 or opcode not in _0F_NO_MODRM
        immediate_size = _immediate_of_0f(number, opcode)
        if number == 1 and opcode in _0F_INVALID:
            raise UnknownInstruction
    elif opcode in (0xC4, 0xC5, 0x62) or (opcode == 0x8F and code[at] & 0x1F >= 8):
        number, opcode, at = _vector(code, at, opcode)
        rex = 0
        has_modrm = not (number == 1 and opcode == 0x77)
        immediate_size = 4 if number == 10 else 1 if number in (3, 8) else 0
        if number == 1 and opcode in _0F_BYTE:
            immediate_size = 1
    elif opcode in _INVALID:
        raise UnknownInstruction
    else:
        has_modrm = opcode in _MODRM
        immediate_size = _immediate(code, at, opcode, rex, narrow, narrow_address)
    modrm = sib = -1
    displacement = 0
    if has_modrm:
        modrm = code[at]
        at += 1
        mod, rm = modrm >> 6, modrm & 7
        size = (0, 1, 4, 0)[mod]
        if mod != 3 and rm == 4:
            sib = code[at]
            at += 1
            if not mod and sib & 7 == 5:
                size = 4
        elif not mod and rm == 5:
            size = 4
        displacement = _signed(code, at, size)
        at += size
    immediate = _signed(code, at, immediate_size)
    at += immediate_size
    if at > len(code) or at - start > LONGEST:
        raise UnknownInstruction
    return Instruction(at - start, number, opcode, rex, modrm, sib, displacement, immediate)


def _escaped(code: bytes, at: int) -> tuple[int, int, int]:
    """(map, opcode, offset behind it) after 0F."""
    if code[at] == 0x38:
        return 2, code[at + 1], at + 2
    if code[at] == 0x3A:
        return 3, code[at + 1], at + 2
    return 1, code[at], at + 1


def _immediate_of_0f(number: int, opcode: int) -> int:
    if number == 3 or (number == 1 and opcode in _0F_BYTE):
        return 1
    return 4 if number == 1 and opcode & 0xF0 == 0x80 else 0


def _vector(code: bytes, at: int, first: int) -> tuple[int, int, int]:
    """(map, opcode, offset behind it) of VEX, EVEX and XOP."""
    if first == 0xC5:
        return 1, code[at + 1], at + 2
    if first == 0x62:
        number = code[at] & 7
        if number not in (1, 2, 3, 5, 6):
            raise UnknownInstruction
        return number, code[at + 3], at + 4
    number = code[at] & 0x1F
    if number not in ((1, 2, 3) if first == 0xC4 else (8, 9, 10)):
        raise UnknownInstruction
    return number, code[at + 2], at + 3


def _immediate(code: bytes, at: int, opcode: int, rex: int, narrow: bool, narrow_address: bool) -> int:
    """Bytes of the immediate of an opcode of one byte."""
    if opcode in _BYTE:
        return 1
    if opcode in _LONG:
        return 4
    if opcode in _WORD_OR_LONG:
        return 2 if narrow else 4
    if opcode & 0xF8 == 0xB8:
        return 8 if rex & 8 else 2 if narrow else 4
    if opcode & 0xFC == 0xA0:
        return 4 if narrow_address else 8
    if opcode in (0xF6, 0xF7) and code[at] & 0x38 <= 8:
        return 1 if opcode == 0xF6 else 2 if narrow else 4
    return {0xC2: 2, 0xCA: 2, 0xC8: 3}.get(opcode, 0)


def _signed(code: bytes, at: int, size: int) -> int:
    if not size:
        return 0
    return int.from_bytes(code[at : at + size], "little", signed=True)
