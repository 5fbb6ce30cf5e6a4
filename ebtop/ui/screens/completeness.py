"""How whole the stacks are, why some are cut or without names, and what would mend it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from textual import events
from textual.message import Message
from textual.worker import get_current_worker

from ebtop.store.completeness import Completeness, Process, Tally, completeness
from ebtop.store.records import ModuleFacts
from ebtop.store.rows import StackSpan
from ebtop.store.unnamed import why_unnamed
from ebtop.store.why_cut import why_cut
from ebtop.ui.screens.page import TextPage
from ebtop.ui.stack_words import amount_words
from ebtop.ui.strips import Line, Run, fit
from ebtop.units import plural, share

K = TypeVar("K")
_WIDEST = 110
_AMOUNT, _SHARE = 16, 6
_LISTED = 40
_ENDS = 8
"""Binaries named for each reason."""
_GOOD = 0.95


class CompletenessScreen(TextPage):
    """Sums up in a thread of its own."""

    heading = "WHOLE STACKS"

    class Summed(Message):
        """It is summed up."""

        def __init__(self, found: Completeness) -> None:
            super().__init__()
            self.found = found

    def __init__(
        self,
        spans: Callable[[], Sequence[StackSpan]],
        kind: str,
        about: str,
        process: Process | None,
        modules: Callable[[], Iterable[ModuleFacts]],
    ) -> None:
        """`spans` are those to look at, which may take a while; `about` says of when they are; `process` None = all."""
        super().__init__()
        self._spans = spans
        self._kind = kind
        self._about = about
        self._process = process
        self._modules = modules
        self.found: Completeness | None = None

    def on_mount(self) -> None:
        super().on_mount()
        self.head.show([(" looking at the stacks that are kept …", "dim")])
        self.run_worker(self._sum, thread=True, group="completeness", exclusive=True, exit_on_error=False)

    def on_resize(self, event: events.Resize) -> None:
        self._put()

    def on_completeness_screen_summed(self, event: Summed) -> None:
        self.found = event.found
        self._put()

    def _sum(self) -> None:
        worker = get_current_worker()
        stacks = (stack for span in self._spans() for stack in span.stacks)
        found = completeness(stacks, self._kind, self._process, lambda: worker.is_cancelled)
        self.post_message(self.Summed(found))

    def _put(self) -> None:
        if self.found is None:
            return
        every = self.found.all
        whole = share(every.whole, every.weight)
        name, pid = self._process or ("", 0)
        who = f" of {name}{f' ({pid})' if pid else ''}" if self._process else ""
        style = "good" if every.whole >= _GOOD * every.weight else "warn"
        told = amount_words(self._kind, every.weight, every.samples)
        self.head.show([(f" {whole} whole", style), (f" of {told}{who}, {self._about}", "dim")])
        self.text_view.show(completeness_lines(self.found, tuple(self._modules()), self.app.size.width))


def completeness_lines(found: Completeness, modules: Sequence[ModuleFacts], width: int) -> list[Line]:
    """The whole page for a screen of so many cells."""
    width = max(40, min(_WIDEST, width - 2))
    if not found.all.weight:
        return [Line((("  No stack of this kind is kept.", "dim"),))]
    return [
        *_why(found, width),
        *_by_process(found, width),
        *_by_binary(found, width),
        *_without_names(found, modules, width),
    ]


def _why(found: Completeness, width: int) -> list[Line]:
    lines = [_title("Why stacks are cut")]
    if not found.reasons:
        return [*lines, Line((("   All are whole.", "good"),)), Line()]
    for reason, tally in _heaviest(found.reasons, lambda tally: tally.weight):
        lines.append(_row(found, tally.weight, tally.samples, reason or "not noted", "strong"))
        told = why_cut(reason)
        lines += _words(told.why, width, "text")
        if told.mend:
            lines += _words(f"What to do: {told.mend}", width, "accent")
        ends = {end: at for (why, end), at in found.ends.items() if why == reason}
        for end, at in _heaviest(ends, lambda tally: tally.weight)[:_ENDS]:
            lines.append(_row(found, at.weight, at.samples, f"  ends in {end}", "dim"))
        if len(ends) > _ENDS:
            lines += _words(f"and in {plural(len(ends) - _ENDS, 'other binary', 'other binaries')}", width, "dim")
        lines.append(Line())
    return lines


def _by_process(found: Completeness, width: int) -> list[Line]:
    lines = [_title("By process, those with most that is cut first")]
    rows = _heaviest(found.processes, lambda tally: tally.cut)
    for (name, pid), tally in rows[:_LISTED]:
        reason = max(tally.reasons, key=tally.reasons.__getitem__, default="")
        lines.append(
            _whole_row(found.kind, tally, f"{name or '?'} ({pid})", f"mostly: {reason}" if tally.cut else "", width)
        )
    return [*lines, *_more(len(rows) - _LISTED, "process", "processes"), Line()]


def _by_binary(found: Completeness, width: int) -> list[Line]:
    """Where cut stacks end, whatever the reason."""
    binaries: dict[str, Tally] = {}
    for (reason, end), tally in found.ends.items():
        into = binaries.setdefault(end, Tally())
        into.weight += tally.weight
        into.samples += tally.samples
        into.reasons[reason] = into.reasons.get(reason, 0) + tally.weight
    if not binaries:
        return []
    lines = [_title("By binary in which they end")]
    rows = _heaviest(binaries, lambda tally: tally.weight)
    for end, tally in rows[:_LISTED]:
        reasons = ", ".join(sorted(tally.reasons, key=lambda reason: -tally.reasons[reason]))
        lines.append(_row(found, tally.weight, tally.samples, f"{end}: {reasons}", "text"))
    return [*lines, *_more(len(rows) - _LISTED, "binary", "binaries"), Line()]


def _without_names(found: Completeness, modules: Sequence[ModuleFacts], width: int) -> list[Line]:
    rows = _heaviest(found.unnamed, lambda tally: tally.weight)
    if not rows:
        return []
    lines = [_title("Frames without a name, by what the stacks with such a frame come to")]
    for frame, tally in rows[:_LISTED]:
        lines.append(_row(found, tally.weight, tally.samples, frame.name, "strong"))
        told = why_unnamed(frame, modules)
        if told is not None:
            lines += _words(told.why, width, "text")
            if told.mend:
                lines += _words(f"What to do: {told.mend}", width, "accent")
    return [*lines, *_more(len(rows) - _LISTED, "other")]


def _heaviest(tallies: Mapping[K, Tally], weight: Callable[[Tally], int]) -> list[tuple[K, Tally]]:
    return sorted(tallies.items(), key=lambda item: (-weight(item[1]), str(item[0])))


def _row(found: Completeness, weight: int, samples: int, text: str, style: str) -> Line:
    return Line(
        (
            (f" {fit(amount_words(found.kind, weight, samples), _AMOUNT, right=True)}", "text"),
            (f" {fit(share(weight, found.all.weight), _SHARE, right=True)}  ", "dim"),
            (text, style),
        )
    )


def _whole_row(kind: str, tally: Tally, name: str, reason: str, width: int) -> Line:
    style = "good" if tally.whole >= _GOOD * tally.weight else "warn"
    runs: list[Run] = [
        (f" {fit(amount_words(kind, tally.weight, tally.samples), _AMOUNT, right=True)}", "text"),
        (f" {fit(share(tally.whole, tally.weight), _SHARE, right=True)} whole  ", style),
        (fit(name, 26), "strong"),
        (f" {reason}", "dim"),
    ]
    return Line(tuple(runs))


def _more(number: int, one: str, many: str = "") -> list[Line]:
    return [Line(((f"   and {plural(number, one, many)} more", "dim"),))] if number > 0 else []


def _title(text: str) -> Line:
    return Line(((f" {text}", "accent"),))


def _words(text: str, width: int, style: str) -> list[Line]:
    margin = " " * (_AMOUNT + _SHARE + 4)
    return [Line(((margin + part, style),)) for part in textwrap.wrap(text, max(24, width - len(margin)))]
