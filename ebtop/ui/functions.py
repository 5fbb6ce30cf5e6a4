"""The flat view: every function once, wherever it was called from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from textual.message import Message

from ebtop.store.flame_functions import Function
from ebtop.store.flame_window import FlameWindow
from ebtop.store.records import Frame
from ebtop.store.stack_kinds import CPU, FAULTS, OFFCPU, PAGE_BYTES
from ebtop.ui.frame_line import KIND_STYLES, KIND_WORDS
from ebtop.ui.stack_words import cpus
from ebtop.ui.table import Column, Table, number
from ebtop.units import count, duration, percent, size


class FunctionRow(NamedTuple):
    """One function. Shares are percent of all weight in the window."""

    function: Function
    own: float
    """Samples, seconds blocked, or page faults; as `total`."""
    own_share: float
    own_rate: float | None
    """CPUs kept busy, seconds blocked a second, or bytes a second."""
    total: float
    total_share: float
    total_rate: float | None


class _Measure(NamedTuple):
    """How the figures of a kind of stacks are told."""

    unit: str
    text: Callable[[float], str]
    rate_title: str
    rate_text: Callable[[float], str]
    rate_words: str


_MEASURES = {
    CPU: _Measure("samples", count, "CPUS", cpus, "CPUs kept busy, estimated"),
    OFFCPU: _Measure("blocked time", duration, "TIME/S", duration, "time blocked a second, of all threads together"),
    FAULTS: _Measure("page faults", count, "MEM/S", size, "bytes a second: faults times the page size, a floor"),
}


def _figures(kind: str) -> tuple[Column[FunctionRow], ...]:
    unit, text, title, rate_text, rate_words = _MEASURES[kind]
    return (
        number("SELF", 7, lambda r: r.own, text, f"{unit} in the function itself", rank=3),
        number("SELF %", 7, lambda r: r.own_share, percent, f"the same, of all {unit}", "strong"),
        number(title, 6, lambda r: r.own_rate, rate_text, f"{rate_words}, in the function itself", rank=2),
        number("TOTAL", 7, lambda r: r.total, text, f"{unit} in it and in what it called", rank=4),
        number("TOTAL %", 7, lambda r: r.total_share, percent, f"the same, of all {unit}; recursion counts once"),
        number(title, 6, lambda r: r.total_rate, rate_text, f"{rate_words}, in it and in what it called", rank=5),
    )


_ABOUT: tuple[Column[FunctionRow], ...] = (
    Column(
        "KIND",
        11,
        lambda r: KIND_WORDS.get(r.function.frame.kind, r.function.frame.kind),
        "kernel, native, interpreted, JIT code, or no symbol",
        lambda r: KIND_STYLES.get(r.function.frame.kind, "dim"),
        lambda r: r.function.frame.kind,
        rank=6,
    ),
    Column(
        "MODULE",
        13,
        lambda r: r.function.frame.module,
        "the binary, library or kernel module it is in",
        "dim",
        lambda r: r.function.frame.module or None,
        stretch=1,
        rank=1,
    ),
    Column(
        "FUNCTION",
        20,
        lambda r: r.function.frame.name,
        "its name",
        "text",
        lambda r: r.function.frame.name,
        stretch=3,
        middle=True,
    ),
)


COLUMNS: dict[str, tuple[Column[FunctionRow], ...]] = {kind: (*_figures(kind), *_ABOUT) for kind in _MEASURES}
"""By kind of stacks."""


class FunctionsTable(Table[FunctionRow]):
    """Most time of their own first, until sorted otherwise."""

    class CursorMoved(Message):
        """The cursor stands on another function."""

    def __init__(self) -> None:
        super().__init__(COLUMNS[CPU], key=_frame_of)
        self._sort_by_own()

    def turn_to_kind(self, kind: str) -> None:
        """Show functions of this kind of stacks from now on."""
        self.turn_to(COLUMNS[kind], _frame_of)
        if self.sort_column is None:
            self._sort_by_own()

    def _sort_by_own(self) -> None:
        self.sort_column = next(column for column in self.columns if column.title == "SELF %")

    def move_to(self, index: int) -> None:
        super().move_to(index)
        self.post_message(self.CursorMoved())

    @property
    def under_cursor(self) -> FunctionRow | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.rows else None


def function_rows(window: FlameWindow, functions: list[Function]) -> tuple[FunctionRow, ...]:
    """Rows of a table from weights in a window's tree."""
    whole = window.tree.total[0] or 1
    return tuple(
        [
            FunctionRow(
                function,
                _amount(window, function.own),
                100 * function.own / whole,
                _rate(window, function.own),
                _amount(window, function.total),
                100 * function.total / whole,
                _rate(window, function.total),
            )
            for function in functions
        ]
    )


def _frame_of(row: FunctionRow) -> Frame:
    return row.function.frame


def _amount(window: FlameWindow, weight: int) -> float:
    if window.kind == CPU:
        return window.samples_of(weight)
    return weight / 1e9 if window.kind == OFFCPU else weight


def _rate(window: FlameWindow, weight: int) -> float | None:
    if window.kind == CPU:
        return window.cpus_of(weight)
    rate = window.rate_of(weight)
    return None if rate is None else rate / 1e9 if window.kind == OFFCPU else rate * PAGE_BYTES
