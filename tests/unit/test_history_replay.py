from __future__ import annotations

import random
from threading import Lock

import pytest

from ebtop.store.history.history import History
from ebtop.store.history.replay import Replay
from ebtop.store.records import Batch
from ebtop.store.store import Store
from tests.unit.record_makers import SECOND, at, batch, exec_

STATE = Store().state()


def made(number: int) -> Batch:
    return batch(exec_(number / 4, pid=number), time=number / 4)


def filled(count: int, packed: float, rnd: random.Random, keep_s: int = 600) -> History:
    """Four batches a second; how often the packer comes."""
    history = History(Lock(), keep_s * SECOND, 64 << 20)
    for number in range(count):
        history.arrive(at(number / 4), made(number), lambda: STATE)
        if rnd.random() < packed:
            history.work()
    return history


@pytest.mark.parametrize("before", [0, 0.02, 0.5])
@pytest.mark.parametrize("meanwhile", [0, 0.02, 0.1, 0.5])
def test_every_batch_comes_once_and_in_order_however_much_is_packed(before: float, meanwhile: float) -> None:
    rnd = random.Random(1)
    history = filled(500, before, rnd)
    replay, found = Replay(history.reach().chapters[0]), []
    until = 0.0
    reach = history.reach()
    while until < 130:
        until += rnd.choice((0.1, 0.5, 1, 7))
        if rnd.random() < 0.5:
            reach = history.reach()
        if rnd.random() < meanwhile:
            history.work()
        for arrived in replay.until(at(until), reach):
            assert arrived.time_ns <= at(until)
            found.append(arrived.batch)
            if rnd.random() < meanwhile / 10:
                history.work()
    assert found == [made(number) for number in range(500)]


def test_a_replay_whose_next_batch_is_gone_can_not_go_on() -> None:
    history = filled(100, 1.0, random.Random(1), keep_s=60)
    replay = Replay(history.reach().chapters[0])
    assert len(list(replay.until(at(5), history.reach()))) == 21
    for number in range(100, 200):
        history.arrive(at(number / 4), made(number), lambda: STATE)
        history.work()
    assert replay.can_go_on(history.reach())
    for number in range(200, 800):
        history.arrive(at(number / 4), made(number), lambda: STATE)
        history.work()
    assert not replay.can_go_on(history.reach())


def test_a_chapter_that_is_not_packed_yet_has_its_state() -> None:
    history = filled(20, 0.0, random.Random(1))
    (chapter,) = history.reach().chapters
    assert chapter.state() is STATE
    history.work()
    assert chapter.is_packed
    assert chapter.state() == STATE
