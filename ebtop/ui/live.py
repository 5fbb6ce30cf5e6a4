"""The app: one clock, and what the keys do."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from textual.app import App
from textual.message import Message

from ebtop.errors import EbtopError
from ebtop.store.records import Batch
from ebtop.store.rows import Snapshot
from ebtop.store.source import Source, UnloadProof
from ebtop.text import clean
from ebtop.ui.commands import bindings
from ebtop.ui.driver import TerminalDriver
from ebtop.ui.icicle import Icicle
from ebtop.ui.moment import CostMeter, LossCounter, Moment
from ebtop.ui.palette import Palette
from ebtop.ui.proof import proof_text, proofs_text
from ebtop.ui.screens.live import LiveScreen
from ebtop.ui.strips import Line
from ebtop.ui.themes import Theme
from ebtop.units import duration, wall_clock

TICK_S = 1.0
_FIRST_TICKS_S = (0.15, 0.35, 0.6)
"""Extra ticks after the start, so that what the probes see first is on screen at once."""
_MESSAGE_S = 8.0
_BACKLOG = 2
"""Writes the terminal may be behind before a frame is skipped."""
_KEYS = (
    ("?", "help"),
    ("q", "quit"),
    ("1-5", "pane"),
    ("Space", "pause"),
    ("s", "sort"),
    ("m", "maximise"),
    ("u", "unload"),
    ("U", "unload all"),
    ("L", "log"),
)
_ICICLE_KEYS = (*_KEYS[:4], ("↵", "zoom"), ("Esc", "back"), *_KEYS[5:])


class SnapshotStore(Protocol):
    """What the app needs of the store."""

    def ingest(self, batch: Batch) -> None: ...

    def snapshot(self) -> Snapshot: ...


class LiveApp(App[None], inherit_bindings=False):
    """Draws what the store holds, once a second. The source is started and closed by whoever runs the app."""

    CSS_PATH = Path(__file__).with_name("ebtop.tcss")
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = bindings("app")
    TITLE = "ebtop"

    class Told(Message):
        """A worker thread has something to say, and is done with a probe."""

        def __init__(self, probe: str, text: str, style: str, proof: UnloadProof | None = None) -> None:
            super().__init__()
            self.probe, self.text, self.style, self.proof = probe, text, style, proof

    def __init__(
        self,
        source: Source,
        store: SnapshotStore,
        theme: Theme,
        *,
        filter_text: str = "",
        ascii_only: bool = False,
        clock: Callable[[], float] = time.monotonic,
        ticking: bool = True,
    ) -> None:
        """`clock` gives seconds; with `ticking` false only whoever calls `tick` moves the view, as tests do."""
        mono = "NO_COLOR" in os.environ
        # Only with the terminal's own colours does Textual drop them all instead of turning them into greys.
        super().__init__(driver_class=TerminalDriver, ansi_color=True if mono else None)
        self.palette = Palette(theme, mono)
        self.ascii_only = ascii_only
        self.source = source
        self.store = store
        self.paused_at: float | None = None
        self.animation_level = "none"
        self._clock = clock
        self._ticking = ticking
        self._filter_text = clean(filter_text)
        self._started = clock()
        self._meter = CostMeter()
        self._losses = LossCounter()
        self._moment: Moment | None = None
        self._message: tuple[str, str] | None = None
        self._message_until = 0.0
        self._told: list[str] = []
        self._busy: set[str] = set()
        self.register_theme(theme.textual())
        self.theme = theme.name

    def get_default_screen(self) -> LiveScreen:
        self.live = LiveScreen(self._filter_text)
        return self.live

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, partial(self.exit, return_code=128 + number))

    def on_ready(self) -> None:
        # What is alive now stays alive: later collections need not walk it.
        gc.collect()
        gc.freeze()
        self._show_hints()
        if self._ticking:
            for delay in _FIRST_TICKS_S:
                self.set_timer(delay, self.tick)
            self.set_interval(TICK_S, self.tick)

    def tick(self) -> None:
        """Take a snapshot and draw it."""
        if isinstance(self._driver, TerminalDriver) and self._driver.hung_up():
            self.exit(return_code=128 + signal.SIGHUP)
            return
        health = self.source.health()
        cost, lost = self._meter.measure(health), self._losses.count(health)
        self._moment = Moment(self.store.snapshot(), health, cost, lost, self._clock() - self._started)
        for pane in self.live.panes:
            pane.take(self._moment, self.paused)
        if self._terminal_keeps_up():
            self._draw()

    @property
    def paused(self) -> bool:
        return self.paused_at is not None

    def announce(self, text: str, style: str = "text") -> None:
        """Say something in the last line for some seconds, and in the log."""
        self._told.append(f"{wall_clock(time.time_ns())} {text}")
        self._message, self._message_until = (text, style), self._clock() + _MESSAGE_S
        self._show_hints()
        self._show_log()

    def action_go(self, probe: str) -> None:
        self.live.enter(self.live.pane_of(probe))
        self._after_move()

    def action_step(self, panes: int) -> None:
        at = self.live.panes.index(self.live.current)
        self.live.enter(self.live.panes[(at + panes) % len(self.live.panes)])
        self._after_move()

    def action_maximise(self) -> None:
        self.live.maximised = not self.live.maximised
        self.live.lay_out()
        self.call_after_refresh(self._draw)

    def action_pause(self) -> None:
        self.paused_at = None if self.paused else self._clock()
        if not self.paused:
            for pane in self.live.panes:
                pane.thaw()
        self._draw()

    def action_log(self) -> None:
        self.live.toggle_class("-log")
        if self.live.has_class("-log"):
            self.call_after_refresh(self._show_log)
        elif not self.live.current.body.has_focus:
            self.live.current.body.focus()

    def action_help(self) -> None:
        from ebtop.ui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.live.panes, self.live.current))

    async def action_quit(self) -> None:
        self.exit()

    def action_toggle_probe(self) -> None:
        self._toggle([self.live.current.probe])

    def action_toggle_all(self) -> None:
        self._toggle(list(self.source.probe_names))

    def on_live_app_told(self, event: Told) -> None:
        self._busy.discard(event.probe)
        if event.proof:
            for pane in self.live.panes:
                pane.proof = event.proof if pane.probe == event.probe else pane.proof
        self.announce(event.text, event.style)
        self.tick()

    def _toggle(self, probes: list[str]) -> None:
        """Unload these probes if any of them is loaded, otherwise load them all."""
        states = {probe.name: probe.state for probe in self.source.health().probes}
        known = [probe for probe in probes if probe in states and probe not in self._busy]
        loaded = [probe for probe in known if states[probe] in ("on", "loading")]
        work, todo = (self._unload_each, loaded) if loaded else (self._load_each, known)
        if not todo:
            return
        self._busy.update(todo)
        self.announce(f"{'unloading' if loaded else 'loading'} {', '.join(todo)} …", "dim")
        self.run_worker(partial(work, todo), thread=True, group="probes", exit_on_error=False)

    def _unload_each(self, probes: list[str]) -> None:
        proofs = []
        for probe in probes:
            try:
                proofs.append(self.source.unload(probe))
            except EbtopError as error:
                self.post_message(self.Told(probe, error.line(), "bad"))
            else:
                style = "bad" if proofs[-1].remaining_ids else "good"
                self.post_message(self.Told(probe, proof_text(proofs[-1]), style, proofs[-1]))
        if len(proofs) > 1:
            style = "bad" if any(proof.remaining_ids for proof in proofs) else "good"
            self.post_message(self.Told("", proofs_text(proofs), style))

    def _load_each(self, probes: list[str]) -> None:
        for probe in probes:
            began = time.monotonic()
            try:
                self.source.load(probe)
            except EbtopError as error:
                self.post_message(self.Told(probe, error.line(), "bad"))
            else:
                self.post_message(self.Told(probe, f"{probe} loaded in {duration(time.monotonic() - began)}", "good"))

    def _terminal_keeps_up(self) -> bool:
        return not isinstance(self._driver, TerminalDriver) or self._driver.backlog <= _BACKLOG

    def _draw(self) -> None:
        moment = self._moment
        if moment is None:
            return
        self.live.header.show(moment, self._clock() - self.paused_at if self.paused_at is not None else None)
        self.live.status.show(moment)
        if self._message and self._clock() >= self._message_until:
            self._message = None
            self._show_hints()
        self._show_log()
        for pane in self.live.visible_panes:
            pane.draw()

    def _after_move(self) -> None:
        """In a layout with one pane the new one has not been drawn while it was hidden."""
        self._show_hints()
        if self.live.single:
            self.call_after_refresh(self.live.current.draw)

    def _show_hints(self) -> None:
        keys = _ICICLE_KEYS if isinstance(self.live.current.body, Icicle) else _KEYS
        self.live.hints.show(keys, self._message)

    def _show_log(self) -> None:
        if self.live.has_class("-log"):
            lines = [clean(line) for line in self._moment.health.log] if self._moment else []
            shown = [*lines, *self._told] or ["nothing was printed"]
            self.live.log_text.show([Line(((f" {line}", "text"),)) for line in shown])
