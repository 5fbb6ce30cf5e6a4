"""Compare a rule of an unwind table with what readelf says in words."""

from __future__ import annotations

from ebtop.unwind.rule import Cfa, FramePointer, Rule
from tests.lab.readelf import Row

_REGISTERS = [
    "rax",
    "rdx",
    "rcx",
    "rbx",
    "rsi",
    "rdi",
    "rbp",
    "rsp",
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
]
_EXPRESSIONS = (Cfa.DEREF, Cfa.PLT, Cfa.UNSUPPORTED)


def agrees(rule: Rule, row: Row) -> bool:
    """Whether both say the same; an expression, which readelf does not explain, may be any that is recognised."""
    if row.signal:
        return rule.cfa == Cfa.SIGNAL
    if row.return_address == "u":
        return rule.cfa == Cfa.STOP
    if rule.cfa == Cfa.UNSUPPORTED:
        return row.cfa == "exp" or row.return_address != "c-8"
    return _cfa(rule, row.cfa) and _frame_pointer(rule, row.frame_pointer) and _return_address(rule, row.return_address)


def _cfa(rule: Rule, words: str) -> bool:
    if words == "exp":
        return rule.cfa in _EXPRESSIONS
    return rule.cfa == Cfa.REGISTER and words == f"{_REGISTERS[rule.cfa_register]}{rule.cfa_offset:+d}"


def _frame_pointer(rule: Rule, words: str) -> bool:
    if words == "u":
        return rule.frame_pointer in (FramePointer.UNCHANGED, FramePointer.LOST)
    if words.startswith("c"):
        return rule.frame_pointer == FramePointer.AT_CFA and words == f"c{rule.frame_pointer_offset:+d}"
    return rule.frame_pointer not in (FramePointer.UNCHANGED, FramePointer.AT_CFA)


def _return_address(rule: Rule, words: str) -> bool:
    if words in _REGISTERS:
        return rule.return_address == 1 + _REGISTERS.index(words)
    return rule.return_address == 0 and words == "c-8"
