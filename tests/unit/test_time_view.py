from __future__ import annotations

import time

import pytest

from ebtop.ui.time_view import SECOND_NS, TimeView, parse_time

NOON = 1_700_049_600 * SECOND_NS  # 2023-11-15 12:00:00 UTC


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("11:58", -120 + 1),
        ("11:58:30", -90 + 1),
        (" 11:58:30 ", -90 + 1),
        ("-5m", -300),
        ("-90s", -90),
        ("-90", -90),
        ("-1.5m", -90),
        ("12:01", -86_400 + 60 + 1),  # still to come today: yesterday is meant
    ],
)
def test_a_time_is_read(text: str, seconds: int) -> None:
    at_ns = parse_time(text, NOON)
    assert at_ns is not None
    # A clock time means the whole of its second.
    assert at_ns // SECOND_NS == (NOON + seconds * SECOND_NS - (1 if ":" in text else 0)) // SECOND_NS


@pytest.mark.parametrize("text", ["", "noon", "25:00", "11:60", "11:58:61", "5m", "--5m", "-5d", "1:2:3:4"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_time(text, NOON) is None


def test_steps_stay_within_what_is_kept_and_end_live() -> None:
    view = TimeView()
    oldest, newest = NOON - 600 * SECOND_NS, NOON
    assert view.stepped(-1, oldest, newest) == NOON - SECOND_NS
    view.stop(NOON - SECOND_NS, 0.0, 0)
    assert view.stepped(-60, oldest, newest) == NOON - 61 * SECOND_NS
    assert view.stepped(-3600, oldest, newest) == oldest
    assert view.stepped(1, oldest, newest) == NOON
    assert view.stepped(2, oldest, newest) is None


def test_what_was_seen_before_is_counted_from_the_first_stop() -> None:
    view = TimeView()
    view.stop(NOON, 10.0, 100)
    view.stop(NOON - SECOND_NS, 12.0, 150)
    assert (view.stopped_at, view.seen_before) == (10.0, 100)
    view.go_on()
    assert view.live
