"""Read .eh_frame: which functions there are, and their CFI programs.

Source: Linux Standard Base, "Exception Frames". Everything is checked: a function whose description is damaged is
left out and counted. Most functions share their program with others, so each program is run once.
"""

from __future__ import annotations

import re
import struct
from array import array
from typing import NamedTuple

from ebtop.process.elf import PF_X, SHT_NOBITS, ElfError, ElfFile
from ebtop.process.pause import pause
from ebtop.unwind.cfi import CfiError, Interpreter
from ebtop.unwind.leb128 import signed, unsigned
from ebtop.unwind.machine import Machine
from ebtop.unwind.rule import SIGNAL, RuleSet

BYTES_MAX = 32 << 20
"""Of .eh_frame; of 3,500 files of a development machine the largest has 8 MB."""
_CIE_MAX = 1024
_CIES_MAX = 1024
"""There are 50 at most."""
_PROGRAM_MAX = 1 << 18
"""Bytes of one function's CFI; the longest had 33 kB."""
_PROGRAM_ROWS_MAX = 4 << 20
"""Rows of all programs together."""
_ADDRESS_END = 1 << 44
"""So that 32 bits hold the number of a page."""
_ADDRESS_MASK = (1 << 64) - 1
_CHUNK = 256
"""Descriptions read between two chances for other threads."""

_ABSOLUTE, _PC_RELATIVE = 0x00, 0x10
_FORMATS = {0x00: "<Q", 0x02: "<H", 0x03: "<I", 0x04: "<Q", 0x0A: "<h", 0x0B: "<i", 0x0C: "<q"}
"""Of encoded pointers, by the low four bits of the encoding."""
_NOT_ZERO = re.compile(rb"[^\0]").search
_PC_RELATIVE_32 = struct.Struct("<iI").unpack_from


class Functions(NamedTuple):
    """Functions with a description, in no order."""

    starts: array[int]
    ends: array[int]
    programs: list[array[int]]
    """Of each function, shared: (bytes from its start) << 16 | rule."""
    left_out: int


class _Cie(NamedTuple):
    """What the descriptions of several functions have in common."""

    interpreter: Interpreter
    encoding: int
    augmented: bool
    signal: bool
    programs: dict[bytes, array[int]]


class _Damaged(Exception):
    """This entry can't be read; the next one may."""


def read_functions(elf: ElfFile, machine: Machine, rules: RuleSet) -> Functions:
    """All functions that .eh_frame describes; none when there is no .eh_frame. Raises ElfError."""
    found = find_eh_frame(elf)
    if found is None:
        return Functions(array("Q"), array("Q"), [], 0)
    address, data, padded = found
    code = [(s.address, s.address + s.file_size) for s in elf.segments if s.flags & PF_X]
    return _Section(address, data, code, machine, rules).read(padded)


def find_eh_frame(elf: ElfFile) -> tuple[int, bytes, bool] | None:
    """Address and bytes of .eh_frame, and whether its end is known; None when there is none. Raises ElfError."""
    section = elf.section(b".eh_frame")
    if section is not None:
        if section.type == SHT_NOBITS:  # a file with debug information only
            return None
        return section.address, elf.data(section, BYTES_MAX), True
    # No section headers: what the run-time uses leads there, up to the end of the segment.
    header = elf.eh_frame_header
    if header is None:
        return None
    start = elf.reader.read_at(header.offset, 8)
    if len(start) < 8 or start[0] != 1 or start[1] != _PC_RELATIVE | 0x0B:
        raise ElfError("unusual .eh_frame_hdr")
    address = header.address + 4 + struct.unpack_from("<i", start, 4)[0]
    for segment in elf.segments:
        if segment.address <= address < segment.address + segment.file_size:
            skipped = address - segment.address
            size = min(segment.file_size - skipped, BYTES_MAX)
            return address, elf.reader.read_at(segment.offset + skipped, size), False
    raise ElfError(".eh_frame_hdr leads nowhere")


