"""Frames by where in a file they are."""

from __future__ import annotations

from ebtop.process.mappings import MappedFile
from ebtop.store.records import Frame
from ebtop.store.unnamed import UNKNOWN, unnamed_frame
from ebtop.symbols.binary import Binary
from ebtop.symbols.demangle import demangle
from ebtop.symbols.entry import is_entry
from ebtop.symbols.frames import FrameCache
from ebtop.text import printable


def native_frame(binary: Binary, file: MappedFile, offset: int) -> Frame:
    """The frame at a byte of a file; `binary` are its symbols."""
    elf_address = binary.address(offset)
    if elf_address is None:
        return unnamed(file, offset)
    raw = binary.name(elf_address)
    if not raw:
        return unnamed(file, elf_address, binary.function_start(elf_address))
    name = printable(raw)
    frame = Frame(demangle(name), "native", file.label)
    # Programs may call a C++ function of their own "clone": that is no entry, as its mangled name shows.
    return frame._replace(name=name) if is_entry(frame) else frame


def cached_frame(frames: FrameCache, binary: Binary, file: MappedFile, offset: int) -> Frame:
    """As `native_frame`, from a cache if it was named before in whichever process."""
    key = (binary.serial, file.label, offset)
    frame = frames.get(key)
    if frame is None:
        frame = native_frame(binary, file, offset)
        frames.put(key, frame)
    return frame


def unnamed(file: MappedFile, offset: int, function: int | None = None) -> Frame:
    """A frame without a symbol, by where its function begins, or by its own address if that is not known (by its offset
    in the file if even that is not known)."""
    if not file.label:
        return UNKNOWN
    if function is not None:
        return unnamed_frame(file.label, function, is_function=True)
    return unnamed_frame(file.label, offset)
