"""Which processes the kernel is told of, and with how many calls."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from ebtop.kernel.artifact import MapSpec
from ebtop.kernel.maps import Map
from ebtop.process.mappings import Mapping, mapped_file
from ebtop.unwind.binaries import Binaries
from ebtop.unwind.images import Image
from ebtop.unwind.installed import Installed

PARENT, CHILD = 1 << 22, (1 << 22) + 1
"""Beyond what the kernel gives."""
LIMIT = 4


class SpanMap(Map):
    """A file in the place of the map of spans."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("spans")
        os.ftruncate(self.fd, 4096)
        self.spec = MapSpec("unwind_mappings", 2, 4, 32, 64, 0)


class ProcessMap(Map):
    """What the kernel knows, and what was asked of it."""

    def __init__(self) -> None:
        self.spec = MapSpec("unwind_processes", 1, 4, 24, LIMIT, 0)
        self.calls: list[str] = []
        self.blocks: dict[int, int] = {}
        """Where the mappings of each process begin."""

    def update(self, key: bytes, value: bytes, *, only_new: bool = False) -> bool:
        (pid,) = struct.unpack("=I", key)
        self.calls.append("update")
        self.blocks[pid] = struct.unpack_from("=QI", value)[1]
        assert len(self.blocks) <= LIMIT
        return True

    def delete(self, key: bytes) -> None:
        self.calls.append("delete")
        del self.blocks[struct.unpack("=I", key)[0]]


@pytest.fixture
def processes() -> ProcessMap:
    return ProcessMap()


@pytest.fixture
def installed(processes: ProcessMap) -> Iterator[Installed]:
    spans = SpanMap()
    made = Installed({"unwind_processes": processes, "unwind_mappings": spans}, Binaries())
    yield made
    made.close()
    spans.close()


def image(pid: int, count: int = 2) -> Image:
    mappings = [Mapping(n << 20, (n + 1) << 20, 0, mapped_file(8, n, b"/lib")) for n in range(1, count + 1)]
    return Image(pid, mappings, whole=True)


def test_the_kernel_knows_a_process_once_it_was_told(installed: Installed, processes: ProcessMap) -> None:
    installed.install(image(PARENT))
    assert PARENT in installed
    assert processes.calls == []
    installed.tell()
    installed.inherit(PARENT, CHILD)
    installed.tell()
    assert processes.blocks[PARENT] == processes.blocks[CHILD]
    installed.remove(PARENT)
    installed.tell()
    assert [*processes.blocks] == [CHILD]
    assert processes.calls == ["update", "update", "delete"]


def test_a_process_that_began_and_ended_in_between_costs_no_call(installed: Installed, processes: ProcessMap) -> None:
    installed.install(image(PARENT))
    installed.tell()
    for _ in range(50):
        installed.inherit(PARENT, CHILD)
        installed.remove(CHILD)
    installed.tell()
    assert processes.calls == ["update"]
    assert CHILD not in installed


def test_of_a_number_that_is_used_again_the_kernel_gets_the_latest(installed: Installed, processes: ProcessMap) -> None:
    installed.install(image(PARENT))
    installed.tell()
    first = processes.blocks[PARENT]
    installed.remove(PARENT)
    installed.install(image(PARENT, 5))
    installed.tell()
    assert processes.calls == ["update", "update"]
    assert processes.blocks[PARENT] != first


def test_there_are_never_more_than_fit(installed: Installed, processes: ProcessMap) -> None:
    for n in range(3 * LIMIT):
        installed.install(image(PARENT + n))
        if n % 5 == 4:
            installed.tell()
    installed.tell()
    assert sorted(processes.blocks) == [PARENT + n for n in range(2 * LIMIT, 3 * LIMIT)]
    assert len(installed) == LIMIT


def test_what_could_not_be_told_is_not_told_later(
    installed: Installed, processes: ProcessMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A map that takes nothing must not make the list of what it is to take ever longer."""
    with monkeypatch.context() as patch:
        patch.setattr(ProcessMap, "update", lambda *_: (_ for _ in ()).throw(OSError(7, "no room")))
        installed.install(image(PARENT))
        with pytest.raises(OSError, match="no room"):
            installed.tell()
    installed.tell()
    assert processes.calls == []