class _Section:
    """The bytes of one .eh_frame, and what was read of them."""

    def __init__(
        self, address: int, data: bytes, code: list[tuple[int, int]], machine: Machine, rules: RuleSet
    ) -> None:
        self._address = address
        self._data = data
        self._code = code
        self._machine = machine
        self._rules = rules
        self._cies: dict[int, _Cie | None] = {}
        self._program_rows = 0
        self._functions = Functions(array("Q"), array("Q"), [], 0)

    def read(self, padded: bool) -> Functions:
        """Go through all entries. `padded`: a length of 0 is padding between files that were linked, not the end."""
        data, head, not_zero = self._data, struct.Struct("<II").unpack_from, _NOT_ZERO
        at, end, left_out, count = 0, len(data) - 8, 0, 0
        while at <= end:
            length, cie = head(data, at)
            if not length:
                if not padded:
                    break
                found = not_zero(data, at)
                at += (found.start() if found else len(data)) - at & ~3
                continue
            following = at + 4 + length
            if length < 4 or following > len(data):  # 64-bit DWARF, or damage: what follows can't be found
                left_out += 1
                break
            if cie:
                try:
                    self._take(at, at + 4 - cie, following)
                except (_Damaged, CfiError, IndexError, ValueError, struct.error):
                    left_out += 1
                count += 1
                if not count % _CHUNK:
                    pause()
            at = following
        return self._functions._replace(left_out=left_out)

    def _take(self, at: int, cie_at: int, following: int) -> None:
        cie = self._cies[cie_at] if cie_at in self._cies else self._read_cie(cie_at)
        if cie is None:
            raise _Damaged
        data = self._data
        if cie.encoding == _PC_RELATIVE | 0x0B:
            start, size = _PC_RELATIVE_32(data, at + 8)
            start += self._address + at + 8
            instructions = at + 16
        else:
            start, size, instructions = self._pointers(at + 8, cie.encoding)
        if cie.augmented:
            augmentation = data[instructions]
            instructions += 1
            if augmentation > 0x7F:
                augmentation, instructions = unsigned(data, instructions - 1)
            instructions += augmentation
        if not size or not self._is_code(start, start + size):
            return  # of a function that the linker dropped
        if instructions > following or following - instructions > _PROGRAM_MAX:
            raise _Damaged
        code = data[instructions:following]
        program = cie.programs.get(code)
        if program is None:
            program = array("Q", [self._rules.index(SIGNAL)] if cie.signal else cie.interpreter.program(code))
            self._program_rows += len(program)
            if self._program_rows > _PROGRAM_ROWS_MAX:
                raise ElfError("more unwind information than can be kept")
            cie.programs[code] = program
        self._functions.starts.append(start)
        self._functions.ends.append(start + size)
        self._functions.programs.append(program)

    def _is_code(self, start: int, end: int) -> bool:
        return end <= _ADDRESS_END and any(low <= start and end <= high for low, high in self._code)

    def _pointers(self, at: int, encoding: int) -> tuple[int, int, int]:
        """(start, size, offset behind them) of a function, its addresses encoded in one of the unusual ways."""
        layout = _FORMATS.get(encoding & 0x0F)
        if layout is None or encoding & 0x70 not in (_ABSOLUTE, _PC_RELATIVE) or encoding & 0x80:
            raise _Damaged
        (start,) = struct.unpack_from(layout, self._data, at)
        width = struct.calcsize(layout)
        (size,) = struct.unpack_from(layout.upper(), self._data, at + width)
        if encoding & _PC_RELATIVE:
            start = start + self._address + at & _ADDRESS_MASK
        return start, size, at + 2 * width

    def _read_cie(self, at: int) -> _Cie | None:
        cie = None
        if len(self._cies) < _CIES_MAX:
            try:
                cie = self._parse_cie(at)
            except (_Damaged, CfiError, IndexError, ValueError, struct.error):
                cie = None  # once for all functions that name it
            self._cies[at] = cie
        return cie

    def _parse_cie(self, at: int) -> _Cie:
        data = self._data
        if at < 0:
            raise _Damaged
        length, identity = struct.unpack_from("<II", data, at)
        end = at + 4 + length
        if identity or length > _CIE_MAX or end > len(data) or data[at + 8] not in (1, 3):
            raise _Damaged
        closing = data.index(b"\0", at + 9, end)
        augmentation = data[at + 9 : closing]
        code_factor, at = unsigned(data, closing + 1)
        data_factor, at = signed(data, at)
        column, at = unsigned(data, at)
        if column != self._machine.return_address or (augmentation and augmentation[:1] != b"z"):
            raise _Damaged
        encoding, signal = _ABSOLUTE, False
        if augmentation:
            size, at = unsigned(data, at)
            encoding, signal = _augmentation(augmentation[1:], data, at)
            at += size
        interpreter = Interpreter(self._machine, code_factor, data_factor, self._rules)
        interpreter.start_with(data[at:end])
        return _Cie(interpreter, encoding, bool(augmentation), signal, {})


def _augmentation(letters: bytes, data: bytes, at: int) -> tuple[int, bool]:
    """The encoding of pointers to code, and whether this is a signal frame."""
    encoding, signal = _ABSOLUTE, False
    for letter in letters:
        if letter == ord("R"):
            encoding = data[at]
            at += 1
        elif letter == ord("L"):
            at += 1
        elif letter == ord("P"):
            layout = _FORMATS.get(data[at] & 0x0F)
            if layout is None:
                raise _Damaged
            at += 1 + struct.calcsize(layout)
        elif letter == ord("S"):
            signal = True
        elif letter != ord("B"):  # B: return addresses are signed, on ARM64
            raise _Damaged
    return encoding, signal
