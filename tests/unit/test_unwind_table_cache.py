"""The cache of unwind tables: same tables, whatever lies in the directory."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from unwind_samples import CODE, eh_frame, image

from ebtop.process.elf import ElfError
from ebtop.unwind import table_cache
from ebtop.unwind.table import UnwindTable
from ebtop.unwind.table_cache import TableCache

BUILD_ID = bytes(range(20))


def program(path: Path, grow: int, *, build_id: bytes = b"", functions: int = 200) -> Path:
    """An ELF file whose functions push `grow` bytes."""
    frames = eh_frame(
        [(CODE + 64 * n, 48, b"\x0e" + bytes([grow, 0x40 | n % 30 + 1, 0x0E, 8])) for n in range(functions)]
    )
    data = bytearray(image(frames, sections=False))
    if build_id:
        struct.pack_into("<H", data, 56, 4)
        at = 64 + 3 * 56 + 56
        struct.pack_into("<IIQQQQQQ", data, at - 56, 4, 4, at, at, at, 16 + len(build_id), 16 + len(build_id), 4)
        data[at : at + 16] = struct.pack("<III", 4, len(build_id), 3) + b"GNU\0"
        data[at + 16 : at + 16 + len(build_id)] = build_id
    path.write_bytes(data)
    return path


class Builds:
    """Counts how often a table had to be built."""

    def __init__(self) -> None:
        self.count = 0
        self._build = table_cache.build

    def __call__(self, elf: table_cache.ElfFile) -> UnwindTable:
        self.count += 1
        return self._build(elf)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Builds:
    counting = Builds()
    monkeypatch.setattr(table_cache, "build", counting)
    return counting


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "unwind"


def table(cache: TableCache, path: Path) -> UnwindTable:
    fd = os.open(path, os.O_RDONLY)
    try:
        return cache.table(fd)
    finally:
        os.close(fd)


def entry(directory: Path) -> Path:
    (found,) = directory.iterdir()
    return found


def test_second_time_from_disk(tmp_path: Path, directory: Path, builds: Builds) -> None:
    path = program(tmp_path / "a", 16)
    first = table(TableCache(directory), path)
    again = table(TableCache(directory), path)
    assert builds.count == 1
    assert again == first
    assert again.rule(CODE).cfa_offset == 16


def test_a_copy_has_the_same_table_when_it_has_a_build_id(tmp_path: Path, directory: Path, builds: Builds) -> None:
    for name, build_id in (("a", BUILD_ID), ("b", BUILD_ID), ("c", b""), ("d", b"")):
        table(TableCache(directory), program(tmp_path / name, 16, build_id=build_id))
    assert builds.count == 3


def test_a_borrowed_build_id_borrows_no_table(tmp_path: Path, directory: Path) -> None:
    cache = TableCache(directory)
    real = table(cache, program(tmp_path / "real", 16, build_id=BUILD_ID))
    other = table(cache, program(tmp_path / "other", 24, build_id=BUILD_ID))
    assert (real.rule(CODE).cfa_offset, other.rule(CODE).cfa_offset) == (16, 24)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as lying on a disk, for long."""
    monkeypatch.setattr(table_cache, "_SETTLED_S", -1)
    monkeypatch.setattr(os, "major", lambda device: 8)


