"""The app without its keys: one clock, a stack of views, and how each comes by the moment it shows."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events
from textual.app import App
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from ebtop.errors import EbtopError
from ebtop.store.selection import Selection
from ebtop.store.source import Source, UnloadProof
from ebtop.text import clean
from ebtop.ui.baseline import Baseline
from ebtop.ui.driver import TerminalDriver
from ebtop.ui.facts import focus_lines
from ebtop.ui.filtering import Filtering, combined, narrowed_words
from ebtop.ui.garbage import Garbage
from ebtop.ui.hints import hint_keys
from ebtop.ui.keymap import Keymap
from ebtop.ui.moment import Moment
from ebtop.ui.moments import Moments, Newest
from ebtop.ui.pacing import Pacer, Part
from ebtop.ui.palette import Palette
from ebtop.ui.probe_switch import ProbeSwitch
from ebtop.ui.screens.view import ViewScreen
from ebtop.ui.strips import Line, Run, StripWidget
from ebtop.ui.themes import Theme, load
from ebtop.ui.time_view import TimeView
from ebtop.units import count, duration, wall_clock

if TYPE_CHECKING:
    from ebtop.store.keeper import Keeper
    from ebtop.store.rows import Snapshot
    from ebtop.store.view import View
    from ebtop.ui.freezing import Freezer

_FIRST_TICKS_S = (0.15, 0.35, 0.6)
"""Extra ticks after the start, so that what the probes see first is on screen at once."""
_MESSAGE_S = 8.0
_LEAVING_S = 3.0
"""A terminal that does not take the last output for so long is left as it is."""


class ViewApp(App[None], inherit_bindings=False):
    """Draws what the timeline holds, once a second. What keys do is added by LiveApp."""

    CSS_PATH = Path(__file__).with_name("ebtop.tcss")
    ENABLE_COMMAND_PALETTE = False
    TITLE = "ebtop"

    class Told(Message):
        """A worker thread has something to say, and is done with a probe."""

        def __init__(self, probe: str, text: str, style: str, proof: UnloadProof | None = None) -> None:
            super().__init__()
            self.probe, self.text, self.style, self.proof = probe, text, style, proof

    class Gathered(Message):
        """A worker thread has put together what a screen shows: a live view with its newest second, a moment of the
        past, or both."""

        def __init__(self, screen: ViewScreen, selection: Selection | None, past: Moment | None = None) -> None:
            super().__init__()
            self.screen, self.selection, self.past = screen, selection, past
            self.view: View | None = None
            self.snapshot: Snapshot | None = None

    def __init__(
        self,
        source: Source,
        timeline: Keeper,
        theme: Theme,
        *,
        asked_for: str = "",
        selection: Selection | None = None,
        ascii_only: bool = False,
        greeting: str = "",
        problems: Sequence[str] = (),
        keymap: Keymap | None = None,
        refresh_s: float = 1.0,
        freezer: Freezer | None = None,
        clock: Callable[[], float] = time.monotonic,
        ticking: bool = True,
    ) -> None:
        """`asked_for` says what the source was started with, `selection` is a filter on top of it.

        `freezer` writes snapshots; None = there is nothing to write. `problems` are told in the log.
        `clock` gives seconds; with `ticking` false only whoever calls `tick` moves the
        view, as tests do.
        """
        mono = "NO_COLOR" in os.environ
        # Only with the terminal's own colours does Textual drop them all instead of turning them into greys.
        super().__init__(driver_class=TerminalDriver, ansi_color=True if mono else None)
        self.palette = Palette(theme, mono)
        self.ascii_only = ascii_only
        self.source = source
        self.timeline = timeline
        self.time_view = TimeView()
        self.animation_level = "none"
        self._clock = clock
        self._ticking = ticking
        self._asked_for = clean(asked_for)
        self._greeting = greeting
        self._problems = problems
        self.keymap = keymap or Keymap()
        self.freezer = freezer
        self.moments = Moments(source, timeline, clock)
        self.filtering = Filtering(source, timeline, selection, self.announce_from_thread)
        self._switch = ProbeSwitch(source, self._tell)
        self._message: tuple[str, str] | None = None
        self._message_until = 0.0
        self._told: list[str] = []
        self._asked: tuple[str, float] = ("", 0.0)
        self.baseline: Baseline | None = None
        self._refresh_s = refresh_s
        self._in_tick = self._tick_again = False
        self.garbage = Garbage(clock)
        self._last_resort: threading.Timer | None = None
        self.pacer = Pacer(None, self.call_after_refresh)
        self.register_theme(theme.textual())
        self.theme = theme.name
        self.set_keymap(self.keymap.textual())

    # Life

    def get_default_screen(self) -> ViewScreen:
        return ViewScreen()

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._end, number)

    def _end(self, number: int) -> None:
        """A signal, or the loss of the terminal, ends the program: also where the terminal takes no output any more."""
        self.exit(return_code=128 + number)
        self._last_resort = threading.Timer(_LEAVING_S, self._end_without_terminal, (number,))
        self._last_resort.daemon = True
        self._last_resort.start()

    def _end_without_terminal(self, number: int) -> None:
        """In a thread: what the main one writes to restore the terminal is stuck."""
        self.source.close()
        os._exit(128 + number)

    def has_left(self) -> None:
        """The screen is gone, as it should be."""
        if self._last_resort is not None:
            self._last_resort.cancel()

    def on_ready(self) -> None:
        self.garbage.begin()
        self.pacer = Pacer(self._driver if isinstance(self._driver, TerminalDriver) else None, self.call_after_refresh)
        self.gather(self.live)
        if self.filtering.selection is not None:
            self._narrow()
        if self._greeting:
            self.announce(self._greeting, "accent")
        for problem in self._problems:
            self.announce(problem, "warn")
        self._show_hints()
        if self._ticking:
            for delay in _FIRST_TICKS_S:
                self.set_timer(delay, self._tick_of_clock)
            self._timer = self.set_interval(self._refresh_s, self._tick_of_clock)

    def on_unmount(self) -> None:
        self.garbage.end()
        for screen in self._views():
            if screen.source_view is not None:
                screen.source_view.close()

    @property
    def live(self) -> ViewScreen:
        """The view on top; pages such as the help may lie over it."""
        return self._views()[-1]

    def _views(self) -> list[ViewScreen]:
        return [screen for screen in self.screen_stack if isinstance(screen, ViewScreen)]

    async def on_event(self, event: events.Event) -> None:
        """A key acts before the next one is looked at.

        Textual has a key bubble up from the focused widget first; what is typed ahead over a slow link would go to
        the widget that had the focus before.
        """
        typed = isinstance(event, events.Key) and not event.is_forwarded and not isinstance(self.focused, Input)
        if not (typed and isinstance(event, events.Key) and await self._act_on(event.key)):
            await super().on_event(event)
        if isinstance(event, events.Key):
            self.garbage.typed()
            if isinstance(self._driver, TerminalDriver):
                self._driver.acted()

    async def _act_on(self, key: str) -> bool:
        """Whether a key is bound to something, which is done then."""
        return await self._check_bindings(key, priority=True) or await self._check_bindings(key)

    def tick(self) -> None:
        """Measure, take the newest second, and draw it."""
        if not self._lost_terminal():
            view = self.live.source_view if self.time_view.live else None
            self._take_newest(self.moments.newest(view), self.live, view)

    async def _tick_of_clock(self) -> None:
        """As `tick`; keys are acted on while a thread puts the newest second together."""
        if self._lost_terminal() or self._in_tick:
            return
        self._in_tick = True
        try:
            screen = self.live
            view = screen.source_view if self.time_view.live else None
            newest = await asyncio.to_thread(self.moments.newest, view)
            self._take_newest(newest, screen, view)
        finally:
            self._in_tick = False
        self.garbage.tick()
        if self._tick_again:
            self._tick_again = False
            self.tick_soon()

    def tick_soon(self) -> None:
        """What is on screen has become something else than a second ago: do not wait for the clock."""
        if not self._ticking:
            self.tick()
        elif self._in_tick:
            self._tick_again = True
        else:
            self.run_worker(self._tick_of_clock(), group="tick")

    def _take_newest(self, newest: Newest, screen: ViewScreen, view: View | None) -> None:
        """Show what was put together for a screen's view, unless it shows another by now."""
        self.moments.measured = newest.measured
        if newest.snapshot is not None:
            if screen.source_view is view and self.time_view.live:
                self._take_live(screen, newest.snapshot)
            else:
                # The stacks of this second will not come again.
                screen.continues = False
        if not self.time_view.live:
            self._take_still(self.live)
        self._draw()

    def _lost_terminal(self) -> bool:
        """Whether the terminal is gone, which ends the program."""
        lost = isinstance(self._driver, TerminalDriver) and self._driver.hung_up()
        if lost:
            self._end(signal.SIGHUP)
        return lost

    def _take_live(self, screen: ViewScreen, snapshot: Snapshot) -> None:
        """Hand the panes of a screen the newest second of its view."""
        assert screen.source_view is not None
        screen.moment = self.moments.live(screen.source_view, snapshot, screen.selection, screen.continues)
        screen.continues = True
        for pane in screen.panes:
            pane.take(screen.moment, False)

    def _take_still(self, screen: ViewScreen) -> None:
        """Hand the panes of a screen the moment that stands there."""
        if screen.moment is not None:
            screen.moment = self.moments.still(screen.moment)
            for pane in screen.panes:
                pane.take(screen.moment, True)

    # What is shown

    def gather(self, screen: ViewScreen) -> None:
        """Have a screen show its part of the kept past, and go on from there. In a thread: it may take a while."""
        if screen.source_view is not None and screen.filtered_by is self.filtering.selection:
            return
        screen.filtered_by = self.filtering.selection
        selection = combined(self.filtering.selection, screen.trail)
        self.run_worker(partial(self._gather, screen, selection), thread=True, group="gather", exit_on_error=False)

    def _gather(self, screen: ViewScreen, selection: Selection | None) -> None:
        at_ns = self.time_view.at_ns
        view = self.timeline.view(selection)
        gathered = self.Gathered(screen, selection, self.moments.past(at_ns, selection) if at_ns is not None else None)
        gathered.view, gathered.snapshot = view, view.snapshot()
        if not self.post_message(gathered):
            view.close()

    def on_view_app_gathered(self, event: Gathered) -> None:
        screen = event.screen
        if event.view is not None:
            if screen not in self.screen_stack:
                event.view.close()
                return
            if screen.source_view is not None:
                screen.source_view.close()
            screen.source_view, screen.selection, screen.continues = event.view, event.selection, False
        if event.past is not None and not self.time_view.live:
            screen.moment = event.past
            for pane in screen.panes:
                pane.take(event.past, False)
        if event.snapshot is not None:
            if self.time_view.live:
                self._take_live(screen, event.snapshot)
            else:
                self._take_still(screen)
        self._draw()

    def go_to(self, at_ns: int | None) -> None:
        """Show a moment of the past (ns since the Unix epoch); None = now."""
        if at_ns is None:
            self.time_view.go_on()
            for screen in self._views():
                screen.continues = False
            self._draw()
            self.tick_soon()
            return
        kept = self.timeline.kept
        self.time_view.stop(at_ns, self._clock(), kept.seen)
        for screen in self._views():
            work = partial(self._past, screen, screen.selection, at_ns)
            self.run_worker(work, thread=True, group=f"past {id(screen)}", exclusive=True, exit_on_error=False)
        self._draw()

    def _past(self, screen: ViewScreen, selection: Selection | None, at_ns: int) -> None:
        if self.time_view.at_ns == at_ns:
            moment = self.moments.past(at_ns, selection)
            if self.time_view.at_ns == at_ns:
                self.post_message(self.Gathered(screen, selection, moment))

    # Drawing

    def _draw(self) -> None:
        screen = self.live
        if self._message and self._clock() >= self._message_until:
            self._message = None
            self._show_hints()
        if screen is not self.screen:
            self.pacer.draw([Part(self.screen, partial(self._draw_page, self.screen))])
        else:
            others = [pane for pane in screen.visible_panes if pane is not screen.current]
            panes = [Part(pane, pane.draw) for pane in (screen.current, *others)]
            self.pacer.draw([Part(screen, partial(self._draw_bars, screen)), *panes])

    def _draw_bars(self, screen: ViewScreen) -> None:
        # While a drill-down is still being gathered the node is as busy as the view below says.
        known = next((view.moment for view in reversed(self._views()) if view.moment is not None), None)
        screen.header.of(self.source.host)
        screen.header.show(known, self._time_runs(), self._filter_text(), self._window())
        screen.crumbs.show(narrowed_words(self.moments.health) if self.time_view.live else "")
        self._show_facts(screen)
        if known is not None:
            screen.status.show(self.moments.still(known), self._whole_stacks())
            self._show_log()

    def _draw_page(self, page: Screen[object]) -> None:
        """Pages over the view that want to know of each second have a `take`."""
        take = getattr(page, "take", None)
        if take is not None and self.live.moment is not None:
            take(self.moments.still(self.live.moment))

    def _window(self) -> str:
        return str(getattr(self.live.pane_of("cpu"), "window_words", ""))

    def _whole_stacks(self) -> tuple[int, int]:
        window = getattr(self.live.pane_of("cpu"), "window", None)
        return (window.whole_weight, window.weight) if window is not None else (0, 0)

    def _filter_text(self) -> str:
        parts = [text for text in (self._asked_for, self.filtering.text) if text]
        return " and ".join(parts)

    def _time_runs(self) -> tuple[Run, ...]:
        view = self.time_view
        if view.live or view.at_ns is None:
            return ((("● LIVE", "good") if self.source.live else ("● REPLAY", "accent")),)
        kept = self.timeline.kept
        stopped_s = self._clock() - view.stopped_at
        new = max(0, kept.seen - view.seen_before)
        since = f" {duration(stopped_s)}" if stopped_s >= 1 else ""
        narrowed = self.timeline.narrowed_at(view.at_ns)
        return (
            (f" only {narrowed} was collected then " if narrowed else "", "warn"),
            (f" PAUSED{since} ", "badge"),
            (f" {count(new)} new" if new else "", "accent"),
        )

    def _show_facts(self, screen: ViewScreen) -> None:
        if screen.focus_on is None:
            return
        screen.facts.show(focus_lines(screen.focus_on, screen.moment, screen.process, self.source.containers))
        if screen.focus_on.kind == "process" and not screen.asking_who:
            screen.asking_who = True
            work = partial(self._ask_who, screen, screen.focus_on.pid)
            self.run_worker(work, thread=True, group="facts", exit_on_error=False)

    def _ask_who(self, screen: ViewScreen, pid: int) -> None:
        """In a thread: a process whose memory is locked can make the answer wait."""
        screen.process = self.source.process(pid)
        screen.asking_who = False

    def announce(self, text: str, style: str = "text") -> None:
        """Say something in the last line for some seconds, and in the log."""
        self._told.append(f"{wall_clock(time.time_ns())} {text}")
        self._message, self._message_until = (text, style), self._clock() + _MESSAGE_S
        self._show_hints()
        self._show_log()

    def announce_from_thread(self, text: str, style: str) -> None:
        self.post_message(self.Told("", text, style))

    def _show_hints(self) -> None:
        screen = self.live
        screen.hints.show(hint_keys(screen.current.scopes, self.keymap, drilled=bool(screen.trail)), self._message)

    def _show_log(self) -> None:
        if self.live.has_class("-log"):
            lines = [clean(line) for line in self.moments.health.log]
            shown = [*lines, *self._told] or ["nothing was printed"]
            self.live.log_text.show([Line(((f" {line}", "text"),)) for line in shown])

    def _narrow(self) -> None:
        """Have the kernel drop what nobody looks at."""
        self.filtering.narrow(self.live.trail, self._views()[0].moment)
        self.run_worker(self.filtering.apply, thread=True, group="narrow", exit_on_error=False)

    def _tell(self, probe: str, text: str, style: str, proof: UnloadProof | None) -> None:
        self.post_message(self.Told(probe, text, style, proof))

    def on_view_app_told(self, event: Told) -> None:
        self._switch.done(event.probe)
        if event.proof:
            for screen in self._views():
                for pane in screen.panes:
                    pane.proof = event.proof if event.probe in pane.probes else pane.proof
        self.announce(event.text, event.style)
        self.tick_soon()

    def set_theme(self, name: str) -> None:
        """Draw in other colours from now on."""
        try:
            theme = load(name)
        except EbtopError as error:
            self.announce(error.line(), "bad")
            return
        self.palette = Palette(theme, "NO_COLOR" in os.environ)
        self.register_theme(theme.textual())
        self.theme = theme.name
        for screen in self.screen_stack:
            for widget in screen.query(StripWidget):
                widget.notify_style_update()
                widget.refresh()
