"""Perf maps: lines, replaced code, limits."""

from __future__ import annotations

import random

import pytest

from ebtop.store.records import Frame
from ebtop.symbols import perf_map
from ebtop.symbols.perf_map import PerfMap


def made(*lines: str) -> PerfMap:
    result = PerfMap()
    result.extend("".join(line + "\n" for line in lines).encode())
    return result


def name(entries: PerfMap, address: int) -> str | None:
    frame = entries.frame(address)
    return frame.name if frame else None


def test_entries_by_address() -> None:
    entries = made("7f00 10 JS:*first file.js:1:2", "7f20 8 second")
    assert [name(entries, a) for a in (0x7EFF, 0x7F00, 0x7F0F, 0x7F10, 0x7F20, 0x7F28)] == [
        None,
        "JS:*first file.js:1:2",
        "JS:*first file.js:1:2",
        None,
        "second",
        None,
    ]


def test_kinds() -> None:
    entries = made("1000 10 LazyCompile:*x", "2000 10 py::main:/srv/app.py")
    assert entries.frame(0x1000) == Frame("LazyCompile:*x", "jit", "")
    assert entries.frame(0x2000) == Frame("py::main:/srv/app.py", "interpreted", "")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(("1000 20 old", "1000 20 new"), {0x1000: "new"}, id="same place"),
        pytest.param(("1000 100 old", "1040 10 new"), {0x1040: "new", 0x1000: None}, id="inside an old one"),
        pytest.param(("1040 10 old", "1000 100 new"), {0x1000: "new", 0x1045: "new"}, id="around an old one"),
        pytest.param(("1000 20 a", "1020 20 b", "1010 20 c"), {0x1000: None, 0x1010: "c", 0x1035: None}, id="across"),
        pytest.param(("1020 20 a", "1010 18 b", "1000 18 c"), {0x1020: None, 0x103F: None, 0x1010: "c"}, id="chain"),
    ],
)
def test_later_entries_replace_what_they_overlap(lines: tuple[str, ...], expected: dict[int, str | None]) -> None:
    together = made(*lines)
    one_by_one = PerfMap()
    for line in lines:
        one_by_one.extend(line.encode() + b"\n")
    for address, wanted in expected.items():
        assert name(together, address) == wanted
        assert name(one_by_one, address) == wanted


def test_against_a_plain_model() -> None:
    chance = random.Random(3)
    entries = PerfMap()
    memory: dict[int, str] = {}
    for i in range(400):
        start, size = chance.randrange(0, 2000), chance.randrange(1, 40)
        gone = {memory[a] for a in range(start, start + size) if a in memory}
        memory = {a: n for a, n in memory.items() if n not in gone}
        memory.update(dict.fromkeys(range(start, start + size), f"f{i}"))
        entries.extend(f"{start:x} {size:x} f{i}\n".encode())
        if i % 20 == 0:
            assert {a: n for a in range(2100) if (n := name(entries, a))} == memory


def test_a_line_may_come_in_two_parts() -> None:
    entries = PerfMap()
    entries.extend(b"1000 10 fir")
    assert name(entries, 0x1000) is None
    entries.extend(b"st\n2000 10 second\n")
    assert name(entries, 0x1000) == "first"
    assert name(entries, 0x2000) == "second"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"1000",
        b"1000 10",
        b"xyz 10 n",
        b"-10 10 n",
        b"1000 0 n",
        b"1000 1ffffffff n",
        b"1" * 40 + b" 1 n",
        b"\xff",
    ],
)
def test_lines_that_are_none(line: bytes) -> None:
    entries = PerfMap()
    entries.extend(line + b"\n2000 10 good\n")
    assert len(entries) == 1
    assert name(entries, 0x2000) == "good"


def test_hostile_names_are_printable_and_bounded() -> None:
    entries = made("1000 10 \x1b]0;title\x07" + "A" * 100_000)
    text = name(entries, 0x1000)
    assert text is not None
    assert text.isprintable()
    assert len(text) < 10_000


def test_line_without_end_takes_no_memory() -> None:
    entries = PerfMap()
    for _ in range(100):
        entries.extend(b"A" * 100_000)
    assert entries.nbytes < 100_000


def test_the_oldest_are_forgotten_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf_map, "ENTRIES_MAX", 100)
    entries = PerfMap()
    for i in range(1000):
        entries.extend(f"{0x1000 + i * 16:x} 10 f{i}\n".encode())
    assert 50 <= len(entries) <= 100
    assert name(entries, 0x1000 + 999 * 16) == "f999"
    assert name(entries, 0x1000) is None
