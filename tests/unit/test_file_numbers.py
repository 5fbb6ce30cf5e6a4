from __future__ import annotations

import json
import random
import sqlite3

import pytest

from ebtop.store.file import schema
from ebtop.store.file.interning import Interned
from ebtop.store.records import Frame
from tests.unit.record_makers import stack


@pytest.fixture
def database() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.executescript(schema.statements())
    return made


@pytest.mark.parametrize("at_hand", [1, 3, 10, 1000])
def test_each_text_has_one_number_however_few_are_at_hand(database: sqlite3.Connection, at_hand: int) -> None:
    chance, names, said = random.Random(at_hand), Interned(database, at_hand), dict[str, int]()
    for _ in range(200):
        texts = [chance.choice([None, *(f"text {n}" for n in range(40))]) for _ in range(chance.randrange(12))]
        for text, number in zip(texts, names.texts(texts), strict=True):
            assert (number is None) == (text is None)
            if text is not None and number is not None:
                assert said.setdefault(text, number) == number
    names.flush()
    assert {text: number for number, text in database.execute("SELECT id, text FROM strings")} == said


@pytest.mark.parametrize("at_hand", [1, 3, 1000])
def test_each_stack_and_task_is_stored_once(database: sqlite3.Connection, at_hand: int) -> None:
    chance, names = random.Random(at_hand), Interned(database, at_hand)
    numbers: dict[tuple[Frame, ...], int | None] = {}
    for _ in range(100):
        records = [
            stack(1, *chance.choices("abcd", k=chance.randrange(4)), pid=chance.randrange(5))
            for _ in range(chance.randrange(1, 8))
        ]
        for record, number in zip(records, names.stacks([each.frames for each in records]), strict=True):
            assert numbers.setdefault(record.frames, number) == number
        names.tasks(records)
        names.flush()
    named = dict(database.execute("SELECT f.id, s.text FROM frame_rows f JOIN strings s ON s.id = f.name"))
    assert sorted(named.values()) == ["a", "b", "c", "d"]
    paths = {number: json.loads(frames) for number, frames in database.execute("SELECT id, frames FROM stack_paths")}
    assert {number: [frame.name for frame in frames] for frames, number in numbers.items()} == {
        number: [named[frame] for frame in path] for number, path in paths.items()
    }
    assert database.execute("SELECT count(*) FROM task_rows").fetchone() == (5,)
