from __future__ import annotations

from ebtop.probes.stacks import SampleKey, SampleSum
from ebtop.probes.still_blocked import NOBODY, Block, StillBlocked

S = 10**9
MS = 10**6


def key(user: int = 1, waker: int = 0) -> SampleKey:
    return SampleKey(user, 2, 0, 3, 4, 5, b"prog", b"prog", 1, waker, b"waker" if waker else NOBODY)


def counted(waker: int, samples: int, ns: int) -> tuple[SampleKey, SampleSum]:
    return key(waker=waker), SampleSum(samples, ns)


def test_a_long_wait_is_told_of_as_it_lasts_and_all_told_once() -> None:
    still = StillBlocked(0)
    began = 100 * S
    told = []
    for second in range(1, 5):
        told += still.look({7: Block(began, key())}, began - S // 2 + second * S)
        assert still.settle([]) == []
    assert [ns for _, ns in told] == [1500 * MS, S, S]
    assert {who for who, _ in told} == {key()}
    # It ends: the kernel counts all of it, for the one who woke it.
    assert still.look({}, began + 4 * S) == []
    assert still.settle([counted(9, 1, 3700 * MS)]) == [counted(9, 1, 200 * MS)]


def test_what_is_counted_one_drain_later_than_it_is_missed() -> None:
    still = StillBlocked(0)
    still.look({7: Block(0, key())}, S)
    assert still.look({7: Block(0, key())}, 2 * S) == [(key(), 2 * S)]
    # It ended between the flip and the look: this half does not have it.
    still.look({}, 3 * S)
    assert still.settle([]) == []
    still.look({}, 4 * S)
    assert still.settle([counted(9, 3, 5 * S)]) == [counted(9, 3, 3 * S)]
    still.look({}, 5 * S)
    assert still.settle([counted(9, 1, S)]) == [counted(9, 1, S)]


def test_what_the_kernel_lost_is_not_owed_for_ever() -> None:
    still = StillBlocked(0)
    still.look({}, S)
    still.look({7: Block(0, key())}, 2 * S)
    for second in range(3, 8):
        still.look({}, second * S)
        still.settle([])
    assert still.settle([counted(9, 1, S)]) == [counted(9, 1, S)]


def test_short_waits_are_left_to_the_kernel() -> None:
    still = StillBlocked(0)
    for second in range(1, 5):
        assert still.look({7: Block(second * S - 10 * MS, key())}, second * S) == []
        assert still.settle([counted(0, 40, 400 * MS)]) == [counted(0, 40, 400 * MS)]


def test_one_thread_blocks_again_in_the_same_place() -> None:
    still = StillBlocked(0)
    still.look({7: Block(0, key())}, S)
    assert still.look({7: Block(0, key())}, 2 * S) == [(key(), 2 * S)]
    assert still.look({7: Block(2500 * MS, key())}, 3 * S) == []
    assert still.settle([counted(9, 1, 2400 * MS)]) == [counted(9, 1, 400 * MS)]


def test_who_is_already_woken_and_not_yet_running_is_the_same_wait() -> None:
    still = StillBlocked(0)
    still.look({7: Block(0, key())}, S)
    still.look({7: Block(0, key())}, 2 * S)
    assert still.look({7: Block(0, key(waker=9))}, 3 * S) == [(key(), S)]


def test_two_threads_in_one_stack_add_up() -> None:
    still = StillBlocked(0)
    still.look({}, S)
    both = {7: Block(0, key()), 8: Block(0, key())}
    assert still.look(both, 2 * S) == [(key(), 2 * S), (key(), 2 * S)]
    still.look({}, 3 * S)
    assert still.settle([counted(9, 1, 2100 * MS), counted(10, 1, 2200 * MS)]) == [
        counted(9, 1, 0),
        counted(10, 1, 300 * MS),
    ]


def test_the_last_look_tells_of_everything() -> None:
    still = StillBlocked(0)
    still.look({}, S)
    assert still.look({7: Block(1900 * MS, key())}, 2 * S, final=True) == [(key(), 100 * MS)]


def test_nothing_shorter_than_the_threshold_is_told_of() -> None:
    still = StillBlocked(5 * S)
    blocked = {7: Block(0, key())}
    told = [ns for second in range(1, 8) for _, ns in still.look(blocked, second * S)]
    assert told == [5 * S, S, S]
    assert StillBlocked(5 * S).look({7: Block(0, key())}, 2 * S, final=True) == []
