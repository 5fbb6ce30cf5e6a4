"""Functions of ELF files, compared with binutils."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from symbols_samples import compiled, image, load, load_bytes, nm, stripped

LINKED = [
    ("pie", ("-pie", "-fPIE")),
    ("nopie", ("-no-pie",)),
    ("shared", ("-shared", "-fPIC")),
    ("static", ("-static",)),
]


@pytest.mark.parametrize(("name", "flags"), LINKED)
def test_functions_are_where_nm_has_them(name: str, flags: tuple[str, ...]) -> None:
    path = compiled(name, *flags)
    binary = load(path)
    truth = nm(path)
    for function in ("local_function", "main"):
        address, size = truth[function]
        assert binary.name(address) == function.encode()
        assert binary.name(address + size - 1) == function.encode()
        assert binary.name(address + size) != function.encode()
        assert binary.name(address - 1) != function.encode()


def test_every_sized_function_of_libc_is_found() -> None:
    path = compiled("static", "-static")
    binary = load(path)
    by_address: dict[int, set[bytes]] = {}
    for name, (address, _) in nm(path).items():
        by_address.setdefault(address, set()).add(name.encode())
    sized = [address for address, size in nm(path).values() if size]
    wrong = [hex(a) for a in sized if binary.name(a) not in by_address[a]]
    assert len(sized) > 500
    assert wrong == []


def test_of_aliases_the_plain_name_wins() -> None:
    path = compiled("pie", "-pie", "-fPIE")
    address, _ = nm(path)["global_function"]
    assert load(path).name(address) == b"alias_function"


def test_unsized_functions_extend_to_the_next_or_the_end_of_the_section() -> None:
    path = compiled("pie", "-pie", "-fPIE")
    binary = load(path)
    truth = nm(path)
    unsized, sized, last = (truth[n][0] for n in ("unsized_function", "sized_function", "last_unsized"))
    assert sized - unsized == 3
    assert [binary.name(a) for a in range(unsized, sized + 2)] == [b"unsized_function"] * 3 + [b"sized_function", None]
    assert binary.name(last) == b"last_unsized"


def test_data_has_no_name() -> None:
    path = compiled("pie", "-pie", "-fPIE")
    output = subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout
    address = next(int(line.split()[0], 16) for line in output.splitlines() if line.endswith(" data_object"))
    assert load(path).name(address) is None


def test_stripped_program_has_its_entry_and_nothing_invented() -> None:
    path = compiled("pie", "-pie", "-fPIE")
    truth = nm(path)
    binary = load(stripped(path))
    start, size = truth["_start"]
    assert binary.name(start) == b"_start"
    assert binary.name(start + size - 1) == b"_start"
    assert binary.name(truth["main"][0]) is None
    assert binary.name(truth["local_function"][0]) is None


def test_stripped_library_keeps_what_it_exports() -> None:
    path = compiled("shared", "-shared", "-fPIC")
    truth = nm(path)
    binary = load(stripped(path))
    assert binary.name(truth["main"][0]) == b"main"
    assert binary.name(truth["local_function"][0]) is None


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="stubs are read on x86-64 only")
@pytest.mark.parametrize("flags", [("-pie",), ("-pie", "-fcf-protection=full", "-Wl,-z,ibtplt"), ("-pie", "-fno-plt")])
def test_stubs_are_named_after_what_they_call(flags: tuple[str, ...]) -> None:
    path = compiled("plt" + "".join(flags).replace(",", ""), *flags)
    disassembly = subprocess.run(["objdump", "-d", path], check=True, capture_output=True, text=True).stdout
    stubs = [
        (int(line.split()[0], 16), line.split()[1].strip("<>:"))
        for line in disassembly.splitlines()
        if line.endswith("@plt>:") and "*ABS*" not in line
    ]
    binary = load(stripped(path))
    assert stubs
    assert [binary.name(address) for address, _ in stubs] == [name.encode() for _, name in stubs]


def test_version_in_a_symbol_is_cut_off() -> None:
    binary = load_bytes(image([("memcpy@@GLIBC_2.14", 0x1100, 16), ("@odd", 0x1200, 16)]))
    assert binary.name(0x1100) == b"memcpy"
    assert binary.name(0x1200) == b"@odd"


@pytest.mark.parametrize("is64", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_word_sizes_and_byte_orders(is64: bool, order: str) -> None:
    binary = load_bytes(image([("first", 0x1100, 0x10), ("second", 0x1110, 0x20)], is64=is64, order=order))
    assert len(binary) == 2
    assert [binary.name(a) for a in (0x10FF, 0x1100, 0x110F, 0x1110, 0x112F, 0x1130)] == [
        None,
        b"first",
        b"first",
        b"second",
        b"second",
        None,
    ]
    assert binary.name(0x1800) == b"_start"
    assert binary.address(0x1100) == 0x1100
    assert binary.address(0x9000) is None


def test_function_around_others_is_found_behind_them() -> None:
    binary = load_bytes(image([("outer", 0x1100, 0x100), ("inner", 0x1110, 0x10)]))
    assert binary.name(0x1118) == b"inner"
    assert binary.name(0x1150) == b"outer"


def test_mapped_offsets_become_addresses() -> None:
    path = compiled("nopie", "-no-pie")
    binary = load(path)
    address = nm(path)["main"][0]
    headers = subprocess.run(["readelf", "-lW", path], check=True, capture_output=True, text=True).stdout
    offset, base = next(
        (int(f[1], 16), int(f[2], 16)) for f in map(str.split, headers.splitlines()) if f[:1] == ["LOAD"] and "E" in f
    )
    assert binary.address(address - base + offset) == address


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A stripped program whose symbols are in NAME.debug beside it, by .gnu_debuglink."""
    whole = compiled("debug", "-g", "-pie")
    program = tmp_path / "program"
    debug = tmp_path / "program.debug"
    subprocess.run(["objcopy", "--only-keep-debug", whole, debug], check=True)
    subprocess.run(["objcopy", "--strip-all", f"--add-gnu-debuglink={debug}", whole, program], check=True)
    return program


def test_debug_file_beside_the_program(split: Path) -> None:
    assert load(split).name(nm(split.with_suffix(".debug"))["local_function"][0]) == b"local_function"


def test_debug_file_of_another_build_is_not_used(split: Path) -> None:
    debug = split.with_suffix(".debug")
    address = nm(debug)["local_function"][0]
    other = compiled("other-build", "-g", "-O3", "-pie")
    shutil.copy(other, debug)
    assert load(split).name(address) is None


@pytest.mark.parametrize("intact", [True, False])
def test_debug_file_without_build_id_is_known_by_its_checksum(tmp_path: Path, intact: bool) -> None:
    whole = compiled("no-id", "-g", "-pie", "-Wl,--build-id=none")
    program, debug = tmp_path / "program", tmp_path / "program.debug"
    subprocess.run(["objcopy", "--only-keep-debug", whole, debug], check=True)
    subprocess.run(["objcopy", "--strip-all", f"--add-gnu-debuglink={debug}", whole, program], check=True)
    if not intact:
        debug.write_bytes(debug.read_bytes() + b"\0")
    name = load(program).name(nm(whole)["local_function"][0])
    assert name == (b"local_function" if intact else None)
