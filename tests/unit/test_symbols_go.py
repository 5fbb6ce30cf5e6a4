"""Functions of stripped Go programs: tables of all versions, written here from the layouts in Go's own sources."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import pytest
from symbols_samples import compiled, load

from ebtop.symbols.binary import Binary

FUNCTIONS = [
    (0x1000, "runtime.text"),
    (0x1040, "main.(*Server).Serve"),
    (0x1100, "main.main.func1"),
    (0x1180, "type..eq.main.T"),
]
END = 0x1200
MAGIC = {"1.16": 0xFFFFFFFA, "1.18": 0xFFFFFFF0, "1.20": 0xFFFFFFF1}


def table(version: str, base: int, *, text: int | None = None) -> bytes:
    """A .gopclntab of `FUNCTIONS`, their addresses counted from `base`."""
    names, name_at = b"", []
    for _, name in FUNCTIONS:
        name_at.append(len(names))
        names += name.encode() + b"\0"
    relative = version != "1.16"
    header_words = 8 if relative else 7
    names_offset = 8 + 8 * header_words
    table_offset = names_offset + len(names) + -len(names) % 8
    width = 4 if relative else 8
    pack = "<I" if relative else "<Q"
    entries_size = (2 * len(FUNCTIONS) + 1) * width
    entries, bodies = b"", b""
    for (address, _), name in zip(FUNCTIONS, name_at, strict=True):
        entry = address - 0x1000 if relative else base + address
        entries += struct.pack(pack, entry) + struct.pack(pack, entries_size + len(bodies))
        bodies += struct.pack(pack, entry) + struct.pack("<i", name) + bytes(24)
    entries += struct.pack(pack, END - 0x1000 if relative else base + END)
    words = [len(FUNCTIONS), 1, names_offset, table_offset, 0, 0, table_offset]
    if relative:
        words.insert(2, base + 0x1000 if text is None else text)
    header = struct.pack("<IHBB", MAGIC[version], 0, 1, 8) + struct.pack(f"<{header_words}Q", *words)
    return (header + names).ljust(table_offset, b"\0") + entries + bodies


def with_table(directory: Path, contents: bytes, section: str = ".gopclntab") -> Binary:
    path, program = directory / "table", directory / "program"
    path.write_bytes(contents)
    whole = compiled("go-base", "-no-pie")
    subprocess.run(["objcopy", "--strip-all", f"--add-section={section}={path}", whole, program], check=True)
    return load(program)


def text_address(directory: Path) -> int:
    """Where the code of the program begins."""
    listing = subprocess.run(["readelf", "-SW", directory / "program"], check=True, capture_output=True, text=True)
    return next(int(f[f.index(".text") + 2], 16) for f in map(str.split, listing.stdout.splitlines()) if ".text" in f)


def names(binary: Binary, base: int) -> list[bytes | None]:
    return [binary.name(base + address + skip) for address, _ in FUNCTIONS for skip in (0, 30)]


TRUTH = [name.encode() for _, name in FUNCTIONS for _ in (0, 30)]


@pytest.mark.parametrize("version", MAGIC)
def test_functions_of_each_version(tmp_path: Path, version: str) -> None:
    base = 0x400000
    binary = with_table(tmp_path, table(version, base))
    assert binary.symbols == "pclntab"
    assert names(binary, base) == TRUTH
    assert binary.name(base + 0xFFF) != b"runtime.text"
    assert binary.name(base + END) not in TRUTH


def test_table_that_does_not_say_where_the_code_begins(tmp_path: Path) -> None:
    binary = with_table(tmp_path, table("1.20", 0, text=0), ".data.rel.ro.gopclntab")
    base = text_address(tmp_path) - 0x1000
    assert names(binary, base) == TRUTH


@pytest.mark.parametrize(
    ("at", "value"),
    [
        pytest.param(0, 0x12345678, id="magic"),
        pytest.param(4, 0x03010000, id="pointer size"),
        pytest.param(8, 1 << 31, id="too many functions"),
        pytest.param(8, 0, id="no functions"),
        pytest.param(32, 1 << 31, id="names outside"),
        pytest.param(64, 1 << 31, id="table outside"),
    ],
)
def test_tables_that_make_no_sense_are_left_out(tmp_path: Path, at: int, value: int) -> None:
    data = bytearray(table("1.20", 0x400000))
    struct.pack_into("<I", data, at, value)
    binary = with_table(tmp_path, bytes(data))
    assert binary.symbols != "pclntab"
    assert binary.name(0x401050) not in TRUTH


def test_random_damage(tmp_path: Path) -> None:
    chance = random.Random(5)
    good = table("1.18", 0x400000)
    for _ in range(12):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        binary = with_table(tmp_path, bytes(data[: chance.randrange(20, len(data) + 1)]))
        names(binary, 0x400000)
        assert binary.symbols in ("pclntab", "dynsym", "none")
