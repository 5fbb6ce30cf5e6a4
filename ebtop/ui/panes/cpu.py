"""Where time and memory go: an icicle of the latest stacks, or a table of the functions in them.

Of one kind of stacks at a time: on the CPU, off the CPU, page faults.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.message import Message
from textual.worker import Worker, WorkerState, get_current_worker

from ebtop.export.folded_stack import joined
from ebtop.store.flame_functions import FunctionTable
from ebtop.store.flame_paths import COMMAND, OFFCPU_SPLITS, SPLITS, Shape, is_code, title_of
from ebtop.store.flame_search import Wanted
from ebtop.store.flame_window import FlameWindow, gather
from ebtop.store.focus_selections import OfCommand, OfFrame, OfProcess
from ebtop.store.records import Frame, StackRecord
from ebtop.store.rows import StackSpan
from ebtop.store.source import ON_DEMAND, NodeLoad, ProbeHealth
from ebtop.store.stack_kinds import CPU, OFFCPU, STACK_KINDS
from ebtop.ui.commands import bindings
from ebtop.ui.focus import Copied, Focus
from ebtop.ui.frame_line import FrameLine
from ebtop.ui.functions import FunctionsTable, function_rows
from ebtop.ui.icicle import Icicle
from ebtop.ui.moment import Moment
from ebtop.ui.notice import Paragraph
from ebtop.ui.panes.base import Pane
from ebtop.ui.proof import proof_text
from ebtop.ui.stack_words import WORDS, cost_line
from ebtop.ui.strips import StripWidget
from ebtop.ui.title import Figure
from ebtop.units import duration, percent, plural, rate, share

if TYPE_CHECKING:
    from ebtop.store.completeness import Process
    from ebtop.ui.screens.page import Page

WINDOWS_S = (10.0, 60.0, 600.0)
_HELD = 10
"""Seconds of stacks that wait for a hidden pane; after more it is gathered anew."""


class CpuPane(Pane):
    BINDINGS = bindings("cpu")
    probe = CPU
    probes = STACK_KINDS
    number = 1
    heading = WORDS[CPU].heading

    def __init__(self) -> None:
        self.kind = CPU
        self.seconds = 60.0
        self.shape = Shape()
        self.window = FlameWindow(self.seconds, self.shape)
        self.icicle = Icicle(self.window)
        self.functions = FunctionsTable()
        self.functions.add_class("body")
        self.functions.display = False
        self.frame_line = FrameLine()
        self._function_table = FunctionTable(self.window.tree, callers=False)
        self._due: deque[tuple[int, Sequence[StackRecord], float]] = deque()
        """Seconds that are to be shown and are not in the window yet."""
        self._stale = False
        """The window has to be gathered anew from what is kept."""
        self._frozen = False
        self._worker: Worker[FlameWindow] | None = None
        self._failed = False
        self._given: Wanted | None = None
        """What a drill-down marks: it is not the user's to end."""
        super().__init__(self.icicle)
        self._speak()

    def content(self) -> ComposeResult:
        yield self.icicle
        yield self.functions
        yield self.frame_line

    # What is shown

    def take(self, moment: Moment, frozen: bool) -> None:
        if frozen:
            self._frozen = True
        elif self._frozen or not moment.continues or len(self._due) >= _HELD:
            self._frozen, self._stale = False, True
            self._due.clear()
        else:
            self._due.append((moment.snapshot.time_ns, *moment.snapshot.stacks_of(self.kind)))
        super().take(moment, frozen)

    def draw(self) -> None:
        if self.view is not None and not self._busy:
            if self._stale:
                self._gather()
            else:
                while self._due:
                    self.window.add(*self._due.popleft())
                if self.window.crowded:
                    self._work(self.window.compacted)
        super().draw()

    def draw_body(self, moment: Moment) -> None:
        if self.flat:
            self._list_functions()
        else:
            self.icicle.redraw()
        self._name_frame()

    @property
    def shown_probe(self) -> str:
        return self.kind

    def load_cost(self) -> str:
        return WORDS[self.kind].dear(*self._node) if self.kind != CPU else ""

    def start_like(self, other: Pane) -> None:
        if isinstance(other, CpuPane):
            self.show_kind(other.kind)

    def show_kind(self, kind: str) -> None:
        """Show another kind of stacks from now on. Loads and unloads nothing."""
        if kind == self.kind:
            return
        self.kind = kind
        if self.shape.split not in self._splits:
            self.shape = self.shape._replace(split=COMMAND)
        self.window = FlameWindow(self.seconds, self.shape, kind)
        self.icicle.show(self.window)
        self.functions.turn_to_kind(kind)
        self._function_table = FunctionTable(self.window.tree, self.shape.callers)
        self._due.clear()
        self._live_since = None
        self._speak()
        self._change()

    @property
    def scopes(self) -> tuple[str, ...]:
        return ("cpu", "table" if self.flat else "icicle")

    @property
    def flat(self) -> bool:
        """Whether the functions are listed, instead of the icicle."""
        return self.body is self.functions

    def empty(self, moment: Moment) -> bool:
        return self.window.weight == 0

    @property
    def window_words(self) -> str:
        """What the window covers: 60 s, 23s of 60 s, all 8m12s."""
        window = self.window
        if window.seconds == WINDOWS_S[-1]:
            return f"all {duration(window.sampled_s)}" if window.sampled_s else "all"
        full = not window.sampled_s or window.sampled_s >= 0.9 * window.seconds
        return f"{window.seconds:.0f} s" if full else f"{duration(window.sampled_s)} of {window.seconds:.0f} s"

    def leading(self, moment: Moment) -> list[Figure]:
        shape = self.window.shape
        figures = [Figure(f"{self.floor(moment)}{self._rate(moment)}", "text"), Figure(self.window_words, "dim", 2)]
        if self.flat:
            figures.append(Figure("functions", "accent", 1))
        elif shape.callers:
            figures.append(Figure("callers", "accent", 1))
        if shape.glue:
            figures.append(Figure("interpreter frames", "accent", 1))
        if shape.split != COMMAND and not self.flat:
            figures.append(Figure(f"by {shape.split}", "accent", 1))
        if result := self.search_result():
            figures.append(Figure(result, "accent", 1))
        if self._busy:
            figures.append(Figure("gathering …", "dim", 3))
        elif self._failed:
            figures.append(Figure("older samples could not be gathered", "bad", 0))
        return figures

    def completeness(self, moment: Moment, probe: ProbeHealth) -> list[Figure]:
        whole, every = self.window.whole_weight, self.window.weight
        if not every:
            return []
        style = "good" if whole >= 0.95 * every else "warn"
        return [Figure(f"{share(whole, every)} whole stacks", style, 1)]

    # Search, back, and where Enter and y go

    def search(self, text: str) -> None:
        self._find(Wanted(text) if text else None)

    def search_next(self, step: int) -> None:
        if self.flat:
            self.functions.action_move(step)
        else:
            self.icicle.find_next(step)

    def search_result(self) -> str:
        search, whole = self.icicle.search, self.window.tree.total[0]
        if search is None:
            return ""
        search.update()
        if not (found := search.found):
            return f"{search.wanted.text}: not in any stack"
        part, unit = percent(100 * search.weight / whole), WORDS[self.kind].unit
        return f"{search.wanted.text}: {part} of {unit}, {plural(found, 'frame')}"

    def back(self) -> bool:
        if self.icicle.search and self.icicle.search.wanted != self._given:
            self._find(self._given)
            return True
        return not self.flat and self.icicle.zoom_out()

    def look_at(self, focus: Focus) -> None:
        if focus.kind == "frame":
            self._given = Wanted(focus.title, whole=True)
            self._find(self._given)

    def focus_of(self) -> Focus | None:
        tree = self.window.tree
        if self.flat:
            return _focus_on(self.functions.under_cursor.function.frame) if self.functions.under_cursor else None
        node = self.icicle.cursor
        while tree.frame(node).kind in ("thread", "state", "waker"):
            node = tree.children(node)[0] if self.window.shape.callers else tree.parent[node]
        return _focus_on(tree.frame(node))

    def page_of(self) -> Page | None:
        tree = self.window.tree
        if self.flat or tree.frame(self.icicle.cursor).kind != "cut":
            return None
        # Read from the functions up, who is cut stands below, and may be several.
        around = tree.path(self.icicle.cursor) + list(tree.children(self.icicle.cursor))
        of = [tree.frame(node) for node in around if tree.frame(node).kind == "process"]
        return self._completeness_page((of[0].name, int(of[0].module or 0)) if len(of) == 1 else None)

    def copied(self) -> Copied | None:
        if not self.window.weight:
            return None
        if self.flat:
            return self._copied_function()
        tree, window = self.window.tree, self.window
        path = tree.path(self.icicle.cursor)
        if window.shape.callers:
            path.reverse()
        whole, words = tree.total[0], WORDS[window.kind]
        lines = [f"{words.whole(window)} in {self.window_words}"]
        for node in path:
            amount, part = words.amount(window, tree.total[node]), percent(100 * tree.total[node] / whole)
            frame = tree.frame(node)
            lines.append(f"{amount:>8} {part:>7}  {frame.name}{f' ({frame.module})' if frame.module else ''}")
        if path:
            folded = joined([tree.frame(node) for node in path])
            lines.append(f"{folded} {_folded_count(window, tree.total[self.icicle.cursor])}")
        return Copied("stack", "\n".join(lines))

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.flat if action == "show_function" else True

    def action_window(self) -> None:
        self.seconds = WINDOWS_S[(WINDOWS_S.index(self.seconds) + 1) % len(WINDOWS_S)]
        self._change()

    def action_callers(self) -> None:
        if self.flat:
            self._show_body(self.icicle)
            self.shape = self.shape._replace(callers=True)
        else:
            self.shape = self.shape._replace(callers=not self.shape.callers)
        self._change()

    def action_split(self) -> None:
        if self.flat:
            self._show_body(self.icicle)
        splits = self._splits
        self.shape = self.shape._replace(split=splits[(splits.index(self.shape.split) + 1) % len(splits)])
        self._change()

    def action_completeness(self) -> None:
        if (page := self._completeness_page(None)) is not None:
            self.post_message(self.PageWanted(page))

    def action_glue(self) -> None:
        self.shape = self.shape._replace(glue=not self.shape.glue)
        self._change()

    def action_kind(self) -> None:
        left, cost = self.kind, self.moment.cost if self.moment else None
        self.show_kind(STACK_KINDS[(STACK_KINDS.index(left) + 1) % len(STACK_KINDS)])
        self.post_message(self.KindChanged(left, cost.probes.get(left) if cost else None))

    def action_functions(self) -> None:
        self._show_body(self.icicle if self.flat else self.functions)

    def action_search_name(self) -> None:
        frame = self._frame()
        if frame and frame.kind != "root":
            self._find(Wanted(frame.name, whole=True))

    def action_show_function(self) -> None:
        row = self.functions.under_cursor
        if row is None:
            return
        self._show_body(self.icicle)
        self._find(Wanted(row.function.frame.name, whole=True))
        # How much of it can be seen is known once the icicle has its place.
        self.call_after_refresh(self.icicle.go_to_heaviest)

    # How

    class KindChanged(Message):
        """Another kind of stacks is shown; `left` is the probe of the one before, which costs so many percent."""

        def __init__(self, left: str, percent: float | None) -> None:
            super().__init__()
            self.left, self.percent = left, percent

    class PageWanted(Message):
        """A page is to be opened."""

        def __init__(self, page: Page) -> None:
            super().__init__()
            self.page = page

    def _completeness_page(self, process: Process | None) -> Page | None:
        """Of all that the window covers, or of one process in it."""
        from ebtop.ui.screens.completeness import CompletenessScreen

        if self.view is None:
            return None
        timeline = getattr(self.app, "timeline", None)
        name, pid = process or ("", 0)
        wanted = ("" if name == "?" else name, pid) if process else None
        return CompletenessScreen(
            partial(self.view.spans, self.seconds), self.kind, self.window_words, wanted,
            timeline.modules if timeline is not None else tuple,
        )  # fmt: skip

    @property
    def _splits(self) -> tuple[str, ...]:
        return OFFCPU_SPLITS if self.kind == OFFCPU else SPLITS

    @property
    def _node(self) -> tuple[NodeLoad | None, int]:
        health = self.moment.health if self.moment else None
        return (health.node, health.cpus) if health else (None, 1)

    def _speak(self) -> None:
        """Be about the kind of stacks that is shown."""
        words = WORDS[self.kind]
        self.heading = self.title_line.heading = words.heading
        self.nothing_yet = words.nothing_yet
        self.words, self.source_words = words.words, words.source_words
        self.high_words, self.next_words = words.high_words, words.next_words

    def _rate(self, moment: Moment) -> str:
        """What comes in a second: CPU samples just now, of others on average over the window."""
        window = self.window
        if window.kind == CPU:
            return f"{rate(moment.snapshot.rates.samples)} samples/s"
        told = WORDS[window.kind].per_second(window, window.weight)
        if window.kind == OFFCPU:
            return f"{told} blocked"
        return f"{rate(window.rate_of(window.weight) or 0.0)} faults/s, {told}"

    @property
    def _busy(self) -> bool:
        return self._worker is not None

    def _change(self) -> None:
        """Another window or shape was asked for."""
        self._stale = True
        if self._worker:
            self._worker.cancel()
            self._worker = None
        self.draw()

    def _gather(self) -> None:
        """Make the window anew from what is kept; the old one stays in view meanwhile."""
        view = self.view
        if view is None:
            return
        self._stale = False
        self._due.clear()
        self._work(partial(_gathered, view.spans, view.snapshot.time_ns, self.seconds, self.shape, self.kind))

    def _work(self, make: Callable[[], FlameWindow]) -> None:
        self._worker = self.run_worker(make, thread=True, exclusive=True, group="window", exit_on_error=False)

    @on(Worker.StateChanged)
    def _made(self, event: Worker.StateChanged) -> None:
        event.stop()
        if event.worker is not self._worker or not event.worker.is_finished:
            return
        window, self._worker = self._worker.result, None
        self._failed = event.state != WorkerState.SUCCESS
        if window is not None:
            self.window = window
            self.icicle.show(window)
            self._function_table = FunctionTable(window.tree, window.shape.callers)
        self.draw()

    def _show_body(self, body: StripWidget) -> None:
        focused = self.body.has_focus
        self.icicle.display, self.functions.display = body is self.icicle, body is self.functions
        self.body = body
        if focused:
            self.screen.set_focus(body)
        # Only then has it got its place on the screen.
        self.call_after_refresh(self.draw)

    def _list_functions(self) -> None:
        rows = self._function_table.rows()
        if search := self.icicle.search:
            matches = search.wanted.matcher()
            rows = [row for row in rows if matches(row.frame)]
        self.functions.show(function_rows(self.window, rows))

    def _find(self, wanted: Wanted | None) -> None:
        self.icicle.find(wanted)
        if self.is_mounted:
            self.draw()

    def _frame(self) -> Frame | None:
        """The frame under the cursor."""
        if self.flat:
            return self.functions.under_cursor.function.frame if self.functions.under_cursor else None
        return self.window.tree.frame(self.icicle.cursor)

    @on(Icicle.CursorMoved)
    @on(FunctionsTable.CursorMoved)
    def _name_frame(self) -> None:
        window, node = self.window, self.icicle.cursor
        tree = window.tree
        if not self.flat:
            own = None if window.shape.callers else tree.own[node]
            self.frame_line.show(window, tree.frame(node), own, tree.total[node])
        elif row := self.functions.under_cursor:
            self.frame_line.show(window, *row.function)

    def _copied_function(self) -> Copied | None:
        if (row := self.functions.under_cursor) is None:
            return None
        frame, window, words = row.function.frame, self.window, WORDS[self.window.kind]
        text = (
            f"{frame.name}{f' ({frame.module})' if frame.module else ''}: "
            f"self {words.amount(window, row.function.own)} {percent(row.own_share)}, "
            f"total {words.amount(window, row.function.total)} {percent(row.total_share)}, "
            f"of {words.whole(window)} in {self.window_words}"
        )
        return Copied("function", text)

    def _state(self, moment: Moment, probe: ProbeHealth | None) -> Sequence[Paragraph]:
        if self._busy and probe is not None and probe.state == "on" and not self.window.weight:
            return [Paragraph("Gathering the stacks that are kept …", "dim")]
        if probe is not None and probe.state == ON_DEMAND:
            proof = self.proof if self.proof and self.proof.probe == probe.name else None
            told = [Paragraph(proof_text(proof), "warn" if proof.remaining_ids else "good")] if proof else []
            if not self.empty(moment):
                return told
            return [
                *told,
                Paragraph(f"The {probe.name} probe is not loaded: it costs more than the others.", "text"),
                Paragraph(cost_line(WORDS[self.kind], *self._node), "warn"),
                Paragraph("u u loads it, o goes on to the next kind of stacks.", "dim"),
            ]
        return super()._state(moment, probe)


def _gathered(
    spans: Callable[[float], Sequence[StackSpan]], until_ns: int, seconds: float, shape: Shape, kind: str
) -> FlameWindow:
    worker = get_current_worker()
    return gather(spans(seconds), until_ns, seconds, shape, lambda: worker.is_cancelled, kind)


def _folded_count(window: FlameWindow, weight: int) -> int:
    """Samples, microseconds, faults."""
    return {CPU: window.samples_of(weight), OFFCPU: round(weight / 1000)}.get(window.kind, weight)


def _focus_on(frame: Frame) -> Focus | None:
    """Where a frame leads: to who runs it."""
    if frame.kind == "process" and frame.module:
        pid = int(frame.module)
        return Focus("process", title_of(frame), OfProcess(pid, "" if frame.name == "?" else frame.name), pid)
    if frame.kind == "process":
        return Focus("command", frame.name, OfCommand(frame.name))
    return Focus("frame", frame.name, OfFrame(frame.name, frame.module)) if is_code(frame) else None
