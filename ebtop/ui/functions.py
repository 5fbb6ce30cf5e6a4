"""The flat view: every function once, wherever it was called from."""

from __future__ import annotations

from typing import NamedTuple

from textual.message import Message

from ebtop.store.flame_functions import Function
from ebtop.store.flame_window import FlameWindow
from ebtop.ui.frame_line import KIND_STYLES, KIND_WORDS, cpus
from ebtop.ui.table import Column, Table, number
from ebtop.units import count, percent


class FunctionRow(NamedTuple):
    """One function. Shares are percent of all samples in the window."""

    function: Function
    own: int
    """Samples, as `total`."""
    own_share: float
    own_cpus: float | None
    total: int
    total_share: float
    total_cpus: float | None


COLUMNS: tuple[Column[FunctionRow], ...] = (
    number("SELF", 7, lambda r: r.own, count, "samples in the function itself", rank=3),
    number("SELF %", 7, lambda r: r.own_share, percent, "the same, of all samples", "strong"),
    number("CPUS", 6, lambda r: r.own_cpus, cpus, "CPUs that the function itself kept busy, estimated", rank=2),
    number("TOTAL", 7, lambda r: r.total, count, "samples in it and in what it called", rank=4),
    number("TOTAL %", 7, lambda r: r.total_share, percent, "the same, of all samples; recursion counts once"),
    number("CPUS", 6, lambda r: r.total_cpus, cpus, "CPUs that it and what it called kept busy", rank=5),
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


class FunctionsTable(Table[FunctionRow]):
    """Most time of their own first, until sorted otherwise."""

    class CursorMoved(Message):
        """The cursor stands on another function."""

    def __init__(self) -> None:
        super().__init__(COLUMNS, key=lambda row: row.function.frame)
        self.sort_column = next(column for column in COLUMNS if column.title == "SELF %")

    def move_to(self, index: int) -> None:
        super().move_to(index)
        self.post_message(self.CursorMoved())

    @property
    def under_cursor(self) -> FunctionRow | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.rows else None


def function_rows(window: FlameWindow, functions: list[Function]) -> tuple[FunctionRow, ...]:
    """Rows of a table from weights in a window's tree."""
    whole, samples, cpus_of = window.tree.total[0] or 1, window.samples_of, window.cpus_of
    return tuple(
        [
            FunctionRow(
                function,
                samples(function.own),
                100 * function.own / whole,
                cpus_of(function.own),
                samples(function.total),
                100 * function.total / whole,
                cpus_of(function.total),
            )
            for function in functions
        ]
    )
