"""Damaged and malicious ELF files: an ElfError or fewer names, never another exception, never endless work."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest
from symbols_samples import compiled, image, load_bytes

from ebtop.process.elf import BytesReader, ElfError, ElfFile, FileReader, Reader
from ebtop.symbols.binary import Binary

SYMBOLS = [("first", 0x1100, 0x10), ("second", 0x1200, 0x10)]


class CountingReader:
    """Counts the bytes asked for: work that does not end with the file shows up here."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.size = reader.size
        self.bytes = 0

    def read_at(self, offset: int, length: int) -> bytes:
        data = self._reader.read_at(offset, length)
        self.bytes += len(data)
        return data


def section_offset(data: bytes, index: int) -> int:
    """Where the header of a section of `image()` begins."""
    (sections,) = struct.unpack_from("<Q", data, 40)
    return int(sections) + index * 64


def changed(offset: int, layout: str, *values: int) -> bytes:
    data = bytearray(image(SYMBOLS))
    struct.pack_into(layout, data, offset, *values)
    return bytes(data)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n" * 10, bytes(64), b"\x7fELF\x07\x09" + bytes(200)])
def test_what_is_no_elf_file(data: bytes) -> None:
    with pytest.raises(ElfError):
        load_bytes(data)


def test_every_truncation_of_a_real_file() -> None:
    data = image(SYMBOLS)
    for length in range(0, len(data), 7):
        try:
            binary = load_bytes(data[:length])
        except ElfError:
            continue
        assert binary.name(0x1100) in (None, b"first")


def test_random_damage_to_the_headers() -> None:
    original = compiled("pie", "-pie", "-fPIE").read_bytes()
    (sections,) = struct.unpack_from("<Q", original, 40)
    chance = random.Random(2)
    loaded = 0
    for _ in range(600):
        data = bytearray(original)
        for _ in range(chance.randrange(1, 8)):
            where = chance.choice((chance.randrange(16, 0x300), chance.randrange(sections, len(data))))
            data[where] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        reader = CountingReader(BytesReader(bytes(data)))
        try:
            binary = Binary(ElfFile(reader))
        except ElfError:
            continue
        loaded += 1
        binary.name(0x1139)
        binary.address(0x1139)
        assert reader.bytes < 20 * len(data)
    assert loaded > 50


@pytest.mark.parametrize(
    ("offset", "layout", "values"),
    [
        pytest.param(54, "<HH", (56, 0xFFFF), id="program header count"),
        pytest.param(54, "<HH", (1, 1), id="program header size"),
        pytest.param(32, "<Q", (1 << 63,), id="program header offset"),
        pytest.param(58, "<HH", (64, 0xFFFF), id="section count"),
        pytest.param(58, "<HH", (0, 5), id="section header size"),
        pytest.param(40, "<Q", ((1 << 64) - 1,), id="section offset"),
    ],
)
def test_absurd_headers_are_refused(offset: int, layout: str, values: tuple[int, ...]) -> None:
    with pytest.raises(ElfError):
        load_bytes(changed(offset, layout, *values))


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        pytest.param(2, 32, 1 << 62, id="symbol table size"),
        pytest.param(2, 24, (1 << 64) - 8, id="symbol table offset"),
        pytest.param(2, 56, 0, id="symbol size"),
        pytest.param(3, 32, 1 << 62, id="names size"),
        pytest.param(3, 24, 1 << 63, id="names offset"),
    ],
)
def test_absurd_symbol_tables_are_left_out(section: int, field: int, value: int) -> None:
    at = section_offset(image(SYMBOLS), section) + field
    binary = load_bytes(changed(at, "<Q", value))
    assert len(binary) == 0
    assert binary.name(0x1100) is None


def test_symbol_table_that_links_to_itself_or_nowhere() -> None:
    at = section_offset(image(SYMBOLS), 2) + 40
    assert load_bytes(changed(at, "<I", 0xFFFFFFFF)).name(0x1100) is None
    assert load_bytes(changed(at, "<I", 2)).name(0x1100) != b"first"


def test_name_outside_of_the_names() -> None:
    data = bytearray(image(SYMBOLS))
    struct.pack_into("<I", data, 0x2000 + 24, 0xFFFFFFF0)
    binary = load_bytes(bytes(data))
    assert binary.name(0x1100) == b""
    assert binary.name(0x1200) == b"second"


def test_names_that_do_not_end() -> None:
    data = image([("x" * 100_000, 0x1100, 0x10)])
    name = load_bytes(data).name(0x1100)
    assert name is not None
    assert set(name) == {ord("x")}
    assert len(name) < 5000


def test_names_beyond_the_limit_are_left_out() -> None:
    noise = random.Random(1).randbytes(60_000).hex()
    elf = ElfFile(BytesReader(image([(noise, 0x1100, 0x10)])))
    assert len(Binary(elf, names_limit=20_000)) == 0
    assert len(Binary(elf, names_limit=200_000)) == 1


def test_thousands_of_aliases_cost_one_look() -> None:
    binary = load_bytes(image([(f"alias{i}", 0x1100, 16) for i in range(20_000)]))
    name = binary.name(0x1100)
    assert name is not None
    assert name.startswith(b"alias")


def test_symbols_at_the_end_of_the_address_space() -> None:
    binary = load_bytes(image([("high", (1 << 64) - 1, 0xFFFFFFFFFFFFFFFF), ("first", 0x1100, 1 << 63)]))
    assert binary.name(0x1100) == b"first"
    assert binary.name((1 << 64) - 1) is None


def test_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shrinking"
    path.write_bytes(image(SYMBOLS))
    fd = os.open(path, os.O_RDONLY)
    try:
        elf = ElfFile(FileReader(fd))
        os.truncate(path, 0x1000)
        assert Binary(elf).name(0x1100) is None
    finally:
        os.close(fd)
