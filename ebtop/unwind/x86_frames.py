"""Unwinding rules for x86-64 functions that nothing describes, from their instructions: hand-written assembler.

A function is read from its first instruction on, following what it does to the stack pointer and where it saves the
frame pointer. Where what is found contradicts itself (a return with words left on the stack) there are no rules for
the function: no rule is better than a wrong one.
"""

from __future__ import annotations

from typing import NamedTuple

from ebtop.unwind.machine import X86_64
from ebtop.unwind.rule import SIGNAL, Cfa, FramePointer, Rule
from ebtop.unwind.x86_instructions import LONGEST, Instruction, UnknownInstruction, decode

INSTRUCTIONS_MAX = 250
"""Of one function: what comes later keeps the rule of its body."""
LENGTH_MAX = INSTRUCTIONS_MAX * LONGEST
"""Bytes of a function that are enough."""
_SP, _FP = X86_64.stack_pointer, X86_64.frame_pointer
_DWARF = (0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15)
"""DWARF numbers of registers by their numbers in instructions: ax cx dx bx sp bp si di."""
_LIKELY_BASES = (0, 11, 10, 15, 14, 13, 12, 3, _FP)
"""Registers that take the place of the stack pointer where it gets aligned, the likeliest last."""
_SIGNAL_RETURNS = (b"\x48\xc7\xc0\x0f\0\0\0\x0f\x05", b"\xb8\x0f\0\0\0\x0f\x05")
"""mov $15 (rt_sigreturn), %rax; syscall: where signal handlers return to, in C libraries other than glibc."""
_FRAME_POINTER_PROLOGUE = b"\x55\x48\x89\xe5"
_ENDBR64 = b"\xf3\x0f\x1e\xfa"
# Opcodes of 16, 32 and 64 bits that change the operand at the end of ModRM, or the register in its middle.
_CHANGES_RM = frozenset(bytes.fromhex("01 09 11 19 21 29 31 81 83 87 89 8f c1 c7 d1 d3"))
_CHANGES_REG = frozenset(bytes.fromhex("03 0b 13 1b 23 2b 33 63 69 6b 87 8b 8d"))
_COMPARE = 7
"""In the middle of ModRM of 81 and 83."""


class _State(NamedTuple):
    """What is known before an instruction."""

    depth: int | None
    """CFA - stack pointer; None where only a base is known."""
    bases: tuple[tuple[int, int], ...]
    """(register, CFA - register) of copies of the stack pointer."""
    saved: int | None
    """Where the caller's frame pointer is saved, from the CFA; None: not saved."""


class _Contradiction(Exception):
    """This is not a function as known, or not one at all."""


def frame_rules(code: bytes) -> list[tuple[int, Rule]]:
    """(offset, the rule from there on) of a function, the first at 0; empty when none can be told. Never raises."""
    if code.startswith(_SIGNAL_RETURNS):
        return [(0, SIGNAL)]
    start = len(_ENDBR64) if code.startswith(_ENDBR64) else 0
    if code.startswith(_FRAME_POINTER_PROLOGUE, start):
        pushed = Rule(Cfa.REGISTER, _SP, FramePointer.AT_CFA, cfa_offset=16, frame_pointer_offset=-16)
        framed = pushed._replace(cfa_register=_FP)
        return [(0, Rule(Cfa.REGISTER, _SP, cfa_offset=8)), (start + 1, pushed), (start + 4, framed)]
    try:
        return _Reader(code).read()
    except _Contradiction:
        return []


