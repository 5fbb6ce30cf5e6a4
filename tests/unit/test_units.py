from __future__ import annotations

import pytest

from ebtop import units


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (999, "999"), (1234, "1,234"), (98_765, "98,765"), (123_456, "123k"), (4_500_000, "4.5M")],
)
def test_count(value: float, text: str) -> None:
    assert units.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.4, "0.4"), (9.94, "9.9"), (9.96, "10"), (12.3, "12"), (999.4, "999"), (1234, "1.2k")],
)
def test_rate(value: float, text: str) -> None:
    assert units.rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (812, "812"),
        (1023, "1023"),
        (1024, "1.0K"),
        (1229, "1.2K"),
        (10_240, "10K"),
        (1023.9 * 1024, "1.0M"),
        (34 * 2**20, "34M"),
        (5 * 2**50, "5.0P"),
        (5000 * 2**50, "5000P"),
    ],
)
def test_size(value: float, text: str) -> None:
    assert units.size(value) == text
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.00032, "320us"),
        (0.012, "12ms"),
        (0.9994, "999ms"),
        (0.9996, "1.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (185, "3m05s"),
        (3599.6, "1h00m"),
        (7800, "2h10m"),
        (86_400 * 4 + 3 * 3600, "4d03h"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0.085, "85us"), (1.25, "1.25ms"), (9.996, "10ms"), (340.4, "340ms"), (999.7, "1.00s"), (3021, "3.02s")],
)
def test_latency(ms: float, text: str) -> None:
    assert units.latency(ms) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.00 %"), (0.123, "0.12 %"), (9.996, "10.0 %"), (45.25, "45.2 %"), (100, "100 %")]
)
def test_percent(value: float, text: str) -> None:
    assert units.percent(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 10, "0 %"), (10, 10, "100 %"), (9999, 10_000, "99 %"), (1, 10_000, "1 %"), (1, 2, "50 %"), (0, 0, "-")],
)
def test_share_is_whole_only_when_it_is(part: float, whole: float, text: str) -> None:
    assert units.share(part, whole) == text


@pytest.mark.parametrize(
    ("exponent", "text"), [(0, "1us"), (9, "512us"), (10, "1ms"), (19, "524ms"), (20, "1s"), (24, "16s")]
)
def test_power_of_two_us(exponent: int, text: str) -> None:
    assert units.power_of_two_us(exponent) == text


def test_endpoint() -> None:
    assert units.endpoint("10.0.0.1", 443) == "10.0.0.1:443"
    assert units.endpoint("2001:db8::1", 443) == "[2001:db8::1]:443"


def test_plural() -> None:
    assert units.plural(1, "map") == "1 map"
    assert units.plural(0, "map") == "0 maps"
    assert units.plural(1200, "process", "processes") == "1,200 processes"


def test_mebibytes() -> None:
    assert units.mebibytes(13 * 2**20) == "13.0 MiB"
