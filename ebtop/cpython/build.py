"""Which CPython an ELF file holds, if any."""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from typing import NamedTuple

from ebtop.cpython.evaluators import find_evaluators
from ebtop.cpython.layout import DEBUG_OFFSETS_BYTES, Layout, LayoutError, Version, layout_of, version_of
from ebtop.process.elf import EM_X86_64, ElfFile
from ebtop.process.elf_lookup import Symbol, find_exported, find_local

_RUNTIME, _VERSION, _EVALUATE = b"_PyRuntime", b"Py_Version", b"_PyEval_EvalFrameDefault"
_BEFORE_3_7 = b"PyEval_EvalFrameEx"
"""Those have no _PyRuntime."""
_FILE_NAME = re.compile(r"python(\d)\.?(\d{1,2})?")


class Build(NamedTuple):
    """One CPython: a static interpreter, a libpython, or a program that holds one."""

    title: str
    """CPython 3.11, for people."""
    layout: Layout | None
    """None: its frames are not read, `unread` says why."""
    unread: str
    runtime: int
    """ELF virtual address of _PyRuntime."""
    evaluators: tuple[range, ...]
    """ELF virtual addresses of the function that runs Python functions, sorted."""

    def is_evaluator(self, address: int) -> bool:
        at = bisect_right(self.evaluators, address, key=lambda part: part.start)
        return at > 0 and address in self.evaluators[at - 1]


def find_build(elf: ElfFile, file_name: str) -> Build | None:
    """None for a file that holds no CPython. `file_name` tells the versions apart that do not say it themselves."""
    symbols = find_exported(elf, (_RUNTIME, _VERSION, _EVALUATE, _BEFORE_3_7))
    named = _FILE_NAME.search(file_name)
    if not symbols and named is not None and ".so" not in file_name:
        symbols = find_local(elf, (_RUNTIME, _VERSION, _EVALUATE))
    evaluate = symbols.get(_EVALUATE) or symbols.get(_BEFORE_3_7)
    if evaluate is None:
        return None
    version = _version(elf, symbols, named)
    title = f"CPython {version[0]}.{version[1]}" if version is not None else "CPython 3.10 or older"
    runtime = symbols.get(_RUNTIME)
    layout, unread = None, "frames are not read"
    if elf.machine != EM_X86_64:
        unread = "frames are read on x86-64 only"
    elif version is not None and runtime is not None:
        try:
            layout = layout_of(version, _contents(elf, runtime.address, DEBUG_OFFSETS_BYTES))
            unread = ""
        except LayoutError as error:
            unread = str(error)
    evaluators = find_evaluators(elf, evaluate)
    return Build(title, layout, unread, runtime.address if runtime is not None else 0, evaluators)


def _version(elf: ElfFile, symbols: dict[bytes, Symbol], named: re.Match[str] | None) -> Version | None:
    """Py_Version is there since 3.11."""
    if _VERSION in symbols:
        raw = _contents(elf, symbols[_VERSION].address, 8)
        return version_of(struct.unpack("<Q", raw)[0]) if len(raw) == 8 else None
    if named is None or named[2] is None or _BEFORE_3_7 not in symbols:
        return None
    version = int(named[1]), int(named[2])
    return version if version < (3, 11) else None


def _contents(elf: ElfFile, address: int, length: int) -> bytes:
    """What the file has for an ELF virtual address; fewer bytes where its segment ends."""
    for segment in elf.segments:
        offset = address - segment.address
        if 0 <= offset < segment.file_size:
            return elf.reader.read_at(segment.offset + offset, min(length, segment.file_size - offset))
    return b""
