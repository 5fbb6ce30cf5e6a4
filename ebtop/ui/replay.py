"""The app on a recording: the same panes and keys, and a playhead instead of now."""

from __future__ import annotations

from functools import partial
from typing import Any

from ebtop.errors import EbtopError
from ebtop.store.rows import with_stacks
from ebtop.store.selection import Selection
from ebtop.store.stack_queue import StackQueue
from ebtop.ui.commands import bindings
from ebtop.ui.filtering import combined
from ebtop.ui.live import LiveApp
from ebtop.ui.moment import Moment
from ebtop.ui.screens.view import ViewScreen
from ebtop.ui.strips import Run
from ebtop.ui.time_view import SECOND_NS
from ebtop.units import duration

SPEEDS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_CONTINUED_NS = 10 * SECOND_NS
"""What is no further on than this is added to what is shown; further on it is gathered anew."""


class ReplayApp(LiveApp, inherit_bindings=False):
    """Stands at the end of the recording at first."""

    BINDINGS = bindings("app")

    def __init__(self, *args: Any, **options: Any) -> None:
        """As ViewApp."""
        super().__init__(*args, **options)
        self.playing = False
        self.speed = 1.0
        self._ticked = self._clock()
        self._working = False
        kept = self.timeline.kept
        self._follows = True
        """It stands at the end, and goes on with it where the file is still being written."""
        self.time_view.stop(kept.newest_ns, self._clock(), kept.seen)

    @property
    def _at_ns(self) -> int:
        at_ns = self.time_view.at_ns
        assert at_ns is not None
        return at_ns

    def tick(self) -> None:
        if self._lost_terminal():
            return
        now = self._clock()
        passed, self._ticked = now - self._ticked, now
        newest_ns = self.timeline.kept.newest_ns
        if self.playing:
            self._play(passed, newest_ns)
        elif self._follows and newest_ns > self._at_ns:
            self._go(newest_ns)
        self._draw()

    async def _tick_of_clock(self) -> None:
        self.tick()

    def _play(self, passed_s: float, newest_ns: int) -> None:
        at_ns = min(newest_ns, self._at_ns + int(passed_s * self.speed * SECOND_NS))
        if at_ns >= newest_ns:
            self.playing, self._follows = False, True
            self.announce("this is the end; Space plays it again from its beginning")
        self._go(at_ns)

    # What is shown

    def gather(self, screen: ViewScreen) -> None:
        screen.filtered_by = self.filtering.selection
        screen.selection = combined(self.filtering.selection, screen.trail)
        self._show(screen, self._at_ns)

    def go_to(self, at_ns: int | None) -> None:
        """Show a moment; None = the end."""
        kept = self.timeline.kept
        at_ns = kept.newest_ns if at_ns is None else min(max(at_ns, kept.oldest_ns), kept.newest_ns)
        self._follows = at_ns == kept.newest_ns
        self.time_view.at_ns = at_ns
        for screen in self._views():
            self._show(screen, at_ns)
        self._draw()

    def _go(self, at_ns: int) -> None:
        """On by itself: only what is on top, and only if the moment before has been put together."""
        self.time_view.at_ns = at_ns
        if not self._working:
            self._show(self.live, at_ns)

    def _show(self, screen: ViewScreen, at_ns: int) -> None:
        self._working = True
        work = partial(self._past, screen, screen.selection, at_ns)
        self.run_worker(work, thread=True, group=f"past {id(screen)}", exclusive=True, exit_on_error=False)

    def _past(self, screen: ViewScreen, selection: Selection | None, at_ns: int) -> None:
        """In a thread."""
        try:
            moment = self._continued(screen.moment, self.moments.past(at_ns, selection), selection)
        except EbtopError as error:
            self.announce_from_thread(error.line(), "bad")
        else:
            self.post_message(self.Gathered(screen, selection, moment))
        finally:
            self._working = False

    def _continued(self, shown: Moment | None, moment: Moment, selection: Selection | None) -> Moment:
        """With all stacks since what is shown, where that is a short while before."""
        moment = moment._replace(elapsed_s=max(0.0, (moment.snapshot.time_ns - self.timeline.kept.oldest_ns) / 1e9))
        since_ns = moment.snapshot.time_ns - shown.snapshot.time_ns if shown is not None else 0
        if not (self.playing and 0 < since_ns <= _CONTINUED_NS):
            return moment
        queue = StackQueue()
        for span in self.timeline.spans(since_ns / SECOND_NS, moment.snapshot.time_ns, selection):
            queue.add(list(span.stacks), span.sampled_s, span.sampled_kind)
        return moment._replace(snapshot=with_stacks(moment.snapshot, *queue.take()), continues=True)

    def _narrow(self) -> None:
        """What was collected stays as it is."""

    def _time_runs(self) -> tuple[Run, ...]:
        kept = self.timeline.kept
        narrowed = self.timeline.narrowed_at(self._at_ns)
        state: Run = (f" REPLAY {self.speed:g}x ", "badge") if self.playing else (" REPLAY paused ", "badge")
        into, whole = self._at_ns - kept.oldest_ns, kept.newest_ns - kept.oldest_ns
        return (
            (f" only {narrowed} was collected then " if narrowed else "", "warn"),
            state,
            (f" {duration(into / 1e9)} of {duration(whole / 1e9)}", "dim"),
        )

    # What keys do

    def action_pause(self) -> None:
        self.playing = not self.playing
        self._ticked = self._clock()
        kept = self.timeline.kept
        if self.playing and self._at_ns >= kept.newest_ns:
            self.go_to(kept.oldest_ns)
        self._draw()

    def action_travel(self, seconds: int) -> None:
        kept = self.timeline.kept
        at_ns = min(max(self._at_ns + seconds * SECOND_NS, kept.oldest_ns), kept.newest_ns)
        if at_ns == self._at_ns:
            self.announce("this is the end" if seconds > 0 else "this is the beginning", "dim")
        self.go_to(at_ns)

    def action_sample(self, direction: int) -> None:
        """Faster or slower."""
        wanted = [s for s in SPEEDS if s > self.speed][:1] if direction > 0 else [s for s in SPEEDS if s < self.speed]
        if not wanted:
            self.announce(f"{self.speed:g} times is as far as it goes", "dim")
            return
        self.speed = wanted[0 if direction > 0 else -1]
        self.announce(f"{self.speed:g} times as fast as it was" + ("" if self.playing else "; Space plays"))
        self._draw()

    def action_toggle_probe(self) -> None:
        self.announce("this is a recording: its probes are gone", "dim")

    def action_toggle_all(self) -> None:
        self.action_toggle_probe()
