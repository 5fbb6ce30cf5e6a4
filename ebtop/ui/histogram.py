"""A log2 latency histogram: range, count and bar, failed ones in another colour."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.store.records import ConnectHistogram
from ebtop.ui.strips import Line, Run, StripWidget, fit
from ebtop.units import count, power_of_two_us

_EIGHTHS = " ▏▎▍▌▋▊▉"


class Histogram(StripWidget):
    """Draws a ConnectHistogram; neighbouring buckets are joined when there are more than rows."""

    def __init__(self) -> None:
        super().__init__()
        self.histogram = ConnectHistogram((), ())
        self.partial = False

    def show(self, histogram: ConnectHistogram, *, partial: bool = False) -> None:
        """`partial`: it is only of the connects over the threshold and those that failed."""
        self.histogram, self.partial = histogram, partial
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        ok, failed = self.histogram
        buckets = rows(ok, failed, height - 1 - self.partial)
        total = sum(ok) + sum(failed)
        lines = [
            Line(
                (
                    (fit("   latency", 13), "dim"),
                    (fit("count", 6, right=True), "dim"),
                    (f"  of {count(total)}", "faint"),
                )
            )
        ]
        if self.partial:
            lines.append(Line(((fit("   slow and failed ones only", width), "warn"),)))
        largest = max((good + bad for _, _, good, bad in buckets), default=0)
        room = max(1, width - 22)
        for low, high, good, bad in buckets:
            label = f" {power_of_two_us(low) if low else '0':>5}–{power_of_two_us(high):<5} "
            lines.append(
                Line(
                    (
                        (label, "dim"),
                        (fit(count(good + bad), 6, right=True) + " ", "text" if good + bad else "faint"),
                        *_bar(good, bad, largest, room),
                    )
                )
            )
        return lines


def rows(ok: Sequence[int], failed: Sequence[int], limit: int) -> list[tuple[int, int, int, int]]:
    """Buckets from the first to the last that is not empty, joined to at most `limit` rows.

    Each is (low, high, ok, failed): latencies in [2**low, 2**high) microseconds.
    """
    length = max(len(ok), len(failed))
    good = list(ok) + [0] * (length - len(ok))
    bad = list(failed) + [0] * (length - len(failed))
    used = [i for i in range(length) if good[i] or bad[i]]
    if not used or limit < 1:
        return []
    first, end = used[0], used[-1] + 1
    step = -(-(end - first) // limit)
    return [
        (low, min(low + step, end), sum(good[low : min(low + step, end)]), sum(bad[low : min(low + step, end)]))
        for low in range(first, end, step)
    ]


def quantile(ok: Sequence[int], failed: Sequence[int], share: float) -> int | None:
    """The exponent of the upper bound in microseconds of the bucket that holds the quantile; None when empty."""
    both = [a + b for a, b in zip(_padded(ok, len(failed)), _padded(failed, len(ok)), strict=True)]
    wanted, seen = share * sum(both), 0
    for exponent, number in enumerate(both):
        seen += number
        if number and seen >= wanted:
            return exponent + 1
    return None


def _padded(values: Sequence[int], length: int) -> list[int]:
    return list(values) + [0] * (length - len(values))


def _bar(good: int, bad: int, largest: int, room: int) -> list[Run]:
    if not largest:
        return []
    eighths = round((good + bad) * room * 8 / largest)
    if good + bad:
        eighths = max(1, eighths)
    bad_cells = round(bad * eighths / 8 / (good + bad)) if bad else 0
    if bad and not good:
        return [(_blocks(eighths), "bad")]
    return [("█" * bad_cells, "bad"), (_blocks(eighths - 8 * bad_cells), "good")]


def _blocks(eighths: int) -> str:
    full, part = divmod(max(0, eighths), 8)
    return "█" * full + (_EIGHTHS[part] if part else "")
