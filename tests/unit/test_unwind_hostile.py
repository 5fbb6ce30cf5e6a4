"""Files made to deceive, and damaged ones: a smaller table or an ElfError, no other exception, no endless work."""

from __future__ import annotations

import os
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from symbols_samples import compiled
from unwind_samples import CODE, CODE_SIZE, EH_FRAME, cie, eh_frame, fde, image, table

from ebtop.process.elf import PF_X, BytesReader, ElfError, ElfFile, FileReader
from ebtop.unwind import eh_frame as reading
from ebtop.unwind.rule import LAYOUT, Cfa
from ebtop.unwind.table import UnwindTable, build

GROW = b"\x0e\x10"
STRAIGHT = eh_frame([(CODE + 64 * n, 64, b"\x41\x0e\x10\x41\x0e\x18") for n in range(50)])
instructions = st.lists(
    st.one_of(
        st.binary(max_size=3),
        st.sampled_from(
            [b"\x41", b"\x0a", b"\x0b", b"\x0e\x10", b"\x86\x02", b"\x0d\x06", b"\x0c\x07\x08", b"\x2e\x20"]
        ),
        st.binary(max_size=12).map(lambda e: b"\x0f" + bytes([len(e)]) + e),
        st.binary(max_size=12).map(lambda e: b"\x10\x06" + bytes([len(e)]) + e),
    ),
    max_size=40,
).map(b"".join)


def check(made: UnwindTable, elf: ElfFile) -> None:
    """What the kernel relies on holds, whatever the file said."""
    assert made.nbytes < 1 << 22
    rows = memoryview(made.rows).cast("I")
    for page, (span,) in enumerate(struct.iter_unpack("=Q", made.pages), made.first_page):
        low, count = span & 0xFFFFFFFF, span >> 32
        assert low + count <= len(rows)
        assert not count or rows[low] >> 16 == page << 12 & 0xFFFF
    assert all((row & 0xFFFF) * LAYOUT.size < len(made.rules) for row in rows)
    assert all(rule[0] <= Cfa.UNSUPPORTED for rule in LAYOUT.iter_unpack(made.rules))
    if made.pages:
        code = [s for s in elf.segments if s.flags & PF_X]
        assert min(s.address for s in code) >> 12 <= made.first_page
        assert made.first_page + len(made.pages) // 8 - 1 <= max(s.address + s.file_size for s in code) >> 12


def attempt(data: bytes) -> UnwindTable | None:
    """The table of an image, or None when it was refused."""
    try:
        elf = ElfFile(BytesReader(data))
        made = build(elf)
    except ElfError:
        return None
    check(made, elf)
    return made


@given(frames=st.binary(max_size=400), sections=st.booleans())
def test_random_bytes(frames: bytes, sections: bool) -> None:
    attempt(image(frames, sections=sections))


@given(first=instructions, second=instructions, augmentation=st.sampled_from([b"zR", b"z", b"", b"zPLR", b"zRS"]))
def test_random_instructions(first: bytes, second: bytes, augmentation: bytes) -> None:
    frames = cie(first, augmentation, b"\x1b" if augmentation[:1] == b"z" else b"")
    for n in range(3):
        frames += fde(len(frames), 0, CODE + 64 * n, 64, second)
    attempt(image(frames + bytes(4)))


