"""The frames of code that HotSpot generated: compiled methods and run-time stubs. x86-64.

Source: frame::sender_for_compiled_frame of OpenJDK: the frame's size is known, the return address lies at its top,
the caller's frame pointer below that. Where the frame is being set up and taken down is found in the instructions.
"""

from __future__ import annotations

import re

from ebtop.hotspot.code_cache import CodeBlob
from ebtop.unwind.machine import X86_64
from ebtop.unwind.rule import Cfa, FramePointer, Rule
from ebtop.unwind.x86_instructions import UnknownInstruction, decode

_SP = X86_64.stack_pointer
_WORD = 8
_FRAME_WORDS_MAX = 1 << 16
_CALLED = Rule(Cfa.REGISTER, _SP, cfa_offset=_WORD)
_PUSHED = Rule(Cfa.REGISTER, _SP, FramePointer.AT_CFA, cfa_offset=2 * _WORD, frame_pointer_offset=-2 * _WORD)
_POPPED = _PUSHED._replace(cfa_offset=_WORD)
_COMPILED = (b"nmethod", b"native nmethod")
_INTERPRETER = b"Interpreter"
_PROLOGUE_BYTES = 96
_EPILOGUE_INSTRUCTIONS = 8
_RET = 0xC3
# push rbp; sub rsp, N
_PUSH = re.compile(rb"\x55\x48(?:\x83\xec(.)|\x81\xec(....))", re.DOTALL)
# sub rsp, N; mov [rsp + N - 8], rbp
_SUB = re.compile(rb"(\x48(?:\x83\xec(.)|\x81\xec(....)))\x48\x89(?:\x6c\x24.|\xac\x24....)", re.DOTALL)
# add rsp, N; pop rbp
_LEAVE = re.compile(rb"\x48(?:\x83\xc4(.)|\x81\xc4(....))\x5d", re.DOTALL)


def needs_code(blob: CodeBlob) -> bool:
    """Whether `frames` looks at a blob's instructions."""
    return blob.name in _COMPILED and 0 < blob.frame_size <= _FRAME_WORDS_MAX


def frames(blob: CodeBlob, code: bytes) -> list[tuple[int, Rule]]:
    """(offset, the rule from there on) of a blob, the first at 0; empty where frame pointers tell more.

    The interpreter keeps a frame pointer; adapters and stubs without a frame size mostly do.
    """
    if blob.name in _COMPILED and not blob.frame_size:
        return [(0, _CALLED)]  # goes on to a method, by a jump
    if blob.name == _INTERPRETER or not 1 < blob.frame_size <= _FRAME_WORDS_MAX:
        return []
    size = blob.frame_size * _WORD
    full = _PUSHED._replace(cfa_offset=size)
    if blob.name not in _COMPILED:
        return [(0, full)]
    rules = _prologue(code, size, full, blob.frame_complete)
    return rules + _epilogues(code, size, full, rules[-1][0])


def _prologue(code: bytes, size: int, full: Rule, complete: int) -> list[tuple[int, Rule]]:
    for found in _PUSH.finditer(code, 0, _PROLOGUE_BYTES):
        if _number(found[1] or found[2]) == size - 2 * _WORD:
            return [(0, _CALLED), (found.start() + 1, _PUSHED), (found.end(), full)]
    for found in _SUB.finditer(code, 0, _PROLOGUE_BYTES):
        if _number(found[2] or found[3]) == size - _WORD:
            pushed = _CALLED._replace(cfa_offset=size)
            return [(0, _CALLED), (found.end(1), pushed), (found.end(), full)]
    return [(0, _CALLED), (complete, full)] if complete > 0 else [(0, full)]


def _epilogues(code: bytes, size: int, full: Rule, at: int) -> list[tuple[int, Rule]]:
    """Those behind `at`."""
    rules = []
    for found in _LEAVE.finditer(code):
        if _number(found[1] or found[2]) != size - 2 * _WORD or found.start() < at:
            continue
        end = _return_after(code, found.end())
        if end is not None:
            rules += [(found.end() - 1, _PUSHED), (found.end(), _POPPED), (end, full)]
            at = end
    return rules


def _return_after(code: bytes, at: int) -> int | None:
    """Where the instructions end that lead to a return: it asks for a safepoint before."""
    for _ in range(_EPILOGUE_INSTRUCTIONS):
        try:
            instruction = decode(code, at)
        except UnknownInstruction:
            return None
        at += instruction.length
        if instruction.map == 0 and instruction.opcode == _RET:
            return at
    return None


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)
