"""Read the headers of an ELF file: 32 and 64 bits, either byte order.

The files are those that processes map, so they are hostile: every count is capped, every range checked
against the file's size. They are read with pread, never mapped: a mapped file that its owner truncates
kills the reader with SIGBUS.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple, Protocol

_SECTIONS_MAX = 4096
_SEGMENTS_MAX = 256
_NOTES_MAX = 4096
_PAGE = os.sysconf("SC_PAGESIZE")

ET_EXEC, ET_DYN = 2, 3
EM_ARM, EM_X86_64 = 40, 62
PF_X = 1
SHF_ALLOC, SHF_EXECINSTR = 2, 4
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOBITS, SHT_DYNSYM = 1, 2, 3, 4, 8, 11
_PT_LOAD, _PT_NOTE, _PT_GNU_EH_FRAME = 1, 4, 0x6474E550
_NT_GNU_BUILD_ID = 3
_SHF_COMPRESSED = 0x800


class ElfError(Exception):
    """Not an ELF file, damaged, or beyond what is read here."""


class Reader(Protocol):
    """Bytes at an offset."""

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """At most `length` bytes; fewer at the end."""


class FileReader:
    """Reads an open file, which stays the caller's to close."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.fstat(fd).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._fd, length, offset)
        except (OSError, OverflowError) as error:
            raise ElfError(f"can not be read: {error}") from error


class BytesReader:
    """Reads an image that is in memory (the vdso)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class Segment(NamedTuple):
    """A program header."""

    flags: int
    offset: int
    address: int
    file_size: int


def file_to_address(segments: tuple[Segment, ...], offset: int) -> int | None:
    """The ELF virtual address of a byte of the file in an executable segment; None outside of them."""
    page = _PAGE - 1
    rounded = None
    for s in segments:
        if not s.flags & PF_X:
            continue
        if s.offset <= offset < s.offset + s.file_size:
            return offset - s.offset + s.address
        # The kernel maps whole pages, so the bytes around a segment can be executed as well.
        if s.offset & ~page <= offset < (s.offset + s.file_size + page) & ~page:
            rounded = offset - s.offset + s.address
    return rounded


class Section(NamedTuple):
    """A section header."""

    name: bytes
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    entry_size: int


class ElfFile:
    """The headers of one file. Raises ElfError for anything that is not a whole ELF file."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        ident = reader.read_at(0, 16)
        if len(ident) < 16 or ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise ElfError("not an ELF file")
        self.is64 = ident[4] == 2
        self.byte_order = "<" if ident[5] == 1 else ">"
        header = struct.Struct(self.byte_order + ("HHIQQQIHHHHHH" if self.is64 else "HHIIIIIHHHHHH"))
        (
            self.type,
            self.machine,
            _version,
            self.entry,
            program_offset,
            section_offset,
            _flags,
            _header_size,
            program_entry,
            program_count,
            section_entry,
            section_count,
            names_index,
        ) = header.unpack(self._exactly(16, header.size))
        self.build_id = b""
        self.segments: tuple[Segment, ...] = ()
        """Those that are loaded (PT_LOAD)."""
        self.eh_frame_header: Segment | None = None
        """PT_GNU_EH_FRAME: where the run-time finds out how to unwind."""
        self._read_segments(program_offset, program_entry, program_count)
        self.sections = self._read_sections(section_offset, section_entry, section_count, names_index)

    def section(self, name: bytes) -> Section | None:
        """The first section of that name."""
        return next((s for s in self.sections if s.name == name), None)

    def data(self, section: Section, limit: int) -> bytes:
        """A section's bytes. Raises ElfError above `limit`, outside the file, and for compressed sections."""
        if section.type == SHT_NOBITS or section.flags & _SHF_COMPRESSED:
            raise ElfError("section has no plain contents")
        if section.size > limit:
            raise ElfError(f"section of {section.size} bytes, more than {limit}")
        return self._exactly(section.offset, section.size)

    def _exactly(self, offset: int, length: int) -> bytes:
        if offset + length > self.reader.size:
            raise ElfError("cut short")
        data = self.reader.read_at(offset, length)
        if len(data) != length:
            raise ElfError("cut short")
        return data

    def _read_segments(self, offset: int, entry_size: int, count: int) -> None:
        if not count:
            return
        layout = struct.Struct(self.byte_order + ("IIQQQQQQ" if self.is64 else "IIIIIIII"))
        if count > _SEGMENTS_MAX or entry_size != layout.size:
            raise ElfError("unusual program headers")
        segments = []
        for fields in layout.iter_unpack(self._exactly(offset, count * layout.size)):
            if self.is64:
                kind, flags, at, address, _, file_size, _, _ = fields
            else:
                kind, at, address, _, file_size, _, flags, _ = fields
            if kind == _PT_LOAD:
                segments.append(Segment(flags, at, address, file_size))
            elif kind == _PT_GNU_EH_FRAME:
                self.eh_frame_header = Segment(flags, at, address, file_size)
            elif kind == _PT_NOTE and not self.build_id:
                self.build_id = self._find_build_id(self.reader.read_at(at, min(file_size, _NOTES_MAX)))
        self.segments = tuple(segments)

    def _find_build_id(self, notes: bytes) -> bytes:
        at = 0
        while at + 12 <= len(notes):
            name_size, size, kind = struct.unpack_from(self.byte_order + "III", notes, at)
            name = notes[at + 12 : at + 12 + name_size]
            at += 12 + (name_size + 3 & ~3)
            if kind == _NT_GNU_BUILD_ID and name == b"GNU\0" and 2 <= size <= 64:
                return notes[at : at + size]
            at += size + 3 & ~3
        return b""

    def _read_sections(self, offset: int, entry_size: int, count: int, names_index: int) -> tuple[Section, ...]:
        if not count or not offset:
            return ()
        layout = struct.Struct(self.byte_order + ("IIQQQQIIQQ" if self.is64 else "IIIIIIIIII"))
        if count > _SECTIONS_MAX or entry_size != layout.size:
            raise ElfError("unusual section headers")
        rows = list(layout.iter_unpack(self._exactly(offset, count * layout.size)))
        names = b""
        if names_index < count:
            _, _, _, _, at, size, *_ = rows[names_index]
            names = self.reader.read_at(at, min(size, 1 << 20)) if at < self.reader.size else b""
        sections = []
        for name, kind, flags, address, at, size, link, _info, _align, each in rows:
            label = names[name : name + 64].partition(b"\0")[0]
            sections.append(Section(label, kind, flags, address, at, size, link, each))
        return tuple(sections)
