"""Runs BPF programs on a kernel made of nothing but unknown objects, and notes where they read."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ebtop.kernel.artifact import MapSpec
from tests.unit.bytecode import LD_IMM64, Instruction, instructions

BASE_BITS = 40
"""An address is the number of an object above so many bits of offset."""
_U64 = (1 << 64) - 1
_STACK_BYTES, _CONTEXT_BYTES = 512, 21 * 8
_MAX_STEPS = 100_000
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}
_INTERESTING = {
    1: (0, 1, 2, 3, 6, 7, 8, 10, 12),  # TCP states
    2: (2, 6, 10),  # address families, protocols
    4: (0, 1, 2, 4),  # flags, counts
    8: (0, 1, 2, 3, 6, 7, 8, 10, 12, -2),  # arguments, results
}
_BYTES = bytes((0, 0, 0, 1, 2, 255))
_LIKELY = 0.9
_RESERVE, _LOOKUP, _READ_KERNEL, _READ_KERNEL_STR = 131, 1, 113, 115
_TAIL_CALL = 12
_NODE_BYTES, _LEAF_ROOT = 256, 0x0E
"""Of a maple tree: what a node takes, and the tag of a reference to a root of the type maple_leaf_64, which is 1."""
_INNER_VALUE_BYTES = 8
_READ_USER, _READ_USER_STR, _COMM, _GET_STACK = 112, 114, 16, 67
_OBJECT_HELPERS = (35, 158, 175)  # get_current_task, get_current_task_btf, task_pt_regs
_STATUS_HELPERS = (2, 3, 127)  # map update and delete, seq_write


class KernelRead(NamedTuple):
    """A read of kernel memory that the program does not own."""

    slot: int
    """Of the instruction."""
    offset: int
    """From the start of the object, or of the context."""
    is_string: bool
    is_direct: bool
    """By a load and not by a helper: only what the verifier itself knows."""


class Machine:
    """Runs one program once. Values the kernel would decide are drawn by `seed`."""

    def __init__(
        self, maps: Sequence[MapSpec], seed: int, tree_root: int = -1, own_memory: Mapping[int, int] | None = None
    ) -> None:
        """`tree_root`: at this offset of any object is a reference to the root of a maple tree.

        `own_memory`: which words of the context lead to memory of the program's own, and how many bytes of it.
        """
        self._tree_root = tree_root
        self._own_memory = own_memory or {}
        self.reads: list[KernelRead] = []
        self.executed: set[int] = set()
        self.steps = 0
        """Slots."""
        self._maps = maps
        self._draw = random.Random(seed)
        self._memory: dict[int, bytearray] = {}
        self._next = 1
        self._unknown: set[int] = set()
        self._registers = [0] * 11

    def run(self, code: bytes) -> None:
        """AssertionError for an instruction this machine does not know, or a write to the kernel's memory."""
        program = {instruction.slot: instruction for instruction in instructions(code)}
        first = self._object() if self._draw.random() < _LIKELY else 0
        words = [first, *[self._value(8, pointer=0.3) for _ in range(_CONTEXT_BYTES // 8 - 1)]]
        for place, size in self._own_memory.items():
            content = (struct.pack("<Q", self._value(8)) for _ in range(size // 8))
            words[place] = self._allocate(b"".join(content)) if self._draw.random() < _LIKELY else 0
        self._context = self._allocate(struct.pack(f"<{len(words)}Q", *words))
        self._unknown.add(self._context >> BASE_BITS)  # for helpers, which a tracepoint's record is read with
        self._registers[1] = self._context
        self._registers[10] = self._allocate(bytes(_STACK_BYTES)) + _STACK_BYTES
        slot = 0
        for _ in range(_MAX_STEPS):
            instruction = program[slot]
            self.executed.add(slot)
            self.steps += 1
            if instruction.opcode == 0x95 or (self._is_tail_call(instruction) and self._draw.random() < _LIKELY):
                return
            slot += 2 if instruction.opcode == LD_IMM64 else 1
            slot += self._step(instruction)
        raise AssertionError("the program does not end")

    def _is_tail_call(self, i: Instruction) -> bool:
        return i.opcode == 0x85 and i.immediate == _TAIL_CALL

    def _step(self, i: Instruction) -> int:
        """Execute; returns how far to jump."""
        kind, r = i.opcode & 7, self._registers
        if i.opcode == LD_IMM64:
            r[i.destination] = i.immediate
        elif kind in (4, 7):
            r[i.destination] = self._arithmetic(i)
        elif kind == 1:
            r[i.destination] = self._load(i, (r[i.source] + i.offset) & _U64, _SIZES[i.opcode & 0x18])
        elif kind in (2, 3):
            self._store(i, (r[i.destination] + i.offset) & _U64, _SIZES[i.opcode & 0x18])
        elif i.opcode == 0x85:
            r[0] = self._call(i) & _U64
        elif kind in (5, 6):
            return i.offset if self._holds(i) else 0
        else:
            raise AssertionError(f"unknown instruction {i}")
        return 0

    def _operands(self, i: Instruction, bits: int) -> tuple[int, int]:
        mask = (1 << bits) - 1
        right = self._registers[i.source] if i.opcode & 8 else i.immediate
        return self._registers[i.destination] & mask, right & mask

    def _arithmetic(self, i: Instruction) -> int:
        if i.opcode & 0xF0 == 0xD0:
            size = i.immediate // 8
            low = self._registers[i.destination] & ((1 << i.immediate) - 1)
            return int.from_bytes(low.to_bytes(size, "little"), "big") if i.opcode & 8 else low
        bits = 64 if i.opcode & 7 == 7 else 32
        a, b = self._operands(i, bits)
        shift = b & (bits - 1)
        results: dict[int, Callable[[], int]] = {
            0x00: lambda: a + b, 0x10: lambda: a - b, 0x20: lambda: a * b, 0x30: lambda: a // b if b else 0,
            0x40: lambda: a | b, 0x50: lambda: a & b, 0x60: lambda: a << shift, 0x70: lambda: a >> shift,
            0x80: lambda: -a, 0x90: lambda: a % b if b else a, 0xA0: lambda: a ^ b, 0xB0: lambda: b,
            0xC0: lambda: _signed(a, bits) >> shift,
        }  # fmt: skip
        return results[i.opcode & 0xF0]() & ((1 << bits) - 1)

    def _holds(self, i: Instruction) -> bool:
        bits = 64 if i.opcode & 7 == 5 else 32
        a, b = self._operands(i, bits)
        x, y = _signed(a, bits), _signed(b, bits)
        return {
            0x00: True, 0x10: a == b, 0x20: a > b, 0x30: a >= b, 0x40: bool(a & b), 0x50: a != b, 0x60: x > y,
            0x70: x >= y, 0xA0: a < b, 0xB0: a <= b, 0xC0: x < y, 0xD0: x <= y,
        }[i.opcode & 0xF0]  # fmt: skip

    def _load(self, i: Instruction, address: int, size: int) -> int:
        if address >> BASE_BITS not in self._memory:
            if address >> BASE_BITS in self._unknown:
                self.reads.append(KernelRead(i.slot, address & ((1 << BASE_BITS) - 1), False, True))
            return self._object()
        return int.from_bytes(self._bytes(address, size), "little")

    def _store(self, i: Instruction, address: int, size: int) -> None:
        value = self._registers[i.source] if i.opcode & 7 == 3 else i.immediate
        if i.opcode & 0xE0 == 0xC0:  # atomic add
            value += int.from_bytes(self._bytes(address, size), "little")
        self._write(address, (value & ((1 << size * 8) - 1)).to_bytes(size, "little"))

    def _call(self, i: Instruction) -> int:
        r, helper = self._registers, i.immediate
        if helper in (_READ_KERNEL, _READ_KERNEL_STR):
            return self._read_kernel(i, r[1], r[2], r[3])
        if helper in (_READ_USER, _READ_USER_STR, _GET_STACK):
            to, size = (r[2], r[3]) if helper == _GET_STACK else (r[1], r[2])
            self._write(to, self._draw.randbytes(size))
            return 0 if helper == _READ_USER else self._draw.randrange(size + 1)
        if helper == _COMM:
            self._write(r[1], self._draw.randbytes(r[2]))
            return 0
        if helper == _LOOKUP:
            # What a look-up in an array of maps has found is a map in its turn.
            inner = r[1] >> BASE_BITS
            size = _INNER_VALUE_BYTES if inner else self._maps[r[1]].value_size
            value = bytes(self._draw.choices(_BYTES, k=size))
            return self._allocate(value) if self._draw.random() < _LIKELY else 0
        if helper == _RESERVE:
            return self._allocate(bytes(r[2])) if self._draw.random() < _LIKELY else 0
        if helper in _OBJECT_HELPERS:
            return self._object()
        return self._draw.choice((0, -1)) if helper in _STATUS_HELPERS else self._draw.randrange(1 << 64)

    def _read_kernel(self, i: Instruction, to: int, size: int, address: int) -> int:
        base, offset = address >> BASE_BITS, address & ((1 << BASE_BITS) - 1)
        if base in self._memory and base != self._context >> BASE_BITS:
            self._write(to, self._bytes(address, size))
            return 0
        if base in self._unknown:  # and not a number that stands where a pointer might
            self.reads.append(KernelRead(i.slot, offset, i.immediate == _READ_KERNEL_STR, False))
        if offset == self._tree_root:
            self._write(to, (self._object() | _LEAF_ROOT).to_bytes(size, "little"))
        elif size == _NODE_BYTES:
            self._write(to, b"".join(self._object().to_bytes(8, "little") for _ in range(size // 8)))
        elif size in _INTERESTING:
            self._write(to, self._value(size).to_bytes(size, "little"))
        else:
            self._write(to, self._draw.randbytes(size))
        return 0

    def _value(self, size: int, pointer: float = 0.5) -> int:
        """What a member of this size may hold; one of 8 bytes is an address with the probability `pointer`."""
        if size == 8 and self._draw.random() < pointer:
            return self._object()
        likely = self._draw.random() < _LIKELY
        return (self._draw.choice(_INTERESTING[size]) if likely else self._draw.getrandbits(64)) & ((1 << 8 * size) - 1)

    def _object(self) -> int:
        """The address of a kernel object that was not seen before."""
        self._next += 1
        self._unknown.add(self._next)
        return self._next << BASE_BITS

    def _allocate(self, content: bytes) -> int:
        """The address of memory that the program may use."""
        self._next += 1
        self._memory[self._next] = bytearray(content)
        return self._next << BASE_BITS

    def _bytes(self, address: int, size: int) -> bytes:
        memory, offset = self._memory[address >> BASE_BITS], address & ((1 << BASE_BITS) - 1)
        assert offset + size <= len(memory), "read beyond the end"
        return bytes(memory[offset : offset + size])

    def _write(self, address: int, data: bytes) -> None:
        memory, offset = self._memory.get(address >> BASE_BITS), address & ((1 << BASE_BITS) - 1)
        assert memory is not None, "write to the kernel's memory"
        assert offset + len(data) <= len(memory), "write beyond the end"
        memory[offset : offset + len(data)] = data


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
