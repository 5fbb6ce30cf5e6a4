"""Which files the kernel's walker is told of, and what stands in its maps then."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Hashable, Iterator

import pytest

from ebtop.kernel.artifact import MapSpec
from ebtop.kernel.maps import Map
from ebtop.process.elf import PF_X, Segment
from ebtop.process.mappings import Mapping, mapped_file
from ebtop.process.places import Files
from ebtop.unwind.arena import TABLE_MISSING, TABLE_NONE
from ebtop.unwind.binaries import VDSO, Binary
from ebtop.unwind.told_files import SeenFile, ToldFiles

SLOTS = 80
PID = 1 << 22
"""Beyond what the kernel gives."""
SHIFT, TABLE, BASE = 0x1000, 7, 0x10000


class FileMap(Map):
    """A file in the place of the array."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("files")
        os.ftruncate(self.fd, 4096)
        self.spec = MapSpec("unwind_files", 2, 4, 16, SLOTS, 0)

    def entry(self, slot: int) -> tuple[int, int, int]:
        """Address, table, number."""
        address, table, number = struct.unpack("=QII", os.pread(self.fd, 16, slot * 16))
        return address, table, number


class NumberMap(Map):
    """Slots by key."""

    def __init__(self) -> None:
        self.slots: dict[bytes, int] = {}

    def update(self, key: bytes, value: bytes, *, only_new: bool = False) -> bool:
        self.slots[key] = struct.unpack("=I", value)[0]
        return True

    def delete(self, key: bytes) -> None:
        del self.slots[key]


class Kernel:
    def __init__(self) -> None:
        self.array, self.numbers, self.files = FileMap(), NumberMap(), Files()
        self.told = ToldFiles({"unwind_files": self.array, "unwind_file_numbers": self.numbers}, self.files)

    def entry(self, seen: SeenFile) -> tuple[int, int, int]:
        return self.array.entry(self.numbers.slots[struct.pack("=QQQII", *seen)])


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.told.close()
    made.files.close()
    made.array.close()


def seen(inode: int = 5, written: int = 1000, nbytes: int = 4096) -> SeenFile:
    return SeenFile(inode, nbytes, written, 25, 8)


def binary(inode: int = 5, written: int = 1000, nbytes: int = 4096, key: Hashable = None) -> Binary:
    made = Binary(key or (9, inode, written * 10**9 + 25, nbytes), (Segment(PF_X, 0, SHIFT, nbytes),), nbytes)
    made.base = BASE
    return made


def mapping(inode: int = 5, path: bytes = b"/bin/x", nbytes: int = 4096) -> Mapping:
    return Mapping(0x7F0000000000, 0x7F0000000000 + nbytes, 0, mapped_file(9, inode, path))


def nothing() -> int | None:
    return None


def tell(kernel: Kernel, file: SeenFile, known: Binary, opened: Callable[[], int | None] = nothing) -> bool:
    return kernel.told.tell(file, known, PID, mapping(), opened)


def test_a_file_is_told_with_the_table_it_has_then_and_later(kernel: Kernel) -> None:
    known = binary()
    assert tell(kernel, seen(), known)
    _, table, number = kernel.entry(seen())
    assert table == TABLE_MISSING
    file = kernel.files.get(number)
    assert file is not None
    assert (file.key, file.pid, file.mapping) == (known.key, PID, mapping())
    known.table_number = TABLE
    kernel.told.use_table(known)
    assert kernel.entry(seen()) == (SHIFT - BASE & 2**64 - 1, TABLE, number)
    known.table_number = TABLE_MISSING
    kernel.told.use_table(known)
    assert kernel.entry(seen())[1] == TABLE_MISSING
    # What is known of a file was forgotten, and found anew.
    again = binary()
    again.described = False
    kernel.told.use_table(again)
    assert kernel.entry(seen())[1] == TABLE_NONE


def test_told_once_is_enough(kernel: Kernel) -> None:
    assert tell(kernel, seen(), binary())
    before = kernel.entry(seen())
    assert tell(kernel, seen(), binary())
    assert kernel.entry(seen()) == before
    assert len(kernel.told) == 1


@pytest.mark.parametrize(
    "other",
    [seen(written=1001), seen(nbytes=4097), SeenFile(5, 4096, 1000, 26, 8)],
    ids=["seconds", "size", "nanoseconds"],
)
def test_another_file_in_its_place_is_not_told(kernel: Kernel, other: SeenFile) -> None:
    assert not tell(kernel, other, binary())
    assert not kernel.numbers.slots


def test_what_has_code_in_several_places_is_found_by_process(kernel: Kernel) -> None:
    odd = Binary(binary().key, (Segment(PF_X, 0, 0x1000, 64), Segment(PF_X, 64, 0x9000, 64)), 4096)
    assert not tell(kernel, seen(), odd)
    assert not tell(kernel, seen(), Binary(binary().key, (), 4096))


def test_the_vdso_is_the_one_of_its_size(kernel: Kernel) -> None:
    vdso = binary(key=VDSO)
    area = mapping(0, VDSO, 8192)
    assert not kernel.told.tell(SeenFile(0, 4096, 0, 0, 0), vdso, PID, area, nothing)
    assert kernel.told.tell(SeenFile(0, 8192, 0, 0, 0), vdso, PID, area, nothing)
    assert not tell(kernel, SeenFile(0, 4096, 0, 0, 0), binary())


def test_the_oldest_goes_and_its_number_is_nobodys(kernel: Kernel) -> None:
    numbers = set()
    for n in range(1, 5 * SLOTS):
        assert tell(kernel, seen(n), binary(n))
        numbers.add(kernel.entry(seen(n))[2])
        assert len(kernel.numbers.slots) <= SLOTS
    assert len(numbers) == 5 * SLOTS - 1
    # A slot is not used again at once: a walk may still read it.
    last = [kernel.numbers.slots[struct.pack("=QQQII", *seen(n))] for n in range(5 * SLOTS - 10, 5 * SLOTS)]
    assert len(set(last)) == 10


def test_files_that_no_path_leads_to_come_open_and_are_closed(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebtop.process.places._OPEN_MAX", 2)
    given: list[int] = []

    def opened() -> int:
        fd = os.open("/proc/self/exe", os.O_RDONLY)
        # Each with a number of its own, also after one was closed.
        given.append(fcntl.fcntl(fd, fcntl.F_DUPFD, 300 + len(given)))
        os.close(fd)
        return given[-1]

    for n in range(1, 5):
        assert tell(kernel, seen(n), binary(n), opened)
        assert tell(kernel, seen(n), binary(n), opened)
    assert len(given) == 4
    first, last = (kernel.entry(seen(n))[2] for n in (1, 4))
    assert kernel.files.take_open(first) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(given[0])
    fd = kernel.files.take_open(last)
    assert fd == given[3]
    assert kernel.files.take_open(last) is None
    os.close(fd)
    kernel.files.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(given[2])
