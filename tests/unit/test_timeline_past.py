"""Any moment that is kept looks as the live view looked then."""

from __future__ import annotations

import random

import pytest

from ebtop.store.records import Batch
from ebtop.store.rows import Snapshot
from ebtop.store.timeline import Timeline
from tests.unit.history_workload import Node
from tests.unit.record_makers import EPOCH, SECOND

SECONDS = 100


class Clock:
    """Stands where it is set."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> int:
        return self.now


class Lived:
    """A timeline with some history, and what its view showed at the end of each second."""

    def __init__(self, seed: int, seconds: int = SECONDS, **timeline: int) -> None:
        self.clock = Clock()
        self.timeline = Timeline(self.clock, **timeline)
        self.batches: list[tuple[int, Batch]] = []
        self.shown: list[Snapshot] = []
        view, node = self.timeline.view(), Node(seed)
        for number in range(seconds):
            for arrives, batch in node.second(number):
                self.clock.now = arrives
                self.batches.append((arrives, batch))
                self.timeline.ingest(batch)
            self.clock.now = EPOCH + (number + 1) * SECOND + 5_000_000
            self.shown.append(view.snapshot())


@pytest.fixture(scope="module")
def lived() -> Lived:
    return Lived(seed=1)


def assert_same(past: Snapshot, shown: Snapshot) -> None:
    for name, then, live in zip(Snapshot._fields, past, shown, strict=True):
        assert then == live, name


def test_every_kept_second_is_as_it_was_shown(lived: Lived) -> None:
    for shown in lived.shown:
        assert_same(lived.timeline.at(shown.time_ns), shown)


def test_jumping_about_gives_the_same(lived: Lived) -> None:
    rnd = random.Random(2)
    for _ in range(40):
        shown = rnd.choice(lived.shown)
        assert_same(lived.timeline.at(shown.time_ns), shown)