class _Reader:
    """Reads one function."""

    def __init__(self, code: bytes) -> None:
        self._code = code
        self._state = _State(8, (), None)
        self._at_target: dict[int, _State] = {}
        """What holds where jumps lead, by offset."""
        self._body = self._state
        """What holds in most of the function: the most that is on the stack at a jump, where arguments seldom are."""

    def read(self) -> list[tuple[int, Rule]]:
        """As frame_rules(). Raises _Contradiction."""
        rules: list[tuple[int, Rule]] = []
        at = 0
        guessed = False
        for _ in range(INSTRUCTIONS_MAX):
            if at >= len(self._code):
                return rules
            if guessed and at in self._at_target:
                self._state = self._at_target[at]
                guessed = False
            _add(rules, at, self._state)
            try:
                instruction = decode(self._code, at)
            except UnknownInstruction:
                return rules  # constants behind the code, or an instruction of the future
            at += instruction.length
            try:
                ends = self._follow(instruction, at)
            except _Contradiction:
                if not guessed:
                    raise
                ends = True
            if ends:
                # Behind a jump or return: what follows is reached from a place above, or from one further down.
                self._state = self._body
                guessed = True
        _add(rules, at, self._body)
        return rules

    def _follow(self, i: Instruction, after: int) -> bool:
        """Take in one instruction, which ends at `after`; whether what follows it is reached from elsewhere."""
        if i.map == 0:
            return self._follow_short(i, after)
        if i.map == 1 and i.opcode & 0xF0 == 0x80:
            self._jump(after + i.immediate)
        return i.map == 1 and i.opcode == 0x0B

    def _follow_short(self, i: Instruction, after: int) -> bool:
        opcode = i.opcode
        if 0x50 <= opcode <= 0x57:
            self._push(opcode & 7 | (i.rex & 1) << 3)
        elif 0x58 <= opcode <= 0x5F:
            self._pop(opcode & 7 | (i.rex & 1) << 3)
        elif opcode in (0x68, 0x6A, 0x9C):
            self._move(8)
        elif opcode == 0x9D:
            self._move(-8)
        elif 0x90 <= opcode <= 0x97 or 0xB8 <= opcode <= 0xBF:
            self._exchange_or_load(opcode, i.rex)
        elif opcode in (0xC3, 0xC2):
            self._returns()
            return True
        elif opcode == 0xC9:
            self._leave()
        elif opcode in (0xE9, 0xEB):
            self._jump(after + i.immediate)
            return True
        elif opcode & 0xF0 == 0x70 or 0xE0 <= opcode <= 0xE3:
            self._jump(after + i.immediate)
        elif opcode == 0xFF:
            return self._follow_ff(i)
        elif i.modrm >= 0:
            self._follow_modrm(i)
        return opcode in (0xCC, 0xF4)

    def _follow_ff(self, i: Instruction) -> bool:
        kind = i.modrm >> 3 & 7
        if kind == 6:
            self._move(8)
        elif kind < 2 and i.mod == 3:
            self._forget(_DWARF[i.rm])
        if kind == 4:
            self._note_body()
        return kind in (4, 5)

    def _follow_modrm(self, i: Instruction) -> None:
        opcode, wide = i.opcode, bool(i.rex & 8)
        reg, rm = _DWARF[i.reg], _DWARF[i.rm]
        in_register = i.mod == 3
        if in_register and opcode in (0x89, 0x8B) and wide:
            self._copy(*((reg, rm) if opcode == 0x89 else (rm, reg)))
        elif in_register and opcode in (0x81, 0x83) and wide and rm == _SP:
            self._arithmetic(i.modrm >> 3 & 7, i.immediate)
        elif opcode == 0x8D and wide and reg == _SP:
            self._load_address(i)
        elif not in_register and i.sib & 0x3F == 0x24 and i.sib >= 0 and not i.rex & 3 and wide and reg == _FP:
            self._frame_pointer_on_stack(opcode, i.displacement)
        elif in_register and opcode in _CHANGES_RM:
            if opcode not in (0x81, 0x83) or i.modrm >> 3 & 7 != _COMPARE:
                self._forget(rm)
        elif opcode in _CHANGES_REG:
            self._forget(reg)

    def _push(self, register: int) -> None:
        self._move(8)
        depth, _, saved = self._state
        if _DWARF[register] == _FP and saved is None and depth is not None:
            self._state = self._state._replace(saved=-depth)

    def _pop(self, register: int) -> None:
        depth, _, saved = self._state
        if _DWARF[register] == _FP and saved is not None and depth == -saved:
            self._state = self._state._replace(saved=None)
        self._move(-8)
        self._forget(_DWARF[register])

    def _exchange_or_load(self, opcode: int, rex: int) -> None:
        register = opcode & 7 | (rex & 1) << 3
        if opcode < 0xB8 and register:
            self._forget(0)
        if opcode >= 0xB8 or register:
            self._forget(_DWARF[register])

    def _move(self, by: int) -> None:
        depth = self._state.depth
        if depth is None:
            return
        if depth + by < 0:
            raise _Contradiction
        self._state = self._state._replace(depth=depth + by)

    def _copy(self, source: int, target: int) -> None:
        depth, bases, _ = self._state
        known = depth if source == _SP else dict(bases).get(source)
        if target == _SP:
            if known is None:
                raise _Contradiction
            self._state = self._state._replace(depth=known)
            return
        self._forget(target)
        if known is not None:
            self._state = self._state._replace(bases=((target, known), *self._state.bases))

    def _arithmetic(self, kind: int, value: int) -> None:
        if kind == 0:
            self._move(-value)
        elif kind == 5:
            self._move(value)
        elif kind != _COMPARE:
            self._forget(_SP)

    def _load_address(self, i: Instruction) -> None:
        if i.sib >= 0 and (i.sib >> 3 & 7 != 4 or i.rex & 2):
            self._forget(_SP)
            return
        source = _DWARF[(i.sib & 7 | (i.rex & 1) << 3) if i.sib >= 0 else i.rm]
        depth, bases, _ = self._state
        known = depth if source == _SP else dict(bases).get(source)
        if known is None and source != _SP:
            raise _Contradiction
        if known is not None:
            self._state = self._state._replace(depth=known - i.displacement)

    def _frame_pointer_on_stack(self, opcode: int, displacement: int) -> None:
        depth, _, saved = self._state
        if depth is None:
            return
        if opcode == 0x89 and saved is None:
            self._state = self._state._replace(saved=displacement - depth)
        elif opcode == 0x8B:
            self._forget(_FP)
            if saved == displacement - depth:
                self._state = self._state._replace(saved=None)

    def _leave(self) -> None:
        known = dict(self._state.bases).get(_FP)
        if known is None:
            raise _Contradiction
        self._forget(_FP)
        self._state = self._state._replace(depth=known - 8, saved=None)

    def _returns(self) -> None:
        if self._state.depth != 8 or self._state.saved is not None:
            raise _Contradiction

    def _jump(self, to: int) -> None:
        if 0 <= to < len(self._code):
            self._at_target.setdefault(to, self._state)
            self._note_body()

    def _note_body(self) -> None:
        if _is_deeper(self._state, self._body):
            self._body = self._state

    def _forget(self, register: int) -> None:
        bases = self._state.bases
        if register == _SP:
            if not bases:
                raise _Contradiction
            self._state = self._state._replace(depth=None)
        elif any(base == register for base, _ in bases):
            self._state = self._state._replace(bases=tuple([b for b in bases if b[0] != register]))
            if self._state.depth is None and not self._state.bases:
                raise _Contradiction


def _add(rules: list[tuple[int, Rule]], at: int, state: _State) -> None:
    rule = _rule(state)
    if not rules or rules[-1][1] != rule:
        rules.append((at, rule))


def _is_deeper(state: _State, body: _State) -> bool:
    return state.depth is None or (body.depth is not None and state.depth > body.depth)


def _rule(state: _State) -> Rule:
    if state.saved == -16 and (_FP, 16) in state.bases:
        # A whole frame with a frame pointer, which holds whatever is pushed in loops meanwhile.
        return Rule(Cfa.REGISTER, _FP, FramePointer.AT_CFA, cfa_offset=16, frame_pointer_offset=-16)
    if state.depth is None:
        register, offset = max(
            state.bases, key=lambda base: (base[0] in _LIKELY_BASES) and _LIKELY_BASES.index(base[0])
        )
    else:
        register, offset = _SP, state.depth
    if state.saved is None:
        return Rule(Cfa.REGISTER, register, cfa_offset=offset)
    return Rule(Cfa.REGISTER, register, FramePointer.AT_CFA, cfa_offset=offset, frame_pointer_offset=state.saved)
