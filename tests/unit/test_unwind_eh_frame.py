"""Which functions .eh_frame describes; whole files compared with what binutils reads out of them."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import pytest
from symbols_samples import compiled
from unwind_samples import CODE, CODE_SIZE, EH_FRAME, START, cie, eh_frame, fde, image, table

from ebtop.process.elf import BytesReader, ElfError, ElfFile, FileReader
from ebtop.process.mappings import read_mappings
from ebtop.unwind.rule import GAP, Cfa
from ebtop.unwind.table import UnwindTable, build
from tests.lab import readelf
from tests.lab.rule_words import agrees

GROW = b"\x0e\x10"


def table_of(path: Path) -> UnwindTable:
    fd = os.open(path, os.O_RDONLY)
    try:
        return build(ElfFile(FileReader(fd)))
    finally:
        os.close(fd)


def library(name: str) -> Path:
    """A library that this process has mapped."""
    return next(Path(os.fsdecode(m.file.path)) for m in read_mappings(os.getpid()) if name in m.file.label)


@pytest.mark.parametrize("path", [library("libc.so"), library("ld-linux"), Path(os.path.realpath(sys.executable))])
def test_same_rules_as_readelf(path: Path) -> None:
    made = table_of(path)
    rows = list(readelf.rows(path))
    assert rows
    for row in rows:
        assert agrees(made.rule(row.start), row), (row, made.rule(row.start))
        assert agrees(made.rule(row.end - 1), row), (row, made.rule(row.end - 1))
    assert made.left_out == 0


@pytest.mark.parametrize("flags", [("-static",), ("-O2", "-m64", "-fno-plt"), ("-O0", "-Wl,-z,lazy")])
def test_same_rules_in_what_gcc_makes_now(flags: tuple[str, ...]) -> None:
    path = compiled("unwound" + "".join(flags).replace(",", ""), *flags)
    made = table_of(path)
    rows = list(readelf.rows(path))
    assert len(rows) > 10
    assert [row for row in rows if not agrees(made.rule(row.start), row)] == []


def test_start_and_lazy_plt() -> None:
    path = compiled("lazy", "-Wl,-z,lazy")
    fd = os.open(path, os.O_RDONLY)
    try:
        elf = ElfFile(FileReader(fd))
        made = build(elf)
        plt = elf.section(b".plt")
        assert plt is not None
        assert made.rule(elf.entry).cfa == Cfa.STOP
        assert made.rule(plt.address + 16) == (Cfa.PLT, 7, 0, 0, 11, 0, 0)
    finally:
        os.close(fd)


def test_sections_are_not_needed() -> None:
    frames = eh_frame([(CODE + 0x100, 0x20, b"\x41" + GROW), (CODE + 0x200, 0x10, b"")])
    assert table(frames, sections=False) == table(frames)
    assert table(frames).rule(CODE + 0x110).cfa_offset == 16


def test_without_terminator() -> None:
    frames = eh_frame([(CODE, 0x20, GROW), (CODE + 0x20, 0x20, b"\x0e\x18")])[:-4]
    for sections in (True, False):
        made = table(frames, sections=sections)
        assert made.rule(CODE + 0x20).cfa_offset == 24
        assert made.left_out == 0


def test_padding_between_linked_files() -> None:
    first = eh_frame([(CODE, 0x20, GROW)])
    second = cie() + fde(len(first) + len(cie()), len(first), CODE + 0x40, 0x10, b"\x0e\x18")
    made = table(first + second)
    assert (made.rule(CODE).cfa_offset, made.rule(CODE + 0x40).cfa_offset) == (16, 24)


def test_functions_in_any_order_and_what_the_linker_dropped() -> None:
    made = table(eh_frame([
        (CODE + 0x3000, 0x10, b"\x0e\x18"),
        (0, 0x100, b"\x0e\x20"),  # a duplicate of which only the description stayed
        (CODE, 0x10, GROW),
        (CODE + 0x2000, 0, b"\x0e\x20"),
        (CODE + CODE_SIZE - 8, 0x10, b"\x0e\x20"),
    ]))  # fmt: skip
    assert made.left_out == 0
    assert made.first_page == CODE >> 12
    assert [made.rule(CODE + at).cfa_offset for at in (0, 0x10, 0x2000, 0x3000)] == [16, 0, 0, 24]
    assert made.rule(CODE + CODE_SIZE - 4) == GAP


def test_of_functions_that_overlap_the_first_holds() -> None:
    made = table(eh_frame([(CODE, 0x20, GROW), (CODE + 0x10, 0x40, b"\x0e\x18"), (CODE + 0x20, 0x10, b"\x0e\x20")]))
    assert made.left_out == 1
    assert [made.rule(CODE + at).cfa_offset for at in (0, 0x1F, 0x20, 0x30)] == [16, 16, 32, 0]


@pytest.mark.parametrize(
    ("encoding", "layout", "relative"),
    [
        pytest.param(0x00, "<QQ", False, id="absolute"),
        pytest.param(0x03, "<II", False, id="udata4"),
        pytest.param(0x0B, "<iI", False, id="sdata4"),
        pytest.param(0x0C, "<qQ", False, id="sdata8"),
        pytest.param(0x10, "<QQ", True, id="pc-relative, absolute size"),
        pytest.param(0x1C, "<qQ", True, id="pc-relative sdata8"),
    ],
)
def test_encodings_of_addresses(encoding: int, layout: str, relative: bool) -> None:
    first = cie(data=bytes([encoding]))
    origin = EH_FRAME + len(first) + 8 if relative else 0
    start = CODE + 0x40 - origin
    body = struct.pack("<I", len(first) + 4)
    body += struct.pack(layout, start & (1 << 64) - 1 if layout[1] == "Q" else start, 0x10) + b"\0" + GROW
    frames = first + struct.pack("<I", len(body)) + body + bytes(4)
    made = table(frames)
    assert made.left_out == 0
    assert (made.rule(CODE + 0x40).cfa_offset, made.rule(CODE + 0x3F)) == (16, GAP)


def test_augmentations() -> None:
    personality = cie(augmentation=b"zPLR", data=b"\x9b\x01\x02\x03\x04\x1b\x1b")
    back = fde(len(personality), 0, CODE, 0x10)
    with_lsda = bytearray(back[:16] + b"\x04\x11\x22\x33\x44" + GROW)
    with_lsda += bytes(-len(with_lsda) % 4)
    struct.pack_into("<I", with_lsda, 0, len(with_lsda) - 4)
    made = table(personality + bytes(with_lsda) + bytes(4))
    assert (made.rule(CODE).cfa_offset, made.left_out) == (16, 0)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(cie(version=4), id="version"),
        pytest.param(cie(augmentation=b"eh"), id="old gcc"),
        pytest.param(cie(augmentation=b"zX"), id="unknown augmentation"),
        pytest.param(cie(data=b"\x2b"), id="relative to text"),
        pytest.param(cie(data=b"\x9b"), id="indirect"),
        pytest.param(cie(START + b"\x3d\x00"), id="instructions"),
    ],
)
def test_cies_that_are_not_read(first: bytes) -> None:
    made = table(eh_frame([(CODE, 16, GROW), (CODE + 16, 16, GROW)], first))
    assert (made.rule(CODE), made.left_out) == (GAP, 2)


def test_no_eh_frame_is_an_empty_table() -> None:
    data = bytearray(image(b"", sections=False))
    struct.pack_into("<H", data, 56, 2)  # program headers: without PT_GNU_EH_FRAME
    assert build(ElfFile(BytesReader(bytes(data)))).rows == b""


def test_another_machine() -> None:
    with pytest.raises(ElfError, match="machine 183"):
        table(eh_frame([]), machine=183)
