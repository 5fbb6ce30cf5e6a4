"""Tables of what HotSpot generated: from its own words about frames, and from the instructions around them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebtop.hotspot.code_cache import CodeBlob
from ebtop.hotspot.jvm import find_libjvm, open_jvm
from ebtop.process.mappings import MappedFile, Mapping, read_mappings
from ebtop.process.memory import UnreadableMemory
from ebtop.process.processes import Processes
from ebtop.unwind import java_code
from ebtop.unwind.images import Image
from ebtop.unwind.java_code import JavaCode, JavaTable
from ebtop.unwind.java_frames import frames, needs_code
from ebtop.unwind.jvms import Jvms, is_generated
from ebtop.unwind.rule import GAP, NOT_READ, Cfa, FramePointer, Rule
from tests.lab import jvm

CALLED = Rule(Cfa.REGISTER, 7, cfa_offset=8)


def framed(offset: int) -> Rule:
    return Rule(Cfa.REGISTER, 7, FramePointer.AT_CFA, cfa_offset=offset, frame_pointer_offset=-16)


def blob(name: bytes = b"nmethod", words: int = 8, complete: int = 12) -> CodeBlob:
    return CodeBlob(0x1000, name, 0x1100, 0x1200, words, complete, 0x5000)


BANG = b"\x89\x84\x24\x00\xc0\xfe\xff"
PUSH = b"\x55\x48\x83\xec\x30"
SUB = b"\x48\x83\xec\x38\x48\x89\x6c\x24\x30"
LEAVE = b"\x48\x83\xc4\x30\x5d"
POLL = b"\x49\x3b\xa7\x40\x03\x00\x00\x0f\x87\x11\x22\x33\x44"


def test_a_method_of_a_compiler_that_pushes() -> None:
    code = BANG + PUSH + b"\x90" * 20 + LEAVE + POLL + b"\xc3" + b"\x90" * 8
    end = 32 + len(LEAVE + POLL) + 1
    assert frames(blob(), code) == [
        (0, CALLED), (8, framed(16)), (12, framed(64)),
        (36, framed(16)), (37, framed(8)), (end, framed(64)),
    ]  # fmt: skip


def test_a_method_of_a_compiler_that_moves() -> None:
    assert frames(blob(), SUB + b"\x90" * 9) == [(0, CALLED), (4, CALLED._replace(cfa_offset=64)), (9, framed(64))]


def test_a_method_whose_entry_was_patched_away() -> None:
    assert frames(blob(), b"\xe9\x11\x22\x33\x44\xfe\xff" + PUSH)[:3] == [
        (0, CALLED),
        (8, framed(16)),
        (12, framed(64)),
    ]


def test_large_frames() -> None:
    code = b"\x55\x48\x81\xec\x00\x10\x00\x00" + b"\x48\x81\xc4\x00\x10\x00\x00\x5d\xc3"
    assert frames(blob(words=0x1010 // 8), code) == [
        (0, CALLED), (1, framed(16)), (8, framed(0x1010)), (15, framed(16)), (16, framed(8)), (17, framed(0x1010)),
    ]  # fmt: skip


def test_what_only_looks_like_a_frame() -> None:
    other = b"\x55\x48\x83\xec\x18" + b"\x48\x83\xc4\x18\x5d\xc3"
    assert frames(blob(), other) == [(0, CALLED), (12, framed(64))]
    assert frames(blob(), BANG + PUSH + LEAVE + b"\x06") == [(0, CALLED), (8, framed(16)), (12, framed(64))]
    assert frames(blob(complete=-1), b"") == [(0, framed(64))]


def test_what_is_no_method() -> None:
    assert frames(blob(b"Interpreter"), b"") == []
    assert frames(blob(b"RuntimeStub - x", 5), b"") == [(0, framed(40))]
    assert frames(blob(b"I2C/C2I adapters", 0), b"") == []
    assert frames(blob(b"native nmethod", 0), b"") == [(0, CALLED)]
    assert frames(blob(words=1 << 20), b"") == []
    assert [needs_code(blob(name)) for name in (b"nmethod", b"Interpreter")] == [True, False]


pieces = st.lists(
    st.sampled_from([BANG, PUSH, SUB, LEAVE, POLL, b"\xc3", b"\x90", b"\x48\x83\xc4\x30\x5d\xc3"]), max_size=30
)


@given(
    code=st.binary(max_size=300) | pieces.map(b"".join), words=st.integers(-10, 1 << 31), complete=st.integers(-5, 400)
)
def test_whatever_the_code_is(code: bytes, words: int, complete: int) -> None:
    for size in (words, 8):
        found = frames(blob(words=size, complete=complete), code)
        offsets = [offset for offset, _ in found]
        assert offsets == sorted(set(offsets))
        assert not found or offsets[0] == 0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module", params=[17, 25])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jvm.program(tmp_path_factory.mktemp("jvm"), request.param)


@pytest.fixture
def running(program: Path) -> Iterator[jvm.Running]:
    running = jvm.Running(program)
    yield running
    running.end()


def rule(tables: list[JavaTable], address: int) -> Rule:
    (found,) = [t for t in tables if t.low <= address < t.high]
    return found.table.rule(address - found.bias)


def opened(running: jvm.Running, clock: Clock) -> JavaCode:
    processes = Processes()
    process = processes.get(running.pid)
    assert process is not None
    library = find_libjvm(process)
    assert library is not None
    return JavaCode(open_jvm(processes, process, library), clock)


def test_tables_of_a_running_program(running: jvm.Running) -> None:
    running.start()
    clock = Clock()
    code = opened(running, clock)
    tables = code.update()
    assert tables is not None
    run, adapter = running.code["run"], running.code["adapter"]
    assert [rule(tables, run + at) for at in (0, 11, 12, 699)] == [CALLED, CALLED, framed(48), framed(48)]
    assert rule(tables, running.code["interpreter"] + 100) == GAP
    assert rule(tables, adapter + 4096) == NOT_READ
    assert rule(tables, tables[0].high - 1) == NOT_READ
    assert code.update() is None
    new = running.add()
    tables = code.update()
    assert tables is not None
    assert [rule(tables, new + at) for at in (0, 12, 299)] == [CALLED, framed(48), framed(48)]
    assert rule(tables, run + 12) == framed(48)
    running.do("f")
    assert code.update() is None, "the segment map says nothing of it"
    clock.now += java_code.LOOK_AGAIN_S
    tables = code.update()
    assert tables is not None
    assert rule(tables, run + 12) == NOT_READ
    code.close()


def test_a_jvm_that_ends(running: jvm.Running) -> None:
    running.start()
    code = opened(running, Clock())
    running.end()
    with pytest.raises(UnreadableMemory):
        code.update()
    code.close()


def test_jvms_are_found_and_forgotten(running: jvm.Running) -> None:
    clock = Clock()
    jvms = Jvms(clock)
    running.start()
    for pid in (os.getpid(), running.pid):
        jvms.note(pid, list(read_mappings(pid)))
    (table,) = jvms.new_tables()[running.pid]
    assert is_generated(table.mapping.file)
    assert table.mapping.start <= running.code["run"] < table.mapping.end
    assert table.table.rule(running.code["run"] + 12 - table.bias) == framed(48)
    running.add()
    assert jvms.new_tables() == {}, "not so often"
    clock.now += 0.1
    (newer,) = jvms.tables_now(running.pid)
    assert newer.mapping.file != table.mapping.file
    assert jvms.tables_now(running.pid) == []
    running.end()
    clock.now += 2
    assert jvms.new_tables() == {}
    assert jvms.tables_now(running.pid) == []
    jvms.close()


def file_of(path: bytes) -> MappedFile:
    return MappedFile(1, 2 if path.startswith(b"/usr") else 0, path, False)


def test_generated_code_takes_its_part_of_an_image() -> None:
    anonymous = Mapping(0x10000, 0x90000, 0, file_of(b""))
    library = Mapping(0xA0000, 0xB0000, 0x1000, file_of(b"/usr/lib/libjvm.so"))
    image = Image(1, [anonymous, library], whole=True)
    code = Mapping(0x20000, 0x30000, 0, file_of(b"//java/1/1"))
    image.changed = False
    image.set_generated([code])
    assert image.changed
    assert [image.find(at) for at in (0x1FFFF, 0x20000, 0x2FFFF, 0xA0000, 0xB0000)] == [
        anonymous._replace(end=0x20000), code, code, library, None,
    ]  # fmt: skip
    assert image.find(0x30000) == anonymous._replace(start=0x30000, offset=0x20000)
    assert image.mappings == [anonymous, library]
    image.add(library._replace(start=0x20000, end=0x28000))
    assert image.find(0x20000) == code
    image.set_generated([])
    assert image.find(0x20000) == library._replace(start=0x20000, end=0x28000)
