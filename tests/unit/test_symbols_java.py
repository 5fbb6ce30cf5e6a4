"""Names of what a JVM generated, from tables like HotSpot's in a process whose contents are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ebtop.hotspot.code_cache import CodeBlob
from ebtop.hotspot.jvm import Jvm, find_libjvm, open_jvm
from ebtop.hotspot.vm_structs import EXPORTS, UnknownVm, read_vm_structs
from ebtop.process.memory import ProcessMemory, UnreadableMemory
from ebtop.process.processes import Processes
from ebtop.store.records import Frame
from ebtop.symbols.symbolizer import Symbolizer
from tests.lab import jvm
from tests.lab.jvm import Running

NAMES = {
    "interpreter": Frame("[Java interpreter]", "interpreted", ""),
    "run": Frame("org.shop.Cart$Item.total", "jit", ""),
    "hidden": Frame("Shop$$Lambda.run", "jit", ""),
    "native": Frame("java.lang.Object.hashCode", "jit", ""),
    "adapter": Frame("[I2C/C2I adapters]", "jit", ""),
}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module", params=[17, 25])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return jvm.program(tmp_path_factory.mktemp("jvm"), request.param)


@pytest.fixture
def running(program: Path) -> Iterator[Running]:
    running = Running(program)
    yield running
    running.end()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def symbolizer(clock: Clock) -> Symbolizer:
    return Symbolizer(clock=clock)


def one(symbolizer: Symbolizer, running: Running, what: str, offset: int = 40) -> Frame:
    frames, _ = symbolizer.stack(running.pid, [running.code[what] + offset], [])
    return frames[0]


def opened(running: Running) -> Jvm:
    processes = Processes()
    process = processes.get(running.pid)
    assert process is not None
    library = find_libjvm(process)
    assert library is not None
    return open_jvm(processes, process, library)


def test_every_kind_of_code_has_its_name(running: Running, symbolizer: Symbolizer) -> None:
    running.start()
    assert {what: one(symbolizer, running, what) for what in NAMES} == NAMES
    # The interpreter is so large that its segments lead back in several steps.
    assert one(symbolizer, running, "interpreter", 15_990) == NAMES["interpreter"]
    assert one(symbolizer, running, "adapter", 20_000) == Frame("[JIT java]", "jit", "")


def test_a_jvm_that_was_just_starting_when_first_looked_at(
    running: Running, symbolizer: Symbolizer, clock: Clock
) -> None:
    assert symbolizer.stack(running.pid, [0x1000], [])[0] == (Frame("[unknown]", "unknown", ""),)
    running.start()
    clock.now += 10
    assert one(symbolizer, running, "run") == NAMES["run"]


def test_code_that_was_replaced_has_its_new_name_within_a_second(
    running: Running, symbolizer: Symbolizer, clock: Clock
) -> None:
    running.start()
    assert one(symbolizer, running, "run") == NAMES["run"]
    running.do("r")
    clock.now += 1.1
    assert one(symbolizer, running, "run").name == "org.shop.Other.method"
    running.do("f")
    clock.now += 1.1
    assert one(symbolizer, running, "run", 41).name == "[JIT java]"


def test_names_stay_known_when_the_jvm_has_ended(running: Running, symbolizer: Symbolizer, clock: Clock) -> None:
    running.start()
    assert one(symbolizer, running, "run") == NAMES["run"]
    running.end()
    clock.now += 5
    assert one(symbolizer, running, "run") == NAMES["run"]


def test_all_code_by_address(running: Running) -> None:
    running.start()
    jvm = opened(running)
    (heap,) = jvm.code_cache.heaps(jvm.memory)
    blobs = list(jvm.code_cache.blobs(jvm.memory, heap))
    assert [blob.name for blob in blobs] == [
        b"StubRoutines (1)", b"Interpreter", b"nmethod", b"nmethod", b"native nmethod", b"I2C/C2I adapters",
    ]  # fmt: skip
    run: CodeBlob = blobs[2]
    assert (run.begin, run.end - run.begin) == (running.code["run"], 700)
    assert (run.frame_size, run.frame_complete) == (6, 12)
    assert [jvm.code_cache.blob_at(jvm.memory, heap, blob.begin) for blob in blobs] == blobs
    assert jvm.code_cache.blob_at(jvm.memory, heap, heap.high - 1) is None
    jvm.memory.close()


def test_tables_that_make_no_sense(running: Running) -> None:
    """Any export may lie anywhere in the process's memory: an error, not another exception, and no endless reading."""
    running.start()
    jvm = opened(running)
    with open(f"/proc/{running.pid}/maps") as maps:
        starts = [int(line.partition("-")[0], 16) for line in maps if line.partition(" ")[2].startswith("r")]
    for start in starts:
        for name in EXPORTS:
            exports = dict.fromkeys(EXPORTS, start + 64) | {name: start}
            with pytest.raises((UnknownVm, UnreadableMemory)):
                read_vm_structs(jvm.memory, exports)
    jvm.memory.close()


def test_memory_of_a_process_that_is_gone(running: Running) -> None:
    running.start()
    memory = ProcessMemory(running.pid)
    address = running.code["run"]
    assert len(memory.read(address, 16)) == 16
    for wrong in (0, 8, -8, 1 << 63, 1 << 64, 1 << 70):
        with pytest.raises(UnreadableMemory):
            memory.read(wrong, 8)
    running.end()
    with pytest.raises(UnreadableMemory):
        memory.read(address, 16)
    memory.close()
    with pytest.raises(UnreadableMemory):
        ProcessMemory(running.pid)
