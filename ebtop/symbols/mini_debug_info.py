"""MiniDebugInfo: the symbols of local functions that Fedora and RHEL leave in stripped files, compressed.

Source: section .gnu_debugdata, an ELF file in xz that holds a .symtab of what .dynsym does not hold.
"""

from __future__ import annotations

from ebtop.process.elf import BytesReader, ElfError, ElfFile

_SECTION = b".gnu_debugdata"
_COMPRESSED_MAX = 16 << 20
_MAX = 64 << 20
"""Bytes of it, decompressed; larger ones are left out. The largest on a desktop are about 10 MB."""
_DICTIONARY_MAX = 80 << 20
"""Bytes that the decompressor may take; xz -9 needs 65 MiB."""
_CHUNK = 1 << 20


def mini_debug_info(elf: ElfFile) -> ElfFile | None:
    """The file in the file; None where there is none, or none that can be read."""
    section = elf.section(_SECTION)
    if section is None:
        return None
    try:
        import lzma
    except ImportError:  # Python can be built without it.
        return None
    try:
        return ElfFile(BytesReader(_decompressed(elf.data(section, _COMPRESSED_MAX))))
    except (ElfError, lzma.LZMAError, MemoryError):
        return None


def _decompressed(data: bytes) -> bytes:
    """Raises ElfError beyond _MAX, and what lzma raises."""
    import lzma

    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DICTIONARY_MAX)
    parts: list[bytes] = []
    size = 0
    while not reader.eof:
        part = reader.decompress(data, _CHUNK)
        data = b""
        size += len(part)
        if size > _MAX:
            raise ElfError("more than is read here")
        if not part and reader.needs_input:
            raise ElfError("cut short")
        parts.append(part)
    return b"".join(parts)