@pytest.mark.usefixtures("settled")
def test_what_lies_on_a_disk_is_not_read_again(
    tmp_path: Path, directory: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = (program(tmp_path / name, 16, build_id=BUILD_ID) for name in ("a", "b"))
    first = table(TableCache(directory), path)
    assert table(TableCache(directory), copy) == first
    with monkeypatch.context() as patched:
        patched.setattr(table_cache, "find_eh_frame", None)
        assert table(TableCache(directory), path) == first
        assert table(TableCache(directory), copy) == first
    assert builds.count == 1
    assert len({entry.stat().st_ino for entry in directory.iterdir()}) == 1


@pytest.mark.usefixtures("settled")
def test_a_borrowed_build_id_on_a_disk_borrows_no_table(tmp_path: Path, directory: Path) -> None:
    cache = TableCache(directory)
    for name, grow in (("real", 16), ("other", 24)):
        path = program(tmp_path / name, grow, build_id=BUILD_ID)
        assert table(cache, path).rule(CODE).cfa_offset == grow


@pytest.mark.usefixtures("settled")
def test_damaged_entries_of_files_on_a_disk_are_made_anew(tmp_path: Path, directory: Path, builds: Builds) -> None:
    path = program(tmp_path / "a", 16)
    first = table(TableCache(directory), path)
    for found in directory.iterdir():
        found.write_bytes(b"no")
    assert table(TableCache(directory), path) == first
    assert table(TableCache(directory), path) == first
    assert builds.count == 2


def test_a_file_written_anew(tmp_path: Path, directory: Path) -> None:
    cache = TableCache(directory)
    assert table(cache, program(tmp_path / "a", 16)).rule(CODE).cfa_offset == 16
    assert table(cache, program(tmp_path / "a", 24)).rule(CODE).cfa_offset == 24


def test_damaged_entries_are_made_anew(tmp_path: Path, directory: Path, builds: Builds) -> None:
    path = program(tmp_path / "a", 16)
    right = table(TableCache(directory), path)
    kept = entry(directory)
    whole = kept.read_bytes()
    damages = [whole[:length] for length in (0, 1, 40, len(whole) // 2, len(whole) - 1)] + [whole + b"\0"]
    damages += [whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :] for at in range(0, len(whole), 61)]
    for damaged in damages:
        kept.write_bytes(damaged)
        assert table(TableCache(directory), path) == right
    assert builds.count == 1 + len(damages)


@pytest.mark.parametrize("kind", ["writable by others", "link", "pipe", "directory", "sparse"])
def test_entries_of_strangers(tmp_path: Path, directory: Path, builds: Builds, kind: str) -> None:
    path = program(tmp_path / "a", 16)
    right = table(TableCache(directory), path)
    kept = entry(directory)
    if kind == "writable by others":
        kept.chmod(0o666)
    else:
        kept.rename(tmp_path / "elsewhere")
        if kind == "link":
            kept.symlink_to(tmp_path / "elsewhere")
        elif kind == "pipe":
            os.mkfifo(kept)
        elif kind == "directory":
            kept.mkdir()
        else:
            kept.touch(0o600)
            os.truncate(kept, 1 << 40)
    said: list[str] = []
    assert table(TableCache(directory, log=said.append), path) == right
    assert builds.count == 2
    assert len(said) == (kind == "directory")  # which nothing can be put in the place of


def test_directory_that_others_can_write_to(tmp_path: Path, directory: Path, builds: Builds) -> None:
    path = program(tmp_path / "a", 16)
    table(TableCache(directory), path)
    directory.chmod(0o777)
    said: list[str] = []
    cache = TableCache(directory, log=said.append)
    for _ in range(3):
        assert table(cache, path).rule(CODE).cfa_offset == 16
    assert builds.count == 4
    assert said == [f"{directory} can't be used (others can write to it): unwind tables are made anew at every start"]


def test_directory_that_can_not_be_made(tmp_path: Path, builds: Builds) -> None:
    (tmp_path / "file").touch()
    said: list[str] = []
    cache = TableCache(tmp_path / "file" / "unwind", log=said.append)
    assert table(cache, program(tmp_path / "a", 16)).rule(CODE).cfa_offset == 16
    assert len(said) == 1


def test_least_recently_used_go_first(tmp_path: Path, directory: Path, builds: Builds) -> None:
    paths = [program(tmp_path / str(n), 16 + 8 * n) for n in range(5)]
    table(TableCache(directory), paths[0])
    size = entry(directory).stat().st_size
    cache = TableCache(directory, bytes_max=3 * size + size // 2)
    for path in paths[1:3]:
        table(cache, path)
    for n, kept in enumerate(sorted(directory.iterdir(), key=lambda p: p.stat().st_mtime_ns)):
        os.utime(kept, ns=(n, n))  # in the order they were made
    table(cache, paths[0])
    table(cache, paths[3])
    assert len(list(directory.iterdir())) == 3
    builds.count = 0
    table(cache, paths[0])
    table(cache, paths[2])
    table(cache, paths[3])
    assert builds.count == 0
    table(cache, paths[1])
    assert builds.count == 1


def test_rests_of_killed_writers_go_and_other_files_stay(tmp_path: Path, directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o755)
    rest = directory / f"{'0' * 40}.{'1' * 16}.new"
    other = directory / "notes.txt"
    for path in (rest, other):
        path.write_bytes(bytes(5000))
        os.utime(path, ns=(1, 1))
    table(TableCache(directory, bytes_max=3000), program(tmp_path / "a", 16))
    assert not rest.exists()
    assert other.exists()


def test_no_elf_file(tmp_path: Path, directory: Path) -> None:
    (tmp_path / "text").write_text("no\n")
    with pytest.raises(ElfError):
        table(TableCache(directory), tmp_path / "text")