@given(flips=st.lists(st.tuples(st.integers(0, len(STRAIGHT) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_to_eh_frame(flips: list[tuple[int, int]]) -> None:
    frames = bytearray(STRAIGHT)
    for at, value in flips:
        frames[at] = value
    attempt(image(bytes(frames)))
    attempt(image(bytes(frames), sections=False))


def test_every_truncation() -> None:
    whole = table(STRAIGHT)
    for length in range(0, len(STRAIGHT), 3):
        made = attempt(image(STRAIGHT[:length], sections=False))
        assert made is None or len(made.rows) <= len(whole.rows)
    data = image(STRAIGHT)
    for length in range(0, len(data), 511):
        attempt(data[:length])


def test_random_damage_to_real_files() -> None:
    original = compiled("hostile", "-static").read_bytes()
    elf = ElfFile(BytesReader(original))
    frames = elf.section(b".eh_frame")
    assert frames is not None
    whole = len(build(elf).rows)
    (sections,) = struct.unpack_from("<Q", original, 40)
    spans = [(frames.offset, frames.offset + frames.size), (0, 0x300), (sections, len(original))]
    chance = random.Random(7)
    made = changed = 0
    for n in range(60):
        data = bytearray(original)
        for _ in range(chance.randrange(1, 20)):
            at = chance.randrange(*chance.choice(spans[: 1 + 2 * (n % 2)]))
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        result = attempt(bytes(data))
        if result is not None:
            made += 1
            changed += len(result.rows) != whole
    assert made > 20
    assert changed > 10


def test_lengths_that_lie() -> None:
    good = fde(len(cie()), 0, CODE, 16, GROW)
    for length in (3, len(good), 1 << 31, 0xFFFFFFF0, 0xFFFFFFFF):
        frames = bytearray(cie() + good + good)
        struct.pack_into("<I", frames, len(cie()), length)
        made = table(bytes(frames))
        assert made.left_out + len(made.rows) > 0
    frames = bytearray(cie() + good)
    struct.pack_into("<I", frames, 0, 1 << 30)
    assert table(bytes(frames)).left_out == 1


def test_cie_pointers_that_lead_anywhere() -> None:
    frames = cie()
    for back in (1, 3, 5, 1000, 1 << 31, 0xFFFFFFFF):
        entry = bytearray(fde(len(frames), 0, CODE, 16, GROW))
        struct.pack_into("<I", entry, 4, back)
        frames += entry
    made = table(frames)
    assert (made.rows, made.left_out) == (b"", 6)


def test_a_cie_at_every_byte_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    parse = reading._Section._parse_cie
    monkeypatch.setattr(reading._Section, "_parse_cie", lambda self, at: (read.append(at), parse(self, at))[1])
    frames = cie(b"\x0a\x0b" * 400)
    for n in range(5000):
        entry = bytearray(fde(len(frames), 0, CODE + 16 * n, 16))
        struct.pack_into("<I", entry, 4, len(frames) + 4 - n)
        frames += entry
    assert table(frames).left_out >= 5000 - 1
    assert len(read) == reading._CIES_MAX


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PROGRAM_ROWS_MAX", 1000)
    programs = [b"\x41\x0e\x10\x41\x0e\x18" * n for n in range(40)]
    with pytest.raises(ElfError, match="more unwind information"):
        table(eh_frame([(CODE + 256 * n, 256, program) for n, program in enumerate(programs)]))


def test_a_program_too_long_is_left_out() -> None:
    made = table(eh_frame([(CODE, 16, b"\x00" * (1 << 19)), (CODE + 16, 16, GROW)]))
    assert (made.left_out, made.rule(CODE + 16).cfa_offset) == (1, 16)


def test_megabytes_of_nothing() -> None:
    frames = cie() + bytes(20 << 20)
    frames += fde(len(frames), 0, CODE, 16, GROW)
    assert table(frames).rule(CODE).cfa_offset == 16


def test_functions_outside_of_the_code() -> None:
    edge = CODE + CODE_SIZE
    for start, size in (
        (CODE - 8, 16),
        (edge - 8, 16),
        (edge, 16),
        (EH_FRAME, 16),
        (CODE, 1 << 31),
        (CODE, 0xFFFFFFFF),
    ):
        frames = bytearray(cie() + fde(len(cie()), 0, start, 0, GROW))
        struct.pack_into("<I", frames, len(cie()) + 12, size)
        assert table(bytes(frames)).rows == b""


def test_headers_that_claim_all_memory_is_code() -> None:
    data = bytearray(image(STRAIGHT))
    struct.pack_into("<QQQQ", data, 64 + 8, 0, 0, 0, (1 << 64) - 1)  # the code's segment
    made = attempt(bytes(data))
    assert made is not None
    assert made.rule(CODE).cfa_offset == 8
    far = cie(data=b"\x0c") + struct.pack("<IIqQ", 24, len(cie()) + 4, 0x1000, 16) + bytes(4)
    far += struct.pack("<IIqQ", 24, len(far) + 4, 1 << 42, 16) + bytes(8)
    data = bytearray(image(far))
    struct.pack_into("<QQQQ", data, 64 + 8, 0, 0, 0, (1 << 64) - 1)
    with pytest.raises(ElfError, match="more code"):
        build(ElfFile(BytesReader(bytes(data))))


def test_section_larger_than_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BYTES_MAX", 100)
    with pytest.raises(ElfError, match="more than 100"):
        table(STRAIGHT)
    assert table(STRAIGHT, sections=False).rule(CODE + 0x40 * 49).cfa == Cfa.GAP


def test_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shrinking"
    path.write_bytes(image(STRAIGHT))
    fd = os.open(path, os.O_RDONLY)
    try:
        elf = ElfFile(FileReader(fd))
        os.truncate(path, CODE)
        with pytest.raises(ElfError):
            build(elf)
    finally:
        os.close(fd)
