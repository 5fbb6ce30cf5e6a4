"""Names out of code objects: of this process, whose memory is at hand, and of memory that says anything."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from types import CodeType

import pytest

from ebtop.cpython.build import find_build
from ebtop.cpython.code_object import ENTRY, Function, key_of, read_function
from ebtop.cpython.layout import Layout
from ebtop.process.elf import ElfFile, FileReader
from ebtop.process.mappings import read_mappings


def own_layout() -> Layout:
    for mapping in read_mappings(os.getpid()):
        if b"python" in mapping.file.path.rpartition(b"/")[2]:
            with Path(os.fsdecode(mapping.file.path)).open("rb") as file:
                build = find_build(ElfFile(FileReader(file.fileno())), Path(file.name).name)
            if build is not None and build.layout is not None:
                return build.layout
    raise AssertionError("the tests run on a CPython whose frames ebtop does not read")


LAYOUT = own_layout()


def read_own(address: int, length: int) -> bytes:
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        data = os.pread(memory.fileno(), length, address)
    if len(data) != length:
        raise OSError("cut short")
    return data


def word_of(code: CodeType) -> int:
    """As bpf/cpython.h makes it."""
    return id(code) | (code.co_firstlineno + (id(code.co_filename) >> 4) & 0xFFFF) << 48


def function_of(code: CodeType) -> Function | None:
    return read_function(read_own, LAYOUT, word_of(code))


def renamed(name: str, file: str = "/srv/app.py") -> CodeType:
    code = (lambda: None).__code__.replace(co_name=name, co_filename=file, co_firstlineno=77)
    return code.replace(co_qualname=name) if sys.version_info >= (3, 11) else code


class Example:
    def method(self) -> object:
        return lambda: None


def test_a_method() -> None:
    code = Example.method.__code__
    name = "Example.method" if sys.version_info >= (3, 11) else "method"
    assert function_of(code) == (name, __file__, code.co_firstlineno)
    assert read_function(read_own, LAYOUT, word_of(code) | ENTRY) == function_of(code)
    assert key_of(word_of(code) | ENTRY) == key_of(word_of(code))


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("plain", "plain"),
        ("café", "café"),
        ("名前", "名前"),
        ("🐍", "🐍"),
        ("a\x1b[31mb\n", "a\\x1b[31mb\\x0a"),
        ("\u202e", "\\u202e"),
        ("\ud800x", "\\ud800x"),
        ("", "?"),
        ("\0", "\\x00"),
    ],
)
def test_names_of_any_characters(name: str, printed: str) -> None:
    assert function_of(renamed(name, f"/srv/{name}")) == (printed, f"/srv/{printed if name else ''}", 77)


def test_long_names_are_cut() -> None:
    function = function_of(renamed("n" * 100_000, "/srv/" + "d/" * 1000 + "app.py"))
    assert function is not None
    assert function.name == "n" * 200 + "…"
    assert function.file.startswith("…")
    assert function.file.endswith("d/app.py")
    assert len(function.file) == 401


def test_another_code_object_in_the_same_place() -> None:
    code = renamed("one")
    assert read_function(read_own, LAYOUT, word_of(code) ^ 1 << 50) is None


def test_memory_that_says_anything() -> None:
    """Only OSError and ValueError come out, and text that can be printed."""
    chance = random.Random(11)
    code = renamed("name")
    named = 0
    for _ in range(3000):
        damaged = chance.randrange(2, 9)

        def read(address: int, length: int, damaged: int = damaged) -> bytes:
            data = bytearray(read_own(address & (1 << 47) - 1, length))
            for at in range(len(data)):
                if not chance.randrange(damaged * 4):
                    data[at] = chance.randrange(256)
            return bytes(data)

        try:
            function = read_function(read, LAYOUT, word_of(code))
        except (OSError, ValueError):
            continue
        if function is not None:
            named += 1
            assert (function.name + function.file).isprintable()
    assert named
