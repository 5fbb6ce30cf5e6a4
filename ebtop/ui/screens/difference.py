"""What is different from the baseline: an icicle in the colours of the difference, and who is new or gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.worker import Worker, WorkerState

from ebtop.errors import EbtopError
from ebtop.store.evidence_diff import Change
from ebtop.ui.baseline import Difference, DiffWindow, Side
from ebtop.ui.diff_icicle import ChangeLine, DiffIcicle
from ebtop.ui.icicle import Icicle
from ebtop.ui.moment import Moment
from ebtop.ui.screens.page import TextPage, borrowed
from ebtop.ui.strips import Line, Run
from ebtop.ui.text_view import text_of
from ebtop.units import count, duration, rate, wall_clock

REDRAW_S = 2.0
_MOST_NAMES = 30
_MOST_CHANGES = 12
_NOTHING = Line(((" nothing new, nothing gone, and no rate that changed much", "dim"),))


class DifferenceScreen(TextPage):
    """`make` compares a moment with the baseline; it is called in a thread, and may raise EbtopError."""

    heading = "Difference"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,shift+tab", "turn_focus", "Icicle or lists"),
        *borrowed(("drill",), "zoom"),
    ]

    def __init__(self, make: Callable[[Moment], Difference], moment: Moment) -> None:
        super().__init__()
        self.icicle = DiffIcicle()
        self.change_line = ChangeLine()
        self.shown: Difference | None = None
        self._make = make
        self._moment = moment
        self._made_ns = 0
        self._worker: Worker[Difference] | None = None

    def content(self) -> ComposeResult:
        yield self.icicle
        yield self.change_line
        yield self.text_view

    def on_mount(self) -> None:
        self.head.show([("  comparing …", "dim")])
        self.icicle.styles.height = "2fr"
        self.text_view.styles.height = "1fr"
        self._compare(self._moment)

    def enter(self) -> None:
        self.set_focus(self.icicle)

    def hinted(self) -> Sequence[tuple[str, str]]:
        return [("←↓↑→", "frames"), ("Enter", "zoom"), ("Tab", "lists"), *super().hinted()[1:]]

    def take(self, moment: Moment) -> None:
        """The newest second: compare again, but not more often than it can be read."""
        if moment.snapshot.time_ns - self._made_ns >= REDRAW_S * 1e9 and self._worker is None:
            self._compare(moment)

    def action_turn_focus(self) -> None:
        self.set_focus(self.text_view if self.icicle.has_focus else self.icicle)

    def action_zoom(self) -> None:
        """On the top row there is nothing to zoom to."""
        if self.icicle.check_action("zoom_in", ()):
            self.icicle.action_zoom_in()

    def back(self) -> bool:
        """One zoom back; False: the page may close."""
        return self.icicle.zoom_out()

    def read_on(self) -> None:
        if self.is_mounted:
            self.enter()

    def _compare(self, moment: Moment) -> None:
        self._made_ns = moment.snapshot.time_ns
        work = partial(self._make, moment)
        self._worker = self.run_worker(work, thread=True, group="difference", exit_on_error=False)

    @on(Worker.StateChanged)
    def _made(self, event: Worker.StateChanged) -> None:
        if event.worker is not self._worker or not event.worker.is_finished:
            return
        worker, self._worker = self._worker, None
        if event.state == WorkerState.SUCCESS and worker.result is not None:
            self.show(worker.result)
        elif isinstance(worker.error, EbtopError):
            self.head.show([(f"  {worker.error.line()}", "warn")])
        else:
            self.head.show([("  it could not be compared", "bad")])

    def show(self, difference: Difference) -> None:
        """Draw another difference; cursor, zooms and search stay where they were."""
        self.shown = difference
        self.icicle.show(DiffWindow(difference.flame))
        self.icicle.redraw()
        self._name_frame()
        self.text_view.show(lines_of(difference))
        self.head.show(_words(difference), [("+ more  - less  ~ chance  * new  x gone", "dim")])

    @on(Icicle.CursorMoved)
    def _name_frame(self) -> None:
        self.change_line.show(self.icicle.diff, self.icicle.cursor)

    async def _copy(self) -> None:
        """The lists, with the frame under the cursor."""
        from ebtop.ui import clipboard

        driver = cast(Any, self.app)._driver
        text = "\n".join(text_of(line).rstrip() for line in (*self.change_line.lines(0, 0), *self.text_view.content))
        report = await clipboard.copy(text + "\n", "difference", driver.write if driver else None)
        self.say(report.line(), "good" if report.worked else "bad")


def _words(difference: Difference) -> list[Run]:
    before, after = difference.before, difference.after
    sides = [(difference.baseline, "baseline"), (_moment(after), "moment shown")]
    if difference.reversed:
        sides = [(_moment(before), "moment shown"), (difference.baseline, "baseline")]
    (earlier, what), (later, other) = sides
    return [
        (f"  {earlier}", "strong"),
        (f" ({what}) against ", "dim"),
        (later, "strong"),
        (f" ({other})   {count(before.samples)} and {count(after.samples)} samples", "dim"),
        (f", events of {duration(difference.tables.seconds)}", "dim"),
    ]


def _moment(side: Side) -> str:
    return wall_clock(side.snapshot.time_ns)


def lines_of(difference: Difference) -> list[Line]:
    """Who is new, who is gone, and whose rates changed."""
    tables = difference.tables
    lines: list[Line] = []
    for heading, names, style in (
        ("new commands", tables.new_commands, "bad"),
        ("gone commands", tables.gone_commands, "info"),
        ("new peers", tables.new_peers, "bad"),
        ("gone peers", tables.gone_peers, "info"),
    ):
        sign = "*" if heading.startswith("new") else "x"
        if names:
            lines.append(Line(((f" {heading}: {count(len(names))}", "accent"),)))
            lines += [Line(((f"   {sign} ", style), (name, "text"))) for name in names[:_MOST_NAMES]]
            if len(names) > _MOST_NAMES:
                lines.append(Line(((f"     … and {count(len(names) - _MOST_NAMES)} more", "dim"),)))
    for heading, changes in (
        ("segments sent again a minute, by peer", tables.retransmits),
        ("slow and failed connects a minute, by target", tables.targets),
        ("execs a minute, by command", tables.commands),
        ("connections opened a minute, by peer", tables.peers),
    ):
        lines += _changes(heading, [change for change in changes if change.sign != "="][:_MOST_CHANGES])
    return lines or [_NOTHING]


def _changes(heading: str, changes: Sequence[Change]) -> list[Line]:
    if not changes:
        return []
    lines = [Line(((f" {heading}", "accent"),))]
    for change in changes:
        style = "bad" if change.delta > 0 else "info"
        lines.append(
            Line(
                (
                    (f"   {change.sign} ", style), (f"{rate(change.before):>7} ", "dim"), ("→", "dim"),
                    (f"{rate(change.after):>7}  ", "strong"), (change.name, "text"),
                    (f"  {change.who}" if change.who else "", "dim"),
                )
            )
        )  # fmt: skip
    return lines
