"""Run DWARF call frame instructions (CFI): which rule holds where in a function.

Source: DWARF 5, section 6.4, and the System V ABI. Only what leads to the caller is followed: the CFA, the frame
pointer, the return address. The instructions come from files that anybody can write: their length bounds the work.
"""

from __future__ import annotations

from typing import NamedTuple

from ebtop.unwind.expressions import cfa_rule, frame_pointer_rule
from ebtop.unwind.leb128 import signed, unsigned
from ebtop.unwind.machine import Machine
from ebtop.unwind.rule import STOP, UNSUPPORTED, Cfa, FramePointer, Rule, RuleSet

Place = int | bytes | tuple[int] | None
"""The caller's value of a register: in memory at CFA + int or at the address an expression gives, in register (n,),
or None: where it was."""

_UNDEFINED = (-1,)
_NOT_READ = (-2,)
_EXPRESSION = -1
_REMEMBERED_MAX = 256

_NOP, _ADVANCE_1, _ADVANCE_4 = 0x00, 0x02, 0x04
_OFFSET_EXTENDED, _RESTORE_EXTENDED, _UNDEFINED_OP, _SAME_VALUE, _REGISTER = 0x05, 0x06, 0x07, 0x08, 0x09
_REMEMBER, _RESTORE_STATE = 0x0A, 0x0B
_DEF_CFA, _DEF_CFA_REGISTER, _DEF_CFA_OFFSET, _DEF_CFA_EXPRESSION = 0x0C, 0x0D, 0x0E, 0x0F
_EXPRESSION_OP, _OFFSET_EXTENDED_SF, _DEF_CFA_SF, _DEF_CFA_OFFSET_SF = 0x10, 0x11, 0x12, 0x13
_VAL_OFFSET, _VAL_OFFSET_SF, _VAL_EXPRESSION, _GNU_ARGS_SIZE, _GNU_NEGATIVE_OFFSET = 0x14, 0x15, 0x16, 0x2E, 0x2F


class State(NamedTuple):
    """What the instructions have set so far."""

    register: int
    """Of the CFA; _EXPRESSION: `offset` is the expression."""
    offset: int | bytes
    frame_pointer: Place
    return_address: Place


class CfiError(Exception):
    """The instructions are damaged, or of a kind that is not read."""


