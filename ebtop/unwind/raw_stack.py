"""Walk a copy of a stack by the same rules as bpf/unwind.h, step for step: for what the kernel could not finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ebtop.unwind.ends import End
from ebtop.unwind.machine import X86_64
from ebtop.unwind.rule import Cfa, FramePointer, Rule

STACK_DEPTH = 127
"""As in bpf/stack.h."""
_MASK = (1 << 64) - 1
_PAGE = 4096
_FAR = 1 << 16
_SP, _FP = X86_64.stack_pointer, X86_64.frame_pointer
# struct sigcontext begins with r8 to r15, di, si, bp, bx, dx, ax, cx, sp, ip; here by DWARF number.
_SIGCONTEXT = (8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7)
_SIGCONTEXT_AT = 40
"""Bytes from the stack pointer at rt_sigreturn(2): of struct rt_sigframe, whose first word was popped."""

FindRule = Callable[[int], Rule | End]
"""The rule for a program counter, or why there is none: NO_PROCESS, NO_MAPPING, NO_TABLE."""


class StackCopy(NamedTuple):
    """The bytes of a stack from an address on."""

    address: int
    data: bytes

    def word(self, address: int) -> int:
        """The 8 bytes at an address. Raises StackFault outside of the copy."""
        at = (address & _MASK) - self.address
        if not 0 <= at <= len(self.data) - 8:
            raise StackFault
        return int.from_bytes(self.data[at : at + 8], "little")


class StackFault(Exception):
    """An address outside of what was copied."""


class Walked(NamedTuple):
    """The frames of a stack, from the leaf on, and why they end there."""

    addresses: list[int]
    """As the kernel gives them: return addresses, and for frames that a signal interrupted the next byte, so that one
    byte before each, but the first, lies in the function."""
    end: End


def walk(registers: Sequence[int], ip: int, after: bool, stack: StackCopy, find_rule: FindRule) -> Walked:
    """Walk from a moment of user mode to the outermost frame.

    `registers` are the sixteen of x86-64 by DWARF number; `after`: `ip` is behind an instruction that is still at
    work, a system call. Never raises.
    """
    frame = _Frame(list(registers), ip, after, stack)
    addresses = [ip]
    while True:
        end = frame.step(find_rule)
        if end is not None:
            return Walked(addresses, end)
        if len(addresses) == STACK_DEPTH:
            return Walked(addresses, End.TOO_DEEP)
        addresses.append(frame.ip + frame.interrupted)


class _Frame:
    """One frame, which becomes its caller's with each step."""

    def __init__(self, registers: list[int], ip: int, after: bool, stack: StackCopy) -> None:
        self.ip = ip
        self.interrupted = True
        """It made no call: all registers are its own."""
        self._after = after
        self._registers = registers
        self._stack = stack

    def step(self, find_rule: FindRule) -> End | None:
        """Go to the caller; None, or why there is none."""
        pc = self.ip - self._after & _MASK
        rule = find_rule(pc)
        if isinstance(rule, End):
            return rule
        if rule.cfa == Cfa.STOP:
            return End.WHOLE
        if rule.cfa == Cfa.NOT_READ:
            return End.NO_TABLE
        if rule.cfa == Cfa.GAP:
            return self._by_frame_pointer()
        try:
            return self._out_of_signal() if rule.cfa == Cfa.SIGNAL else self._by_rule(rule, pc)
        except StackFault:
            return End.READ_FAULT

    def _by_frame_pointer(self) -> End | None:
        at = self._registers[_FP]
        if not at:
            return End.BASE
        if at < self._registers[_SP] or at & 7:
            return End.NO_INFORMATION
        try:
            saved, ip = self._stack.word(at), self._stack.word(at + 8)
        except StackFault:
            return End.NO_INFORMATION
        if not ip:
            return End.BASE
        if ip < _PAGE:
            return End.NO_INFORMATION
        self._registers[_FP] = saved
        self._go_to(ip, at + 16)
        return None

    def _out_of_signal(self) -> End | None:
        at = self._registers[_SP] + _SIGCONTEXT_AT
        values = [self._stack.word(at + 8 * n) for n in range(len(_SIGCONTEXT) + 1)]
        for register, value in zip(_SIGCONTEXT, values[:-1], strict=True):
            self._registers[register] = value
        self.ip = values[-1]
        self.interrupted = True
        self._after = False
        return None if self.ip else End.BAD_FRAME

    def _by_rule(self, rule: Rule, pc: int) -> End | None:
        sp, fp = self._registers[_SP], self._registers[_FP]
        base = rule.cfa_register & 15
        if rule.cfa in (Cfa.REGISTER, Cfa.DEREF):
            cfa = self._registers[base] + rule.cfa_offset & _MASK
            if base not in (_SP, _FP) and not self.interrupted and (cfa - sp & _MASK) > _FAR:
                return End.UNSUPPORTED  # of a caller only these two are followed
            if rule.cfa == Cfa.DEREF:
                cfa = self._stack.word(cfa) + rule.cfa_offset2 & _MASK
        elif rule.cfa == Cfa.PLT:
            cfa = sp + (16 if pc & 15 >= rule.cfa_offset else 8) & _MASK
        else:
            return End.UNSUPPORTED
        if cfa < sp or (cfa == sp and not self.interrupted):
            return End.BAD_FRAME
        if rule.return_address and not self.interrupted:
            return End.UNSUPPORTED
        if rule.return_address:
            ip = self._registers[rule.return_address - 1 & 15]
        else:
            ip = self._stack.word(cfa + X86_64.return_offset)
        if rule.frame_pointer == FramePointer.LOST:
            self._registers[_FP] = 0
        elif rule.frame_pointer != FramePointer.UNCHANGED:
            at = sp
            if rule.frame_pointer != FramePointer.AT_STACK_POINTER:
                at = cfa if rule.frame_pointer == FramePointer.AT_CFA else fp
            self._registers[_FP] = self._stack.word(at + rule.frame_pointer_offset)
        if not ip:
            return End.BASE
        self._go_to(ip, cfa)
        return None

    def _go_to(self, ip: int, sp: int) -> None:
        self._registers[_SP] = sp
        self.ip = ip
        self.interrupted = False
        self._after = True
