"""Find the separate debug file of a stripped ELF file: by build id, or by .gnu_debuglink."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from ebtop.process.elf import SHT_SYMTAB, ElfError, ElfFile, FileReader

DEBUG = "/usr/lib/debug"
_CHECKSUM_MAX = 64 << 20
"""Without a build id the whole debug file is read for its checksum; larger ones are left out."""
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@contextmanager
def debug_file(elf: ElfFile, path: str, root: str) -> Iterator[ElfFile | None]:
    """The debug file that belongs to `elf`, open for the duration; None when it has its symbols or there is none.

    `path` is the ELF file's in the process's mount namespace, `root` where that namespace begins for us.
    """
    found = None if any(s.type == SHT_SYMTAB for s in elf.sections) else _find(elf, path, root)
    try:
        yield found[1] if found else None
    finally:
        if found:
            os.close(found[0])


def _find(elf: ElfFile, path: str, root: str) -> tuple[int, ElfFile] | None:
    name, checksum = _debug_link(elf)
    for candidate in _candidates(elf.build_id.hex(), name, path, root):
        try:
            # A device or FIFO that a container put there must not even be opened.
            if not stat.S_ISREG(os.stat(candidate).st_mode):
                continue
            fd = os.open(candidate, _FLAGS)
        except (OSError, ValueError):
            continue
        try:
            debug = ElfFile(FileReader(fd))
            if _belongs(debug, elf, checksum):
                return fd, debug
        except ElfError:
            pass
        os.close(fd)
    return None


def _candidates(build_id: str, name: str, path: str, root: str) -> Iterator[str]:
    directory = os.path.dirname(path)
    for base in dict.fromkeys((root, "")):
        if build_id:
            yield f"{base}{DEBUG}/.build-id/{build_id[:2]}/{build_id[2:]}.debug"
        if name:
            yield f"{base}{directory}/{name}"
            yield f"{base}{directory}/.debug/{name}"
            yield f"{base}{DEBUG}{directory}/{name}"


def _belongs(debug: ElfFile, elf: ElfFile, checksum: int | None) -> bool:
    if not any(s.type == SHT_SYMTAB for s in debug.sections):
        return False
    if elf.build_id or debug.build_id:
        return debug.build_id == elf.build_id
    return checksum is not None and debug.reader.size <= _CHECKSUM_MAX and _checksum(debug) == checksum


def _checksum(elf: ElfFile) -> int:
    value = 0
    for offset in range(0, elf.reader.size, 1 << 18):
        value = zlib.crc32(elf.reader.read_at(offset, 1 << 18), value)
    return value


def _debug_link(elf: ElfFile) -> tuple[str, int | None]:
    """(file name, CRC-32 of that file) of .gnu_debuglink; ("", None) when there is none."""
    section = elf.section(b".gnu_debuglink")
    if section is None:
        return "", None
    try:
        data = elf.data(section, 4096)
    except ElfError:
        return "", None
    name, _, _ = data.partition(b"\0")
    at = len(name) + 4 & ~3
    if not name or b"/" in name or at + 4 > len(data):
        return "", None
    (checksum,) = struct.unpack_from(elf.byte_order + "I", data, at)
    return os.fsdecode(name), checksum
