"""What is mapped where, as the side band tells it."""

from __future__ import annotations

import os
import struct

import pytest

from ebtop.kernel.side_band import ENDED, EXECUTED, FORKED, MAPPED, SideBandEvent
from ebtop.process.mappings import Mapping, Mappings, mapped_file
from ebtop.unwind.images import READ_AGAIN_S, Happened, Image, Images, programs

PAGE = 4096
PID, CHILD = 1 << 22, (1 << 22) + 1
"""Beyond what the kernel gives."""


def mapping(start: int, pages: int, offset: int = 0, path: bytes = b"/lib") -> Mapping:
    return Mapping(start * PAGE, (start + pages) * PAGE, offset * PAGE, mapped_file(8, 5, path))


def told(start: int, pages: int, offset: int = 0, path: bytes = b"/lib", pid: int = PID) -> SideBandEvent:
    return 0, MAPPED, pid, 0, mmap2_record(pid, start * PAGE, pages * PAGE, offset * PAGE, path)


def mmap2_record(pid: int, start: int, length: int, offset: int, path: bytes, protection: int = 5) -> bytes:
    """PERF_RECORD_MMAP2 as the kernel writes it: of device 0:8, inode 5."""
    name = path + bytes(8 - len(path) % 8)
    body = struct.pack("=II QQQ IIQQ II", pid, pid, start, length, offset, 0, 8, 5, 0, protection, 2) + name
    time_and_more = struct.pack("=Q", 0)
    return struct.pack("=IHH", 10, 2, 8 + len(body) + 8) + body + time_and_more


def happened(kind: int, pid: int = PID, parent: int = 0) -> SideBandEvent:
    return 0, kind, pid, parent, b""


def apply(images: Images, *events: SideBandEvent) -> list[Happened]:
    return list(images.apply(events))


def after(*events: SideBandEvent) -> Images:
    images = Images()
    apply(images, happened(EXECUTED), *events)
    return images


def found(images: Images, pid: int = PID) -> list[Mapping]:
    return images.get(pid).mappings


def test_mappings_of_a_new_program() -> None:
    images = after(told(20, 2), told(10, 3))
    assert found(images) == [mapping(10, 3), mapping(20, 2)]
    image = images.get(PID)
    assert image.whole
    assert image.find(12 * PAGE + 1) == mapping(10, 3)
    assert image.find(13 * PAGE) is None
    assert image.find(0) is None


@pytest.mark.parametrize(
    ("new", "left"),
    [
        (told(10, 6, path=b"/new"), [mapping(10, 6, path=b"/new")]),
        (told(8, 20, path=b"/new"), [mapping(8, 20, path=b"/new")]),
        (told(8, 4, path=b"/new"), [mapping(8, 4, path=b"/new"), mapping(12, 4, 2)]),
        (told(14, 4, path=b"/new"), [mapping(10, 4), mapping(14, 4, path=b"/new")]),
        (told(12, 1, path=b"/new"), [mapping(10, 2), mapping(12, 1, path=b"/new"), mapping(13, 3, 3)]),
    ],
)
def test_a_mapping_takes_the_place_of_others(new: SideBandEvent, left: list[Mapping]) -> None:
    assert found(after(told(10, 6), new)) == left


def test_the_same_mapping_again_changes_nothing() -> None:
    images = after(told(10, 6))
    image = images.get(PID)
    image.changed = False
    assert apply(images, told(10, 6)) == [Happened(MAPPED, PID)]
    assert not image.changed
    apply(images, told(30, 1))
    assert image.changed


def test_another_program_has_nothing_of_the_one_before() -> None:
    images = after(told(10, 6))
    before = images.get(PID)
    assert apply(images, happened(EXECUTED)) == [Happened(EXECUTED, PID, 0, before)]
    assert found(images) == []


def test_what_a_process_did_lately_is_taken_in_when_somebody_asks() -> None:
    images = Images()
    lately = [told(5, 1), happened(EXECUTED), told(10, 6), told(20, 1)]
    image = images.get(PID, lately)
    assert image.mappings == [mapping(10, 6), mapping(20, 1)]
    assert image.whole
    # From then on it is known, and followed.
    assert PID in images.pids
    assert images.get(PID, [happened(EXECUTED)]) is image
    assert not Images().get(PID, [told(5, 1)]).whole


def test_of_one_that_ended_lately_there_is_nothing() -> None:
    images = Images()
    assert images.get(PID, [happened(EXECUTED), told(10, 6), happened(ENDED)]).mappings == []


def test_the_programs_of_a_process_one_after_the_other() -> None:
    first, second = told(10, 6), told(20, 1)
    did = [happened(FORKED, PID, 1), happened(EXECUTED), first, happened(EXECUTED), second, happened(ENDED)]
    assert programs(PID, did) == [Mappings([mapping(10, 6)]), Mappings([mapping(20, 1)])]
    assert programs(PID, did[:-1]) == programs(PID, did)
    assert programs(PID, []) == []


def test_memory_that_can_not_be_executed_is_nobodys_business() -> None:
    writable = mmap2_record(PID, 30 * PAGE, PAGE, 0, b"/data", protection=3)
    assert found(after(told(10, 1), (0, MAPPED, PID, 0, writable))) == [mapping(10, 1)]


def test_children_have_what_their_parent_has_and_then_their_own() -> None:
    images = after(told(10, 6), happened(FORKED, CHILD, PID), told(30, 1, pid=CHILD), told(40, 1))
    assert found(images, CHILD) == [mapping(10, 6), mapping(30, 1)]
    assert found(images) == [mapping(10, 6), mapping(40, 1)]


def test_children_of_an_unknown_parent_are_unknown() -> None:
    images = after(told(10, 6, pid=CHILD), happened(FORKED, CHILD, PID + 5))
    assert not images.get(CHILD).whole


def test_ended_processes_are_forgotten() -> None:
    images = after(told(10, 6))
    before = images.known(PID)
    assert apply(images, happened(ENDED)) == [Happened(ENDED, PID, 0, before)]
    assert len(images) == 0
    assert apply(images, happened(ENDED)) == [Happened(ENDED, PID)]


def test_what_was_there_before_is_read_from_proc() -> None:
    images = Images()
    apply(images, told(1, 1, pid=os.getpid()))
    own = images.get(os.getpid())
    assert own.whole
    assert any(m.file.path == b"[vdso]" for m in own.mappings)
    assert own.find(PAGE) is None


def test_proc_is_not_read_again_at_once() -> None:
    now = 100.0
    images = Images(lambda: now)
    own = images.get(os.getpid())
    own.set(())
    assert not images.read_again(own)
    now += READ_AGAIN_S
    assert images.read_again(own)
    assert own.mappings


def test_a_process_that_nobody_knows_is_empty() -> None:
    image = Images().get(PID)
    assert (image.mappings, image.whole) == ([], False)


def test_memory_without_a_file_is_no_file() -> None:
    (anonymous,) = found(after(told(10, 1, path=b"//anon")))
    assert (anonymous.file.path, anonymous.file.on_disk) == (b"", False)


def test_many_processes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebtop.unwind.images.IMAGES_MAX", 10)
    images = Images()
    for pid in range(PID, PID + 50):
        apply(images, happened(EXECUTED, pid))
    assert len(images) == 10


def test_an_image_keeps_no_more_mappings_than_the_kernel_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebtop.unwind.images.MAPPINGS_MAX", 5)
    image = Image(PID, (), whole=True)
    for n in range(9):
        image.add(mapping(n * 2, 1))
    assert len(image.mappings) == 5
