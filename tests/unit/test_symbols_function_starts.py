"""Functions without a name are told apart by where they begin."""

from __future__ import annotations

import os
import struct

import pytest

from ebtop.process.elf import BytesReader, ElfFile, FileReader
from ebtop.store.flame_paths import named
from ebtop.store.records import Frame
from ebtop.store.unnamed import is_address_only, unnamed_frame
from ebtop.symbols.binary import Binary
from ebtop.symbols.function_starts import NOWHERE, read_function_starts
from tests.unit.symbols_samples import compiled, nm, stripped


def image(name: str = "starts") -> bytes:
    return stripped(compiled(name)).read_bytes()


def test_a_stripped_file_tells_where_its_functions_are() -> None:
    path = compiled("starts")
    known = nm(path)
    with open(stripped(path), "rb") as file:
        binary = Binary(ElfFile(FileReader(file.fileno())))
    for name in ("local_function", "global_function", "main"):
        address, size = known[name]
        assert binary.name(address) is None
        assert [binary.function_start(at) for at in (address, address + size - 1)] == [address, address]
    # Nothing describes this one: it is not part of the one before it.
    assert binary.function_start(known["sized_function"][0]) is None


def test_where_all_functions_have_names_nothing_is_read() -> None:
    with open(compiled("starts"), "rb") as file:
        binary = Binary(ElfFile(FileReader(file.fileno())))
    assert binary.function_start(nm(compiled("starts"))["main"][0]) is None


@pytest.mark.parametrize("damage", ["count", "encoding", "leads nowhere", "descending"])
def test_a_damaged_table_tells_nothing_wrong(damage: str) -> None:
    data = bytearray(image())
    header = ElfFile(BytesReader(bytes(data))).eh_frame_header
    assert header is not None
    whole = read_function_starts(ElfFile(BytesReader(bytes(data))))
    assert len(whole) > 3
    if damage == "count":
        struct.pack_into("<I", data, header.offset + 8, 0x7FFFFFFF)
    elif damage == "encoding":
        data[header.offset + 3] = 0x10
    elif damage == "leads nowhere":
        struct.pack_into("<i", data, header.offset + 4, 0x7FFFFFF)
    else:
        struct.pack_into("<i", data, header.offset + 12 + 8, -0x70000000)
    found = read_function_starts(ElfFile(BytesReader(bytes(data))))
    assert found is NOWHERE if damage != "descending" else len(found) < len(whole)


def test_any_damage_is_borne() -> None:
    data = image()
    header = ElfFile(BytesReader(data)).eh_frame_header
    assert header is not None
    for at in range(header.offset, header.offset + header.file_size):
        for value in (0, 0x7F, 0xFF):
            changed = data[:at] + bytes([value]) + data[at + 1 :]
            found = read_function_starts(ElfFile(BytesReader(changed)))
            starts = [found.covering(address) for address in (0, 0x1000, 0x1100, 1 << 40)]
            assert all(start is None or start <= 0x1100 for start in starts)


def test_functions_stay_apart_and_addresses_alone_do_not() -> None:
    function = unnamed_frame("libz.so.1", 0x5D10, is_function=True)
    address = unnamed_frame("libz.so.1", 0x5E90)
    assert (function.name, address.name) == ("[libz.so.1+0x5d10()]", "[libz.so.1+0x5e90]")
    assert (is_address_only(function), is_address_only(address)) == (False, True)
    assert named([function, address]) == [function, Frame("[libz.so.1]", "unknown", "libz.so.1")]
    assert unnamed_frame("[vdso]", 0x10).name == "[vdso+0x10]"


def test_memory_is_bounded() -> None:
    with open(os.path.realpath("/proc/self/exe"), "rb") as file:
        found = read_function_starts(ElfFile(FileReader(file.fileno())))
    assert found.nbytes == 8 * len(found)
