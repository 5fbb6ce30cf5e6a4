"""What holds symbols stays within its bounds and gives back what was put in."""

from __future__ import annotations

import random
from array import array

import pytest

from ebtop.store.records import Frame
from ebtop.symbols.frames import FrameCache
from ebtop.symbols.lru import ByteLru
from ebtop.symbols.packed import BLOCK, NAME_MAX, PackedStrings
from ebtop.symbols.table import TableBuilder, best_alias


class Blob:
    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes


@pytest.mark.parametrize("chunk", [1, 100, BLOCK - 1, BLOCK, 5 * BLOCK])
def test_packed_strings_come_back(chunk: int) -> None:
    chance = random.Random(chunk)
    names = [b"_ZN%dfunction%dE" % (chance.randrange(99), i) * chance.randrange(1, 9) for i in range(3000)]
    data = b"\0".join(names) + b"\0"
    strings = PackedStrings()
    for at in range(0, len(data), chunk):
        assert strings.append(data[at : at + chunk]) == at
    assert len(strings) == len(data)
    at = 0
    for name in names:
        assert strings.string(at) == name
        assert strings.string(at + len(name) // 2) == name[len(name) // 2 :]
        at += len(name) + 1
    assert strings.nbytes < len(data) / 2


def test_packed_strings_outside_and_without_end() -> None:
    strings = PackedStrings()
    strings.append(b"x" * (3 * BLOCK))
    assert strings.string(BLOCK - 10) == b"x" * NAME_MAX
    assert strings.string(3 * BLOCK - 5) == b"x" * 5
    assert strings.string(3 * BLOCK) == b""
    assert strings.string(1 << 40) == b""


def test_table_against_a_plain_search() -> None:
    chance = random.Random(5)
    strings = PackedStrings()
    builder = TableBuilder(0x400000, strings)
    functions = []
    at = 0x400000
    for i in range(2000):
        at += chance.randrange(0, 5000)
        size = chance.randrange(1, 4000)
        functions.append((at, size, b"f%d" % i))
        at += size
    for start, size, name in chance.sample(functions, len(functions)):
        builder.add(start, size, strings.append(name + b"\0"))
    table = builder.build()
    assert len(table) == len(functions)
    for start, size, name in functions:
        for address, expected in ((start, name), (start + size - 1, name)):
            assert table.name(address) == expected
    starts = array("Q", [start for start, _, _ in functions])
    for address in (chance.randrange(0x400000, at) for _ in range(2000)):
        inside = [name for start, size, name in functions if start <= address < start + size]
        assert table.name(address) == (inside[0] if inside else None)
        assert table.next_start(address) == next((s for s in starts if s > address), None)
    assert table.nbytes < 2000 * 12 + strings.nbytes + 100


def test_functions_outside_the_span_are_left_out() -> None:
    strings = PackedStrings()
    builder = TableBuilder(0x1000, strings)
    builder.add(0xFFF, 16, strings.append(b"below\0"))
    builder.add(0x1000 + (1 << 32), 16, strings.append(b"above\0"))
    assert len(builder.build()) == 0


@pytest.mark.parametrize(
    ("names", "best"),
    [
        ((b"__write", b"write", b"__libc_write"), b"write"),
        ((b"cfree", b"free", b"__libc_free"), b"free"),
        ((b"_ZN1AC2Ev", b"_ZN1AC1Ev"), b"_ZN1AC1Ev"),
    ],
)
def test_best_alias(names: tuple[bytes, ...], best: bytes) -> None:
    assert best_alias(names) == best
    assert best_alias(reversed(names)) == best


def test_lru_drops_what_was_not_used() -> None:
    cache: ByteLru[Blob] = ByteLru(100)
    first, second, third = Blob(40), Blob(40), Blob(40)
    cache.put("first", first)
    cache.put("second", second)
    assert cache.get("first") is first
    cache.put("third", third)
    assert cache.get("second") is None
    assert cache.get("first") is first
    assert cache.nbytes == 80


def test_lru_counts_a_value_that_grew_once() -> None:
    cache: ByteLru[Blob] = ByteLru(100)
    blob = Blob(10)
    cache.put("a", blob)
    blob.nbytes = 50
    cache.put("a", blob)
    assert cache.nbytes == 50
    cache.remove("a")
    assert cache.nbytes == 0


def test_lru_keeps_one_that_is_too_large() -> None:
    cache: ByteLru[Blob] = ByteLru(100)
    cache.put("small", Blob(10))
    cache.put("large", Blob(1000))
    assert len(cache) == 1
    assert cache.get("large") is not None
    cache.put("small", Blob(10))
    assert cache.nbytes == 10


def test_frame_cache_keeps_what_is_used() -> None:
    cache = FrameCache(40_000)
    hot = Frame("hot", "native", "")
    cache.put("hot", hot)
    for i in range(10_000):
        cache.put(i, Frame("cold" * 20, "native", ""))
        assert cache.nbytes <= 40_000
        if i % 20 == 0:
            assert cache.get("hot") is hot
    assert cache.get(0) is None
    assert cache.get(9999) is not None
    cache.clear()
    assert cache.get("hot") is None
    assert cache.nbytes == 0