class Interpreter:
    """Runs the programs of one CIE."""

    def __init__(self, machine: Machine, code_factor: int, data_factor: int, rules: RuleSet) -> None:
        self._machine = machine
        self._code_factor = code_factor
        self._data_factor = data_factor
        self._rules = rules
        self._numbers: dict[State, int] = {}
        self._start = State(machine.stack_pointer, 0, None, machine.return_offset)

    def start_with(self, instructions: bytes) -> None:
        """Take the CIE's own instructions, whose result holds where functions start. Raises CfiError."""
        _, self._start = self._run(instructions)

    def program(self, instructions: bytes) -> list[int]:
        """A function's rows: (bytes from its start) << 16 | rule, ascending, the first one at 0. Raises CfiError."""
        return self._run(instructions)[0]

    def _run(self, code: bytes) -> tuple[list[int], State]:
        try:
            return self._interpret(code)
        except IndexError:
            raise CfiError("cut short") from None
        except ValueError as error:
            raise CfiError(str(error)) from None

    def _interpret(self, code: bytes) -> tuple[list[int], State]:
        # What functions are full of stands here, for speed; the rest is in _seldom().
        fp_column, code_factor, data_factor = self._machine.frame_pointer, self._code_factor, self._data_factor
        ra_column = self._machine.return_address
        register, offset, frame_pointer, return_address = self._start
        rows: list[int] = []
        remembered: list[State] = []
        last = -1
        where = at = 0
        length = len(code)
        while at < length:
            op = code[at]
            at += 1
            if op >= 0x80:  # offset, restore
                column = op & 0x3F
                if op < 0xC0:
                    value = code[at]
                    at += 1
                    if value > 0x7F:
                        value, at = unsigned(code, at - 1)
                    if column == fp_column:
                        frame_pointer = value * data_factor
                    elif column == ra_column:
                        return_address = value * data_factor
                elif column == fp_column:
                    frame_pointer = self._start.frame_pointer
                elif column == ra_column:
                    return_address = self._start.return_address
            elif op >= 0x40 or _ADVANCE_1 <= op <= _ADVANCE_4:
                if op >= 0x40:
                    step = op & 0x3F
                else:
                    size = 1 << op - _ADVANCE_1
                    step = int.from_bytes(code[at : at + size], "little")
                    at += size
                if step:
                    number = self._number(State(register, offset, frame_pointer, return_address))
                    if number != last:
                        rows.append(where << 16 | number)
                        last = number
                    where += step * code_factor
            elif op == _DEF_CFA_OFFSET:
                offset = code[at]
                at += 1
                if offset > 0x7F:
                    offset, at = unsigned(code, at - 1)
            elif op == _REMEMBER:
                if len(remembered) == _REMEMBERED_MAX:
                    raise CfiError("too many states to remember")
                remembered.append(State(register, offset, frame_pointer, return_address))
            elif op == _RESTORE_STATE:
                register, offset, frame_pointer, return_address = remembered.pop()
            elif op != _NOP:
                state = State(register, offset, frame_pointer, return_address)
                (register, offset, frame_pointer, return_address), at = self._seldom(op, code, at, state)
        state = State(register, offset, frame_pointer, return_address)
        number = self._number(state)
        if number != last:
            rows.append(where << 16 | number)
        return rows, state

    def _seldom(self, op: int, code: bytes, at: int, state: State) -> tuple[State, int]:
        value: int | bytes
        if op == _DEF_CFA_REGISTER:
            register, at = unsigned(code, at)
            return state._replace(register=register), at
        if op in (_DEF_CFA, _DEF_CFA_SF):
            register, at = unsigned(code, at)
            value, at = unsigned(code, at) if op == _DEF_CFA else self._factored(code, at)
            return state._replace(register=register, offset=value), at
        if op == _DEF_CFA_OFFSET_SF:
            value, at = self._factored(code, at)
            return state._replace(offset=value), at
        if op == _DEF_CFA_EXPRESSION:
            value, at = _block(code, at)
            return state._replace(register=_EXPRESSION, offset=value), at
        if op == _GNU_ARGS_SIZE:
            _, at = unsigned(code, at)
            return state, at
        column, at = unsigned(code, at)
        place: Place
        if op == _OFFSET_EXTENDED:
            place, at = unsigned(code, at)
            place *= self._data_factor
        elif op == _OFFSET_EXTENDED_SF:
            place, at = self._factored(code, at)
        elif op == _GNU_NEGATIVE_OFFSET:
            place, at = unsigned(code, at)
            place *= -self._data_factor
        elif op == _RESTORE_EXTENDED:
            return self._restore(state, column), at
        elif op == _UNDEFINED_OP:
            place = _UNDEFINED
        elif op == _SAME_VALUE:
            place = None
        elif op == _REGISTER:
            other, at = unsigned(code, at)
            place = (other,)
        elif op == _EXPRESSION_OP:
            place, at = _block(code, at)
        elif op == _VAL_EXPRESSION:
            _, at = _block(code, at)
            place = _NOT_READ
        elif op in (_VAL_OFFSET, _VAL_OFFSET_SF):
            _, at = unsigned(code, at)
            place = _NOT_READ
        else:
            raise CfiError(f"unknown instruction {op:#x}")
        return self._saved(state, column, place), at

    def _factored(self, code: bytes, at: int) -> tuple[int, int]:
        value, at = signed(code, at)
        return value * self._data_factor, at

    def _saved(self, state: State, column: int, place: Place) -> State:
        if column == self._machine.frame_pointer:
            return state._replace(frame_pointer=place)
        if column == self._machine.return_address:
            return state._replace(return_address=place)
        return state

    def _restore(self, state: State, column: int) -> State:
        if column == self._machine.frame_pointer:
            return state._replace(frame_pointer=self._start.frame_pointer)
        if column == self._machine.return_address:
            return state._replace(return_address=self._start.return_address)
        return state

    def _number(self, state: State) -> int:
        number = self._numbers.get(state)
        if number is None:
            number = self._numbers[state] = self._rules.index(_rule(state, self._machine))
        return number


def _block(code: bytes, at: int) -> tuple[bytes, int]:
    size, at = unsigned(code, at)
    if at + size > len(code):
        raise IndexError
    return code[at : at + size], at + size


def _rule(state: State, machine: Machine) -> Rule:
    """The rule that says what a state says."""
    register, offset, frame_pointer, return_address = state
    if return_address == _UNDEFINED:
        return STOP
    rule = cfa_rule(offset, machine) if isinstance(offset, bytes) else Rule(Cfa.REGISTER, register, 0, 0, offset)
    if rule is None or not 0 <= rule.cfa_register < machine.registers:
        return UNSUPPORTED
    if isinstance(return_address, tuple) and 0 <= return_address[0] < machine.registers:
        rule = rule._replace(return_address=1 + return_address[0])
    elif return_address != machine.return_offset:
        return UNSUPPORTED
    if frame_pointer is None:
        return rule
    kind, at = FramePointer.LOST, 0
    if isinstance(frame_pointer, int):
        kind, at = FramePointer.AT_CFA, frame_pointer
    elif isinstance(frame_pointer, bytes):
        kind, at = frame_pointer_rule(frame_pointer, machine)
    return rule._replace(frame_pointer=kind, frame_pointer_offset=at)
