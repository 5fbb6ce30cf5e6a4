"""Small ELF files with an .eh_frame, written out here from the specifications."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ebtop.process.elf import BytesReader, ElfFile
from ebtop.unwind.table import UnwindTable, build

CODE = 0x10000
"""Where the code of an image lies."""
CODE_SIZE = 0x20000
EH_FRAME = 0x40000
START = b"\x0c\x07\x08\x90\x01"
"""def_cfa rsp+8; offset rip at cfa-8: what every CIE of x86-64 begins with."""


def cie(instructions: bytes = START, augmentation: bytes = b"zR", data: bytes = b"\x1b", *, version: int = 1) -> bytes:
    """A CIE with code alignment 1 and data alignment -8."""
    body = bytes([0, 0, 0, 0, version]) + augmentation + b"\0\x01\x78\x10"
    if augmentation[:1] == b"z":
        body += bytes([len(data)]) + data
    return _entry(body + instructions)


def fde(at: int, cie_at: int, start: int, size: int, instructions: bytes = b"") -> bytes:
    """The description of a function at an address, for offset `at` of .eh_frame, pointers relative to the pc."""
    back = at + 4 - cie_at
    return _entry(struct.pack("<IiIB", back, start - (EH_FRAME + at + 8), size, 0) + instructions)


def eh_frame(functions: Sequence[tuple[int, int, bytes]], first: bytes | None = None) -> bytes:
    """One CIE and the functions (address, size, instructions) that use it, and the terminator."""
    data = cie() if first is None else first
    for start, size, instructions in functions:
        data += fde(len(data), 0, start, size, instructions)
    return data + bytes(4)


def image(frames: bytes, *, sections: bool = True, machine: int = 62) -> bytes:
    """An ELF file of 0x20000 bytes of code, read-only data with `frames`, and the header that leads there."""
    header = struct.pack("<BBBBi", 1, 0x1B, 0xFF, 0xFF, 4)
    labels = b"\0.text\0.eh_frame\0"
    data_size = len(header) + len(frames)
    names_at = EH_FRAME + data_size
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    sections_at = names_at + len(labels) if sections else 0
    elf = struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, sections_at, 0, 64, 56, 3, 64, 4 if sections else 0, 3)
    frames_at = EH_FRAME
    programs = [
        (1, 5, CODE, CODE, CODE, CODE_SIZE, CODE_SIZE, 0x1000),
        (1, 4, EH_FRAME - 8, EH_FRAME - 8, EH_FRAME - 8, data_size, data_size, 8),
        (0x6474E550, 4, EH_FRAME - 8, EH_FRAME - 8, EH_FRAME - 8, 8, 8, 4),
    ]
    data = bytearray(ident + elf + b"".join(struct.pack("<IIQQQQQQ", *p) for p in programs)).ljust(
        EH_FRAME - 8, b"\xcc"
    )
    data += header + frames
    if sections:
        data = data.ljust(names_at, b"\0") + labels
        rows = [
            (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
            (1, 1, 6, CODE, CODE, CODE_SIZE, 0, 0, 16, 0),
            (7, 1, 2, EH_FRAME, frames_at, len(frames), 0, 0, 8, 0),
            (0, 3, 0, 0, names_at, len(labels), 0, 0, 1, 0),
        ]
        data += b"".join(struct.pack("<IIQQQQIIQQ", *row) for row in rows)
    return bytes(data)


def table(frames: bytes, *, sections: bool = True, machine: int = 62) -> UnwindTable:
    """The table of an image with this .eh_frame."""
    return build(ElfFile(BytesReader(image(frames, sections=sections, machine=machine))))


def uleb(value: int) -> bytes:
    """A number as DWARF writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _entry(body: bytes) -> bytes:
    body += bytes(-len(body) % 8)
    return struct.pack("<I", len(body)) + body
