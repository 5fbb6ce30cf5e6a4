from __future__ import annotations

from ebtop.store.rates import EventRates, IntervalRate
from tests.unit.record_makers import at


def test_last_full_second_is_the_one_before_the_current() -> None:
    rates = EventRates()
    rates.count("execs", at(1.0))
    rates.count("execs", at(1.999999999))
    rates.count("exits", at(1.5), 7)
    rates.count("execs", at(2.0))
    rates.covered(at(2.1))
    assert rates.last_full_second(at(2.2)) == {"execs": 2, "exits": 7}


def test_a_second_that_is_not_drained_yet_is_not_shown() -> None:
    rates = EventRates()
    rates.count("execs", at(1.5), 10)
    rates.count("execs", at(2.5), 3)
    rates.covered(at(2.9))
    assert rates.last_full_second(at(3.05)) == {"execs": 10}
    rates.count("execs", at(2.95), 7)
    rates.covered(at(3.0))
    assert rates.last_full_second(at(3.1)) == {"execs": 10}


def test_silence_is_zero() -> None:
    rates = EventRates()
    rates.count("execs", at(1.5), 10)
    rates.covered(at(2))
    assert rates.last_full_second(at(2.5)) == {"execs": 10}
    assert rates.last_full_second(at(9)) == {}


def test_a_source_ahead_of_the_clock_does_not_show_a_second_that_is_not_over() -> None:
    rates = EventRates()
    rates.count("execs", at(1.5), 10)
    rates.count("execs", at(7.5), 99)
    rates.covered(at(8.5))
    assert rates.last_full_second(at(2.5)) == {"execs": 10}
    assert rates.last_full_second(at(7.9)) == {}


def test_history_is_the_full_seconds_since_then_of_the_last_minute() -> None:
    rates = EventRates()
    for second in range(100):
        rates.count("retransmits", at(second), second)
    rates.count("retransmits", at(50), 1000)
    rates.covered(at(100.5))
    assert rates.history("retransmits", at(100.5), at(97.2)) == (97, 98, 99)
    assert rates.history("retransmits", at(103), at(99)) == (99, 0, 0)
    assert rates.history("retransmits", at(100.5), at(0)) == (*range(40, 50), 1050, *range(51, 100))
    assert rates.history("retransmits", at(100.5), 0) == ()


def test_old_seconds_are_let_go() -> None:
    rates = EventRates()
    for second in range(10_000):
        rates.count("execs", at(second))
    assert len(rates._seconds) <= 64


def test_interval_rate_is_that_of_the_last_interval() -> None:
    rate = IntervalRate()
    rate.add(100)
    rate.close(at(10), 2.0)
    rate.add(999)
    assert rate.rate(at(11)) == 50.0
    rate.close(at(12), 3.0)
    assert rate.rate(at(12)) == 333.0


def test_interval_of_unknown_length_has_no_rate() -> None:
    rate = IntervalRate()
    rate.add(100)
    rate.close(at(10), 0)
    assert rate.rate(at(10)) == 0.0


def test_interval_rate_goes_stale() -> None:
    rate = IntervalRate()
    rate.add(100)
    rate.close(at(10), 1)
    assert rate.rate(at(15)) == 100
    assert rate.rate(at(15.1)) == 0


def test_long_intervals_stay_fresh_for_longer() -> None:
    rate = IntervalRate()
    rate.add(100)
    rate.close(at(100), 10)
    assert rate.rate(at(130)) == 10
    assert rate.rate(at(130.1)) == 0
