from __future__ import annotations

import pytest

from ebtop.store.stack_queue import NOT_KEPT, StackQueue
from tests.unit.record_makers import at, stack


def test_stacks_are_handed_out_once() -> None:
    queue = StackQueue()
    queue.add([stack(1, "main", samples=3)], 1.0)
    assert queue.take() == ((stack(1, "main", samples=3),), {"cpu": 1.0})
    assert queue.take() == ((), {})


def test_equal_stacks_of_several_drains_become_one() -> None:
    queue = StackQueue()
    queue.add([stack(1, "main", "a", samples=3), stack(1, "main", "b")], 1.0)
    queue.add([stack(2, "main", "a", samples=4)], 0.5)
    stacks, sampled = queue.take()
    assert set(stacks) == {stack(2, "main", "a", samples=7), stack(1, "main", "b")}
    assert sampled == {"cpu": 1.5}


@pytest.mark.parametrize(
    "other",
    [{"pid": 1}, {"comm": "x"}, {"thread": "x"}, {"kind": "x"}, {"complete": False}, {"cut": "x"}, {"period_ns": 1}],
)
def test_stacks_that_differ_stay_apart(other: dict[str, object]) -> None:
    queue = StackQueue()
    queue.add([stack(1, "main")], 1.0)
    queue.add([stack(1, "main")._replace(**other)], 1.0)
    assert len(queue.take()[0]) == 2


def test_a_drain_without_samples_still_covers_its_seconds() -> None:
    queue = StackQueue()
    queue.add([stack(1, "main")], 1.0)
    queue.add([], 1.0)
    assert queue.take() == ((stack(1, "main"),), {"cpu": 2.0})


def test_a_stalled_reader_costs_bounded_memory_and_no_samples() -> None:
    queue = StackQueue(max_stacks=10)
    for second in range(50):
        queue.add([stack(second, "main", f"f{second}_{i}", samples=2) for i in range(4)], 1.0)
    stacks, sampled = queue.take()
    assert len(stacks) == 11
    assert sum(record.samples for record in stacks) == 50 * 4 * 2
    (rest,) = [record for record in stacks if record.frames == (NOT_KEPT,)]
    assert (rest.samples, rest.pid, rest.complete, rest.time_ns) == (2 * 190, 0, False, at(49))
    assert (queue.dropped, sampled) == (190, {"cpu": 50.0})


def test_a_full_queue_still_adds_to_the_stacks_it_holds() -> None:
    queue = StackQueue(max_stacks=1)
    queue.add([stack(1, "main")], 1.0)
    queue.add([stack(2, "main"), stack(2, "other")], 1.0)
    stacks, _ = queue.take()
    assert [(record.frames[0].name, record.samples) for record in stacks] == [("main", 2), (NOT_KEPT.name, 1)]
    assert queue.dropped == 1


def test_one_huge_drain_is_bounded_too() -> None:
    queue = StackQueue(max_stacks=10)
    queue.add([stack(1, f"f{i}") for i in range(100)], 1.0)
    stacks, _ = queue.take()
    assert (len(stacks), sum(record.samples for record in stacks)) == (11, 100)


def test_after_a_stall_the_queue_starts_afresh() -> None:
    queue = StackQueue(max_stacks=2)
    for second in range(5):
        queue.add([stack(second, f"f{second}")], 1.0)
    queue.take()
    queue.add([stack(9, "f9")], 1.0)
    assert queue.take() == ((stack(9, "f9"),), {"cpu": 1.0})
