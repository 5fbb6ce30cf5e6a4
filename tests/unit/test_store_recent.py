from __future__ import annotations

import random

from ebtop.store.bounded import Bounded
from ebtop.store.recent import Recent, Window
from tests.unit.record_makers import at


def test_the_total_is_that_of_the_ten_full_seconds_before() -> None:
    recent = Recent()
    recent.add(100, 5)
    recent.add(103, 7)
    totals = [(now, recent.total(now)) for now in (103, 104, 110, 111, 113, 114, 500)]
    assert totals == [(103, 5), (104, 12), (110, 12), (111, 7), (113, 7), (114, 0), (500, 0)]


def test_late_amounts_count_for_the_latest_second() -> None:
    recent = Recent()
    recent.add(100, 5)
    recent.add(98, 2)
    assert recent.total(101) == 7


def test_a_clock_that_was_set_back_does_not_freeze_the_total() -> None:
    recent = Recent()
    recent.add(5000, 5)
    assert recent.total(5001) == 5
    assert recent.total(1000) == 0
    recent.add(1001, 3)
    assert recent.total(1002) == 3


def test_totals_are_those_of_counting_anew() -> None:
    choose = random.Random(4)
    recent, seen, now = Recent(), dict[int, int](), 1000
    for _ in range(2000):
        now += choose.choice((0, 0, 0, 1, 1, 2, 9, 10, 11, 40))
        if choose.random() < 0.7:
            amount = choose.randint(1, 9)
            recent.add(now, amount)
            seen[now] = seen.get(now, 0) + amount
        else:
            assert recent.total(now) == sum(seen.get(second, 0) for second in range(now - 10, now))
            restored = Recent.restored(recent.state())
            assert [restored.total(now + n) for n in range(12)] == [
                sum(seen.get(second, 0) for second in range(now + n - 10, now + n)) for n in range(12)
            ]


def test_a_rate_is_of_the_seconds_that_were_counted() -> None:
    recent = Recent()
    recent.add(at(3) // 10**9, 30)
    assert Window(at(5.5), since_ns=at(2)).rate(recent) == 10.0
    assert Window(at(4.5), since_ns=at(3.9)).rate(recent) == 30.0, "no less than a second"
    assert Window(at(12), since_ns=at(-500)).rate(recent) == 3.0
    assert Window(at(12)).rate(recent) == 3.0


def test_the_one_used_longest_ago_goes_first() -> None:
    held: Bounded[str, str] = Bounded(2)
    for key in "ab":
        held.add(key, key.upper())
    assert held.use("a") == "A"
    assert held.use("c") is None
    held.add("c", "C")
    assert list(held) == ["A", "C"]
    assert (len(held), held.let_go) == (2, 1)


def test_what_is_needed_is_passed_over_but_does_not_make_it_grow() -> None:
    held: Bounded[int, str] = Bounded(3, lambda entry: entry == "needed")
    held.add(1, "needed")
    held.add(2, "spare")
    held.add(3, "needed")
    held.add(4, "needed")
    assert sorted(key for key in (1, 2, 3, 4) if held.use(key)) == [1, 3, 4]
    held.add(5, "spare")
    assert len(held) == 3
    assert held.use(5) == "spare", "what has just come stays"
    assert held.let_go == 2
