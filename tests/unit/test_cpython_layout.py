"""Which CPython a file holds, and where it keeps its frames."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ebtop.cpython.build import find_build
from ebtop.cpython.layout import LayoutError, Walk, layout_of
from ebtop.process.elf import BytesReader, ElfError, ElfFile, FileReader
from ebtop.process.elf_lookup import find_exported, find_local
from tests.lab.interpreters import builds
from tests.unit.symbols_samples import compiled, nm, stripped

OFFSETS_3_14 = (
    "runtime 16 1 632;interpreter 99 2 7264 7344 7345 3 4 5 6 7 8 9 10 11 12 13;thread 300 0 8 16 72 152 160 168 32;"
    "frame 80 8 0 56 72 74 64 0;code 208 112 120 128 136 68 52 144 152 200 0;object 16 8;type 400 24 88 168;"
    "tuple 32 24 16;list 40 24 16;set 200 24 40 32;dict 48 32 40;float 24 16;long 28 16 24;bytes 33 16 32;"
    "unicode 64 32 16 40"
)


def described(version: int = 0x030E0AF0, free_threaded: int = 0, text: str = OFFSETS_3_14) -> bytes:
    values = [int(word) for group in text.split(";") for word in group.split()[1:]]
    return struct.pack(f"<8sQQ{len(values)}Q", b"xdebugpy", version, free_threaded, *values)


def test_described_layout() -> None:
    layout = layout_of((3, 14), described() + bytes(400))
    assert layout.walk == Walk(632, 7264, 7344, 8, 152, 72, 0, 0, 0, 8, 74, 2, 68, 112)
    assert layout.qualified_name == 128
    assert layout.text == (16, 32, 40, 56, 2)
    assert layout_of((3, 14), described(free_threaded=1) + bytes(400)).text.kind_shift == 8


@pytest.mark.parametrize(
    ("version", "runtime"),
    [
        ((3, 14), b""),
        ((3, 14), described()[:300]),
        ((3, 14), b"y" + described()[1:]),
        ((3, 14), described(version=0x030D0AF0)),
        ((3, 14), described(text=OFFSETS_3_14.replace("frame 80 8 0 56 72 74", "frame 80 8 0 56 72 89"))),
        ((3, 14), described(text=OFFSETS_3_14.replace("112", str(1 << 63)))),
        ((3, 7), b""),
        ((2, 7), b""),
        ((3, 15), described(version=0x030F0000)),
    ],
)
def test_layout_that_can_not_be_told(version: tuple[int, int], runtime: bytes) -> None:
    with pytest.raises(LayoutError):
        layout_of(version, runtime)


def test_table_is_as_the_headers_of_the_interpreter_that_runs_this() -> None:
    """3.13 and newer describe themselves."""
    code = (lambda: None).__code__
    if sys.version_info >= (3, 13):
        return
    walk = layout_of(sys.version_info[:2], b"").walk
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        memory.seek(id(code) + walk.first_line)
        assert struct.unpack("<i", memory.read(4)) == (code.co_firstlineno,)
        memory.seek(id(code) + walk.file_name)
        assert struct.unpack("<Q", memory.read(8)) == (id(code.co_filename),)


def shared_or_static(path: str) -> Path:
    """The file that holds the interpreter."""
    libraries = sorted(Path(path).parent.parent.glob("lib/libpython?.*.so.1.0"))
    return libraries[0] if libraries else Path(path)


@pytest.mark.parametrize("path", builds())
def test_builds_of_this_machine(path: str) -> None:
    file = shared_or_static(path)
    with file.open("rb") as opened:
        build = find_build(ElfFile(FileReader(opened.fileno())), file.name)
    assert build is not None
    major, minor = builds()[path]
    assert build.title == f"CPython {major}.{minor}"
    assert (build.layout is not None) == ((3, 8) <= (major, minor) <= (3, 14))
    assert bool(build.unread) == (build.layout is None)
    # Some ten thousand bytes, or the beginning of what tail calls have spread over many functions.
    assert sum(map(len, build.evaluators)) > 1000


def test_no_build_in_another_program() -> None:
    with compiled("plain").open("rb") as file:
        assert find_build(ElfFile(FileReader(file.fileno())), "python3.11") is None


def test_exported_symbols_as_binutils_sees_them() -> None:
    path = compiled("exporting", "-shared", "-fPIC")
    exported = nm(path, "-D")
    with path.open("rb") as file:
        found = find_exported(ElfFile(FileReader(file.fileno())), [*map(str.encode, exported), b"not_there", b"rand"])
    assert {name.decode(): tuple(symbol) for name, symbol in found.items()} == exported
    assert len(found) > 3


def test_local_symbols_as_binutils_sees_them() -> None:
    path = compiled("local")
    wanted = {name: place for name, place in nm(path).items() if "function" in name}
    with path.open("rb") as file:
        found = find_local(ElfFile(FileReader(file.fileno())), [*map(str.encode, wanted), b"function", b"rand"])
    assert {name.decode(): tuple(symbol) for name, symbol in found.items()} == wanted
    with stripped(path).open("rb") as file:
        assert find_local(ElfFile(FileReader(file.fileno())), [b"main"]) == {}


def test_damaged_files_end_in_nothing_worse_than_no_build() -> None:
    chance = random.Random(7)
    whole = compiled("exporting", "-shared", "-fPIC").read_bytes()
    for _ in range(300):
        data = bytearray(whole[: chance.randrange(64, len(whole))] if chance.random() < 0.3 else whole)
        for _ in range(chance.randrange(1, 40)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            elf = ElfFile(BytesReader(bytes(data)))
        except ElfError:
            continue
        find_exported(elf, [b"global_function", b"_PyRuntime"])
        find_local(elf, [b"global_function"])
        find_build(elf, "python3.11")


def test_loop_in_a_hash_table_ends(tmp_path: Path) -> None:
    """A chain without an end mark, as long as the file goes on."""
    source = tmp_path / "one.c"
    source.write_text("int one(void) { return 1; }")
    library = tmp_path / "one.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wl,--hash-style=gnu", "-o", library, source], check=True)
    data = bytearray(library.read_bytes())
    elf = ElfFile(BytesReader(bytes(data)))
    section = elf.section(b".gnu.hash")
    assert section is not None
    data[section.offset + section.size - 4 : section.offset + section.size] = bytes(4)
    data += os.urandom(1 << 16)
    assert find_exported(ElfFile(BytesReader(bytes(data))), [b"other"]) == {}
