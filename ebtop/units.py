"""Numbers and addresses as people read them: short, with a unit, always the same width class."""

from __future__ import annotations

import time

_DECIMAL = ("", "k", "M", "G", "T", "P")
_BINARY = ("", "K", "M", "G", "T", "P")


def count(value: float) -> str:
    """A number of things: 0, 950, 1,234, 98,765, 123k, 4.5M."""
    return f"{round(value):,}" if abs(value) < 99_999.5 else _scaled(value, 1000, _DECIMAL)


def rate(value: float) -> str:
    """Things a second: 0, 0.4, 12, 1.2k."""
    if 0 < value < 9.95:
        return f"{value:.1f}"
    return str(round(value)) if value < 999.5 else _scaled(value, 1000, _DECIMAL)


def size(value: float) -> str:
    """Bytes in powers of 1024: 0, 812, 1.2K, 34M."""
    return _scaled(value, 1024, _BINARY)


def mebibytes(value: float) -> str:
    """Bytes as MiB with one decimal: 12.4 MiB."""
    return f"{value / 2**20:.1f} MiB"


def percent(value: float) -> str:
    """A percentage: 0.12 %, 9.80 %, 45.2 %, 100 %."""
    if value >= 99.95:
        return f"{value:.0f} %"
    return f"{value:.2f} %" if value < 9.995 else f"{value:.1f} %"


def share(part: float, whole: float) -> str:
    """`part` of `whole` in whole percent; never rounded up to 100 %, nor down to 0 %."""
    if whole <= 0:
        return "-"
    if 0 < part < whole:
        return f"{min(99, max(1, round(100 * part / whole)))} %"
    return "100 %" if part else "0 %"


def duration(seconds: float | None) -> str:
    """A length of time: -, 320us, 12ms, 1.2s, 45s, 3m05s, 2h10m, 4d03h."""
    if seconds is None:
        return "-"
    if seconds < 0.001:
        return f"{max(0, round(seconds * 1e6))}us"
    if seconds < 0.9995:
        return f"{round(seconds * 1e3)}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole // 60 % 60:02}m"
    return f"{whole // 86_400}d{whole // 3600 % 24:02}h"


def latency(milliseconds: float) -> str:
    """A latency: 85us, 1.25ms, 340ms, 3.02s."""
    if milliseconds < 1:
        return f"{round(milliseconds * 1000)}us"
    if milliseconds < 9.995:
        return f"{milliseconds:.2f}ms"
    return f"{milliseconds:.0f}ms" if milliseconds < 999.5 else f"{milliseconds / 1000:.2f}s"


def power_of_two_us(exponent: int) -> str:
    """2**exponent microseconds, rounded down to a short label: 1us, 512us, 1ms, 16s."""
    value = 1 << exponent
    if value < 1000:
        return f"{value}us"
    return f"{value // 1000}ms" if value < 1_000_000 else f"{value // 1_000_000}s"


def wall_date(time_ns: int) -> str:
    """Day and minute, local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_ns // 1_000_000_000))


def wall_clock(time_ns: int) -> str:
    """Nanoseconds since the Unix epoch as local HH:MM:SS."""
    return time.strftime("%H:%M:%S", time.localtime(time_ns // 1_000_000_000))


def endpoint(address: str, port: int) -> str:
    """address:port, an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def plural(number: int, singular: str, many: str = "") -> str:
    """1 map, 2 maps; 2 processes when `many` is given."""
    return f"{number:,} {singular if number == 1 else many or singular + 's'}"


def _scaled(value: float, base: int, suffixes: tuple[str, ...]) -> str:
    step = 0
    while abs(value) >= base - 0.5 and step < len(suffixes) - 1:
        value, step = value / base, step + 1
    if not step:
        return str(round(value))
    return f"{value:.1f}{suffixes[step]}" if abs(value) < 9.95 else f"{value:.0f}{suffixes[step]}"
