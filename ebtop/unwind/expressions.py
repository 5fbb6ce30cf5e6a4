"""Recognise the few DWARF expressions that compilers and linkers write into .eh_frame.

A general evaluator has no place in the kernel; in 2,200 files of a development machine all but 15 expressions are of
these shapes.
"""

from __future__ import annotations

from ebtop.unwind.leb128 import signed, unsigned
from ebtop.unwind.machine import Machine
from ebtop.unwind.rule import Cfa, FramePointer, Rule

_DEREF, _PLUS, _PLUS_UCONST, _LIT0, _LIT31, _BREG0, _BREG31 = 0x06, 0x22, 0x23, 0x30, 0x4F, 0x70, 0x8F
# What follows breg(stack pointer, 8) in the linker's description of a lazy PLT:
# breg(pc, 0); lit15; and; lit(threshold); ge; lit3; shl; plus
_PLT_BEFORE, _PLT_AFTER = b"\x80\x00\x3f\x1a", b"\x2a\x33\x24\x22"


def cfa_rule(expression: bytes, machine: Machine) -> Rule | None:
    """The rule for a CFA given by an expression; None for one that is not recognised. Raises IndexError, ValueError."""
    based = _base(expression)
    if based is None:
        return None
    register, offset, rest = based
    if not rest:
        return Rule(Cfa.REGISTER, register, cfa_offset=offset)
    if rest[0] == _DEREF:
        added = _added(rest[1:])
        return None if added is None else Rule(Cfa.DEREF, register, cfa_offset=offset, cfa_offset2=added)
    if register == machine.stack_pointer and offset == 8 and len(rest) == 9:
        threshold = rest[4] - _LIT0
        if rest[:4] == _PLT_BEFORE and rest[5:] == _PLT_AFTER and 0 <= threshold <= 15:
            return Rule(Cfa.PLT, register, cfa_offset=threshold)
    return None


def frame_pointer_rule(expression: bytes, machine: Machine) -> tuple[FramePointer, int]:
    """Where an expression says the frame pointer was saved, as kind and offset. Raises IndexError, ValueError."""
    based = _base(expression)
    if based is not None and not based[2]:
        register, offset, _ = based
        if register == machine.frame_pointer:
            return FramePointer.AT_FRAME_POINTER, offset
        if register == machine.stack_pointer:
            return FramePointer.AT_STACK_POINTER, offset
    return FramePointer.LOST, 0


def _base(expression: bytes) -> tuple[int, int, bytes] | None:
    """(register, offset, what follows) of an expression that starts with a register."""
    if not expression or not _BREG0 <= expression[0] <= _BREG31:
        return None
    offset, at = signed(expression, 1)
    return expression[0] - _BREG0, offset, expression[at:]


def _added(expression: bytes) -> int | None:
    """The constant that an expression adds; 0 for an empty one."""
    if not expression:
        return 0
    if expression[0] == _PLUS_UCONST:
        value, at = unsigned(expression, 1)
        return value if at == len(expression) else None
    if len(expression) == 2 and _LIT0 <= expression[0] <= _LIT31 and expression[1] == _PLUS:
        return expression[0] - _LIT0
    return None
