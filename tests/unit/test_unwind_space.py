"""Room for mappings in the kernel's array, tables as the kernel's words, and stacks on their way back."""

from __future__ import annotations

import os
import random
import struct
import threading
from collections.abc import Iterator

import pytest

from ebtop.kernel.artifact import MapSpec
from ebtop.kernel.maps import Map
from ebtop.process.mappings import MappedFile, Mapping, Mappings
from ebtop.unwind.arena import base_address, words
from ebtop.unwind.ends import End
from ebtop.unwind.handed_over import HandedOver, WalkedStack
from ebtop.unwind.mapping_space import MappingSpace, Span
from ebtop.unwind.rule import GAP, LAYOUT, Rule
from ebtop.unwind.table import TableBuilder, UnwindTable

SIZE = 64
PAGE_BITS, IN_PAGE = 12, 4095


class MemoryMap(Map):
    """A file in the place of a map that can be mapped."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("spans")
        os.ftruncate(self.fd, 4096)
        self.spec = MapSpec("unwind_mappings", 2, 4, 32, SIZE, 0)

    def spans(self, first: int, count: int) -> list[Span]:
        data = os.pread(self.fd, 32 * count, 32 * first)
        return [Span(*fields) for fields in struct.iter_unpack("=QQQIxxxx", data)]


@pytest.fixture
def memory() -> Iterator[MemoryMap]:
    made = MemoryMap()
    yield made
    made.close()


def spans(count: int, seed: int) -> list[Span]:
    return [Span(seed << 32 | n << 12, seed << 32 | n << 12 | IN_PAGE, seed, n) for n in range(count)]


def test_blocks_never_overlap_and_room_comes_back(memory: MemoryMap) -> None:
    space = MappingSpace(memory)
    draw = random.Random(7)
    blocks: dict[int, tuple[int, list[Span]]] = {}
    for seed in range(1, 600):
        content = spans(draw.randrange(1, 12), seed)
        first = space.put(content)
        if first is None or draw.random() < 0.2:
            for old in draw.sample(sorted(blocks), len(blocks) // 2):
                space.remove(blocks[old][0], len(blocks.pop(old)[1]))
            space.settle()
        if first is not None:
            blocks[seed] = first, content
        for at, expected in blocks.values():
            assert memory.spans(at, len(expected)) == expected
    for at, content in blocks.values():
        space.remove(at, len(content))
    space.settle()
    assert space.put(spans(SIZE, 1)) == 0
    space.close()


def test_what_is_removed_is_not_written_over_at_once(memory: MemoryMap) -> None:
    space = MappingSpace(memory)
    assert space.put(spans(SIZE, 1)) == 0
    space.remove(0, SIZE)
    assert space.put(spans(1, 2)) is None
    space.settle()
    assert space.put(spans(1, 2)) == 0
    space.close()


def test_a_span_gets_a_table(memory: MemoryMap) -> None:
    space = MappingSpace(memory)
    space.put(spans(3, 1))
    space.set_table(1, -4096, 9)
    first, second, third = memory.spans(0, 3)
    assert second[2:] == ((1 << 64) - 4096, 9)
    assert [first, third] == [spans(3, 1)[0], spans(3, 1)[2]]
    space.close()


def find(data: bytes, address: int) -> Rule:
    """As read_rule() of bpf/unwind.h, `address` counted from where the table starts."""
    (pages, rules_at), cells = struct.unpack_from("=II", data), memoryview(data).cast("Q")
    page = address >> PAGE_BITS
    entry = cells[1 + page] if page < pages else 0
    row, count = entry & 0xFFFFFFFF, entry >> 32
    if not count:
        return GAP
    rows = memoryview(data).cast("I")[2 * (1 + pages) :]
    key = (address & 0xFFFF) << 16 | 0xFFFF
    while count > 1:
        half = count >> 1
        row += half if rows[row + half] <= key else 0
        count -= half
    return Rule._make(LAYOUT.unpack_from(data, 8 * rules_at + LAYOUT.size * (rows[row] & 0xFFFF)))


@pytest.mark.parametrize("start", [0, 0x1000, 0xF000, 0x10000, 0x12345, 0x7FFFF0])
def test_words_hold_the_rules_of_the_table(start: int) -> None:
    draw = random.Random(start)
    builder = TableBuilder()
    at = start
    for _ in range(300):
        at += draw.choice((0, 16, 5000))
        size = draw.choice((16, 300, 9000))
        builder.add(at, at + size, [0 << 16 | 1, *(step << 16 | draw.randrange(1, 9) for step in (4, 9))])
        at += size
    table: UnwindTable = builder.build(b"".join(Rule(n).pack() for n in range(9)))
    data, base = words(table), base_address(table)
    assert base % 0x10000 == 0
    for address in [draw.randrange(start, at + 8192) for _ in range(3000)] + [start, at, at - 1]:
        assert find(data, address - base) == table.rule(address)


def test_a_stack_that_is_there() -> None:
    handed_over = HandedOver()
    handed_over.begin()
    walked = WalkedStack((1, 2), End.WHOLE)
    handed_over.put(77, walked)
    assert [handed_over.take(77, 1.0, 0.0), handed_over.take(77, 1.0, 0.0)] == [walked, walked]


def test_a_stack_is_waited_for() -> None:
    handed_over = HandedOver(lambda: 100.0)
    handed_over.begin()
    walked = WalkedStack((1,), End.TOO_DEEP)
    asked = threading.Event()

    def answer() -> None:
        asked.wait()
        handed_over.settle(99.0)  # not as far as this sample yet
        handed_over.put(77, walked)

    thread = threading.Thread(target=answer)
    thread.start()
    asked.set()
    assert handed_over.take(77, 100.0, 60.0) == walked
    thread.join()


def test_who_waits_wakes_whoever_walks() -> None:
    handed_over = HandedOver(lambda: 100.0)
    woken: list[float] = []

    def wake() -> None:
        woken.append(1.0)
        threading.Thread(target=handed_over.settle, args=(100.0,)).start()

    handed_over.begin(wake)
    assert handed_over.take(77, 100.0, 60.0) is None
    assert len(woken) == 1
    assert handed_over.take(77, 100.0, 60.0) is None  # known by now not to come
    handed_over.wait(100.0, 60.0)
    assert len(woken) == 1
    handed_over.begin(wake)
    handed_over.wait(100.0, 60.0)
    assert len(woken) == 2
    handed_over.begin(wake)
    handed_over.end()
    handed_over.wait(100.0, 60.0)
    assert len(woken) == 2


def test_a_stack_that_was_lost_is_not_waited_for() -> None:
    handed_over = HandedOver(lambda: 100.0)
    handed_over.begin()
    handed_over.settle(100.0)
    assert handed_over.take(77, 100.0, 60.0) is None
    handed_over.begin()
    handed_over.end()
    assert handed_over.take(77, 100.0, 60.0) is None
    assert HandedOver(lambda: 100.0).take(77, 100.0, 60.0) is None


def test_stacks_nobody_takes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebtop.unwind.handed_over._KEPT_MAX", 3)
    handed_over = HandedOver()
    for n in range(9):
        handed_over.put(n, WalkedStack((n,), 0))
    assert [n for n in range(9) if handed_over.take(n, 0.0, 0.0)] == [6, 7, 8]


def program(inode: int) -> Mappings:
    return Mappings([Mapping(0x1000, 0x2000, 0, MappedFile(1, inode, b"/bin/x", deleted=False))])


def test_mappings_of_a_process_that_is_gone_are_given_once_oldest_first() -> None:
    handed_over = HandedOver(lambda: 100.0)
    shell, compiler = program(1), program(2)
    handed_over.put_mappings(7, shell)
    handed_over.put_mappings(8, compiler)
    handed_over.put_mappings(7, compiler)
    assert handed_over.take_mappings(7) == [shell, compiler]
    assert handed_over.take_mappings(7) == []
    for _ in range(100):
        handed_over.put_mappings(8, shell)
    assert len(handed_over.take_mappings(8)) <= 3


def test_mappings_that_nobody_takes_are_forgotten_after_a_while() -> None:
    now = [100.0]
    handed_over = HandedOver(lambda: now[0])
    for pid in range(10):
        handed_over.put_mappings(pid, program(1))
        now[0] += 10
    assert [pid for pid in range(10) if handed_over.take_mappings(pid)] == [5, 6, 7, 8, 9]


def test_what_nothing_was_put_of_is_asked_for_also_after_the_end() -> None:
    handed_over = HandedOver()
    assert handed_over.recent_mappings(7) == []
    handed_over.begin(recent=lambda pid: [program(pid)])
    handed_over.end()
    assert handed_over.recent_mappings(7) == [program(7)]


def test_waiting_for_what_happened_ends_when_it_is_there_or_nobody_walks() -> None:
    handed_over = HandedOver()
    handed_over.wait(100.0, 60.0)
    handed_over.begin()
    threading.Timer(0.01, handed_over.settle, (101.0,)).start()
    handed_over.wait(100.0, 60.0)
    handed_over.begin()
    handed_over.wait(100.0, 0.01)


def test_a_stack_may_come_until_all_have_or_it_is_too_late() -> None:
    now = 100.0
    handed_over = HandedOver(lambda: now)
    assert not handed_over.may_come(100.0)
    handed_over.begin()
    assert handed_over.may_come(100.0)
    handed_over.settle(100.0, stacks=False)
    assert handed_over.may_come(100.0)
    assert handed_over.take(77, 100.0, 0.0) is None
    now = 106.0
    assert not handed_over.may_come(100.0)
    assert handed_over.may_come(106.0)
    handed_over.settle(106.0)
    assert not handed_over.may_come(106.0)
