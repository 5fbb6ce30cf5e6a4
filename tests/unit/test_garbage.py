"""When garbage is looked for."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ebtop.ui.garbage import Garbage


class Collections:
    """Counts them; each takes so long by its own clock."""

    def __init__(self) -> None:
        self.now, self.takes_s, self.count = 1000.0, 0.01, 0

    def collect(self) -> None:
        self.now += self.takes_s
        self.count += 1


@pytest.fixture
def collections() -> Collections:
    return Collections()


@pytest.fixture
def garbage(collections: Collections) -> Iterator[Garbage]:
    garbage = Garbage(lambda: collections.now, collections.collect)
    garbage.begin()
    collections.count = 0
    yield garbage
    garbage.end()


def seconds(garbage: Garbage, collections: Collections, count: int, *, typing: bool = False) -> int:
    """Ticks, one a second; returns how many collections there were."""
    before = collections.count
    for _ in range(count):
        collections.now += 1
        if typing:
            garbage.typed()
        garbage.tick()
    return collections.count - before


def test_python_leaves_it_to_us_meanwhile(collections: Collections) -> None:
    garbage = Garbage(lambda: collections.now, collections.collect)
    assert gc.isenabled()
    garbage.begin()
    assert not gc.isenabled()
    garbage.end()
    assert gc.isenabled()


def test_twice_a_minute_while_nobody_types(garbage: Garbage, collections: Collections) -> None:
    assert seconds(garbage, collections, 29) == 0
    assert seconds(garbage, collections, 2) == 1
    assert seconds(garbage, collections, 600) in (19, 20)


def test_not_while_somebody_types_but_for_ever(garbage: Garbage, collections: Collections) -> None:
    assert seconds(garbage, collections, 290, typing=True) == 0
    assert seconds(garbage, collections, 20, typing=True) == 1
    assert seconds(garbage, collections, 10) == 0
    assert seconds(garbage, collections, 20) == 1


def test_soon_after_the_last_key(garbage: Garbage, collections: Collections) -> None:
    seconds(garbage, collections, 100, typing=True)
    assert seconds(garbage, collections, 1) == 0
    assert seconds(garbage, collections, 1) == 1


def test_rarer_where_it_takes_long(garbage: Garbage, collections: Collections) -> None:
    collections.takes_s = 0.5
    assert seconds(garbage, collections, 31) == 1
    assert seconds(garbage, collections, 98) == 0
    assert seconds(garbage, collections, 4) == 1


def test_at_once_where_very_much_is_new(
    garbage: Garbage, collections: Collections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc, "get_count", lambda: (600_000, 0, 0))
    assert seconds(garbage, collections, 1, typing=True) == 1
