"""What is mapped where, as the side band tells it."""

from __future__ import annotations

import os

import pytest

from ebtop.kernel.side_band import Ended, Forked, NewMapping, NewProgram, SideBandEvent
from ebtop.process.mappings import Mapping, mapped_file
from ebtop.unwind.images import READ_AGAIN_S, Image, Images

PAGE = 4096
PID, CHILD = 1 << 22, (1 << 22) + 1
"""Beyond what the kernel gives."""


def mapping(start: int, pages: int, offset: int = 0, path: bytes = b"/lib") -> Mapping:
    return Mapping(start * PAGE, (start + pages) * PAGE, offset * PAGE, mapped_file(8, 5, path))


def told(start: int, pages: int, offset: int = 0, path: bytes = b"/lib", pid: int = PID) -> NewMapping:
    return NewMapping(0, pid, start * PAGE, pages * PAGE, offset * PAGE, 8, 5, path)


def after(*events: SideBandEvent) -> Images:
    images = Images()
    for event in (NewProgram(0, PID), *events):
        images.apply(event)
    return images


def found(images: Images, pid: int = PID) -> list[Mapping]:
    image = images.known(pid)
    assert image is not None
    return image.mappings


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
def test_a_mapping_takes_the_place_of_others(new: NewMapping, left: list[Mapping]) -> None:
    assert found(after(told(10, 6), new)) == left


def test_the_same_mapping_again_changes_nothing() -> None:
    images = after(told(10, 6))
    image = images.get(PID)
    image.changed = False
    images.apply(told(10, 6))
    assert not image.changed
    images.apply(told(30, 1))
    assert image.changed


def test_another_program_has_nothing_of_the_one_before() -> None:
    images = after(told(10, 6))
    before = images.known(PID)
    assert images.apply(NewProgram(1, PID)) is before
    assert found(images) == []


def test_children_have_what_their_parent_has_and_then_their_own() -> None:
    images = after(told(10, 6), Forked(1, CHILD, PID), told(30, 1, pid=CHILD), told(40, 1))
    assert found(images, CHILD) == [mapping(10, 6), mapping(30, 1)]
    assert found(images) == [mapping(10, 6), mapping(40, 1)]


def test_children_of_an_unknown_parent_are_unknown() -> None:
    images = after(told(10, 6, pid=CHILD), Forked(1, CHILD, PID + 5))
    assert images.known(CHILD) is None


def test_ended_processes_are_forgotten() -> None:
    images = after(told(10, 6))
    assert images.apply(Ended(1, PID)) is not None
    assert images.known(PID) is None
    assert images.apply(Ended(1, PID)) is None


def test_what_was_there_before_is_read_from_proc() -> None:
    images = Images()
    images.apply(told(1, 1, pid=os.getpid()))
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
        images.apply(NewProgram(0, pid))
    assert len(images) == 10
    assert images.known(PID) is None


def test_an_image_keeps_no_more_mappings_than_the_kernel_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebtop.unwind.images.MAPPINGS_MAX", 5)
    image = Image(PID, (), whole=True)
    for n in range(9):
        image.add(mapping(n * 2, 1))
    assert len(image.mappings) == 5
