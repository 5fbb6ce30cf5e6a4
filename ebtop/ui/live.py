"""What the keys do."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from ebtop.errors import EbtopError
from ebtop.store.selection import Selection
from ebtop.text import clean
from ebtop.ui.baseline import WINDOW_S, Baseline, Difference, SavedBaseline, difference, side_of
from ebtop.ui.commands import bindings
from ebtop.ui.driver import TerminalDriver
from ebtop.ui.focus import Copied, Focus
from ebtop.ui.folders import baselines_folder
from ebtop.ui.marks import marks, next_mark, told
from ebtop.ui.moment import Moment
from ebtop.ui.panes.cpu import CpuPane
from ebtop.ui.prompt import Question
from ebtop.ui.screens.view import ViewScreen
from ebtop.ui.time_view import parse_time
from ebtop.ui.view_app import ViewApp
from ebtop.units import duration, percent, wall_clock, wall_date

if TYPE_CHECKING:
    from ebtop.store.file.named import Named
    from ebtop.ui.freezing import Done, Freezer

REFRESH_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_ASKED_S = 5.0
"""How long the second press of a key is waited for."""


class LiveApp(ViewApp, inherit_bindings=False):
    """The app. The source is started and closed by whoever runs it."""

    BINDINGS = bindings("app")

    # Moving about

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

    def _after_move(self) -> None:
        """In a layout with one pane the new one has not been drawn while it was hidden."""
        self._show_hints()
        if self.live.single:
            self.call_after_refresh(self.live.current.draw)

    async def action_back(self) -> None:
        screen = self.live
        if self.screen is not screen:
            back = getattr(self.screen, "back", None)
            if back is None or not back():
                self.pop_screen()
        elif screen.current.back():
            self._message = None
            screen.current.draw()
            self._show_hints()
        elif screen.maximised:
            self.action_maximise()
        elif screen.has_class("-log"):
            self.action_log()
        elif screen.trail:
            self._leave_view()
        else:
            self.announce("this is the overview; q quits", "dim")

    async def action_quit(self) -> None:
        if self.screen is not self.live:
            self.pop_screen()
        elif self.live.trail:
            self._leave_view()
        else:
            self.exit()

    def action_leave(self) -> None:
        self.exit()

    def action_drill(self) -> None:
        focus, page = self.live.current.focus_of(), self.live.current.page_of()
        if page is not None:
            self.push_screen(page)
        elif focus is None:
            self.announce("there is nothing to go into here", "dim")
        else:
            self.drill(focus)

    def drill(self, focus: Focus) -> None:
        """Open a view of one process, command, peer, connection or frame."""
        screen = ViewScreen((*self.live.trail, focus))
        for pane, above in zip(screen.panes, self.live.panes, strict=True):
            pane.start_like(above)
        self._asked = ("", 0.0)
        self.push_screen(screen)
        self.gather(screen)
        self._narrow()
        self.call_after_refresh(self._show_hints)

    def _leave_view(self) -> None:
        screen = self.live
        if screen.source_view is not None:
            screen.source_view.close()
        self.pop_screen()
        below = self.live
        below.continues = False
        self.gather(below)
        self._narrow()
        if not self.time_view.live:
            self.go_to(self.time_view.at_ns)
        self.tick_soon()
        self._show_hints()

    # Search and filter

    def action_search(self) -> None:
        pane = self.live.current

        def found(text: str) -> None:
            self.announce(pane.search_result() if text else "search ended", "text")

        self.live.prompt.ask(Question("search", "part of a name; Enter goes there", found, changed=pane.search))

    def action_search_next(self, step: int) -> None:
        self.live.current.search_next(step)
        if result := self.live.current.search_result():
            self.announce(result)

    def action_filter(self) -> None:
        self.live.prompt.ask(self.filtering.question(self.live, self._filtered))

    def action_clear_filter(self) -> None:
        self.filtering.clear()
        self._filtered("")

    def _filtered(self, text: str) -> None:
        self.gather(self.live)
        self._narrow()
        self.announce(f"only what matches {text} is shown; F clears" if text else "everything is shown and collected")

    # Time

    def action_pause(self) -> None:
        if self.time_view.live:
            moment = self.live.moment
            at_ns = moment.snapshot.time_ns if moment else time.time_ns()
            self.time_view.stop(at_ns, self._clock(), self.timeline.kept.seen)
            self._draw()
        else:
            self.go_to(None)

    def action_travel(self, seconds: int) -> None:
        kept = self.timeline.kept
        if not kept.newest_ns:
            self.announce("nothing is kept yet", "dim")
            return
        if self.time_view.live and seconds > 0:
            self.announce("this is the newest moment", "dim")
            return
        at_ns = self.time_view.stepped(seconds, kept.oldest_ns, kept.newest_ns)
        if at_ns is not None and at_ns == self.time_view.at_ns == kept.oldest_ns:
            self.announce(f"nothing older is kept: {self._reach()}", "dim")
        self.go_to(at_ns)

    def action_ask_time(self) -> None:
        kept = self.timeline.kept

        def check(text: str) -> str:
            at_ns = parse_time(text, kept.newest_ns)
            if at_ns is None:
                return "a time is 14:03, 14:03:20, or how long ago: -5m, -90s"
            if not kept.oldest_ns <= at_ns <= kept.newest_ns:
                return f"that is not kept: {self._reach()}"
            return ""

        def answer(text: str) -> None:
            self.go_to(parse_time(text, kept.newest_ns))

        self.live.prompt.ask(Question("go to", "14:03, 14:03:20, -5m", answer, check=check))

    def action_mark(self, kind: str, step: int) -> None:
        found = marks(self.timeline, kind)
        at_ns = self.time_view.at_ns
        place = next_mark(found, self.timeline.kept.newest_ns if at_ns is None else at_ns, step)
        if place is None:
            where = ("after" if step > 0 else "before") + " this moment"
            self.announce(f"there is no {kind} {where}" if found else f"there is no {kind} in what is kept", "dim")
            return
        self.announce(told(found, place, kind))
        self.go_to(found[place].time_ns)

    # Notes

    def action_note(self) -> None:
        self.live.prompt.ask(Question("note", "what you see; it is kept with its time", self.note))

    def note(self, text: str) -> None:
        """Write down something about the moment that is shown."""
        text = clean(text.strip())
        if not text:
            return
        try:
            self.timeline.note(text, self.time_view.at_ns)
        except EbtopError as error:
            self.announce(error.line(), "warn")
        else:
            self.announce(f"noted: {text}", "good")

    # Snapshots

    def action_freeze(self) -> None:
        freezer = self.freezer
        if freezer is None:
            self.announce("there is nothing to freeze here", "dim")
        elif freezer.busy:
            self.announce("a snapshot is being written already", "dim")
        else:
            # As it is now, not with a line to type into.
            screen = self.export_screenshot(title="ebtop")
            hint = "a title, or nothing; Enter freezes the last minutes"
            self.live.prompt.ask(Question("snapshot", hint, partial(self._freeze, freezer, screen)))

    def _freeze(self, freezer: Freezer, screen: str, title: str) -> None:
        self.announce("freezing …", "dim")
        work = partial(self._write_snapshot, freezer, screen, clean(title.strip()))
        self.run_worker(work, thread=True, group="freeze", exit_on_error=False)

    def _write_snapshot(self, freezer: Freezer, screen: str, title: str) -> None:
        """In a thread."""
        try:
            done = freezer.freeze(title, screen, lambda text: self.announce_from_thread(text, "dim"))
        except EbtopError as error:
            self.announce_from_thread(error.line(), "bad")
        else:
            self.call_from_thread(self._frozen, done)

    def _frozen(self, done: Done) -> None:
        self.announce(done.text, "good" if done.whole else "warn")
        self.run_worker(self._copy(Copied("path", str(done.file)), done.text), group="copy", exit_on_error=False)

    # Comparing

    def action_baseline(self) -> None:
        """Mark the moment that is shown."""
        moment, selection = self.live.moment, self.live.selection
        if moment is None:
            self.announce("nothing is shown yet", "dim")
            return
        self.baseline = Baseline(moment.snapshot.time_ns)
        work = partial(self._keep_baseline, self.baseline, moment, selection)
        self.run_worker(work, thread=True, group="baseline", exit_on_error=False)

    def _keep_baseline(self, baseline: Baseline, moment: Moment, selection: Selection | None) -> None:
        """In a thread: stacks are gathered."""
        baseline.keep(selection, side_of(moment.snapshot, moment.spans(WINDOW_S), WINDOW_S))
        self.announce_from_thread(f"{baseline.name} is the baseline; D shows what is different", "good")

    def action_saved_baseline(self) -> None:
        """Take one that `ebtop baseline save` keeps."""
        self.run_worker(self._offer_baselines, thread=True, group="baseline", exit_on_error=False)

    def _offer_baselines(self) -> None:
        """In a thread: files are opened."""
        from ebtop.store.file.named import named

        found = named(baselines_folder())
        if found:
            self.call_from_thread(self._choose_baseline, found)
        else:
            self.announce_from_thread("no baseline is kept; `ebtop baseline save NAME` keeps a minute by name", "dim")

    def _choose_baseline(self, found: list[Named]) -> None:
        from ebtop.ui.screens.choice import Choice, ChoiceScreen

        def taken(chosen: tuple[str, ...] | None) -> None:
            if chosen:
                each = found[int(chosen[0])]
                work = partial(self._take_baseline, each)
                self.run_worker(work, thread=True, group="baseline", exit_on_error=False)

        choices = [Choice(str(at), each.name, each.error or _about(each)) for at, each in enumerate(found)]
        self.push_screen(ChoiceScreen("compare with", choices), taken)

    def _take_baseline(self, chosen: Named) -> None:
        from ebtop.store.file.reader import SnapshotFile
        from ebtop.store.file.replay import FileTimeline

        try:
            baseline = SavedBaseline(FileTimeline(SnapshotFile(chosen.path)), chosen.name)
        except EbtopError as error:
            self.announce_from_thread(error.line(), "bad")
            return
        self.baseline = baseline
        self.announce_from_thread(f"{baseline.name} is the baseline; D shows what is different", "good")

    def action_difference(self) -> None:
        from ebtop.ui.screens.difference import DifferenceScreen

        baseline, moment, selection = self.baseline, self.live.moment, self.live.selection
        if baseline is None or moment is None:
            self.announce("there is no baseline; b marks this moment, B takes one that was saved", "dim")
            return

        def make(shown: Moment) -> Difference:
            then = baseline.side(self.timeline, selection)
            return difference(baseline, then, shown.snapshot, shown.spans)

        self.push_screen(DifferenceScreen(make, moment))

    def _reach(self) -> str:
        kept = self.timeline.kept
        seconds = max(0.0, (kept.newest_ns - kept.oldest_ns) / 1e9)
        return f"the last {duration(seconds)} are, from {wall_clock(kept.oldest_ns)}"

    # Probes

    def action_toggle_probe(self) -> None:
        pane = self.live.current
        probe = pane.shown_probe
        unloads, probes = self._switch.plan([probe])
        cost = "" if unloads else pane.load_cost()
        asks = f"u again {'unloads' if unloads else 'loads'} {probe}{f': {cost}' if cost else ''}"
        if probes and self._confirmed(f"u {probe}", asks):
            self._toggle([probe])

    def on_cpu_pane_page_wanted(self, event: CpuPane.PageWanted) -> None:
        self.push_screen(event.page)

    def on_cpu_pane_kind_changed(self, event: CpuPane.KindChanged) -> None:
        if self.source.live and event.left in self._switch.loaded_on_demand():
            costs = f", {percent(event.percent)} of the node" if event.percent is not None else ""
            self.announce(f"{event.left} stays loaded{costs}; o comes back to it, u u unloads it there", "warn")
        self._show_hints()

    def action_toggle_all(self) -> None:
        self._toggle([*self.source.probe_names, *self._switch.loaded_on_demand()])

    def action_sample(self, direction: int) -> None:
        rates = (7, 19, 49, 99, 199, 499, 999)
        now = self.source.hertz
        wanted = [r for r in rates if r > now][:1] if direction > 0 else [r for r in rates if r < now][-1:]
        if not wanted:
            self.announce(f"{now} samples a second is the {'highest' if direction > 0 else 'lowest'} rate", "dim")
        elif direction < 0 or self._confirmed("rate", f"> again samples {wanted[0]} times a second instead of {now}"):
            self.run_worker(partial(self._set_rate, wanted[0]), thread=True, group="probes", exit_on_error=False)

    def _set_rate(self, hertz: int) -> None:
        try:
            self.source.set_rate(hertz)
        except EbtopError as error:
            self.announce_from_thread(error.line(), "bad")
        else:
            self.announce_from_thread(f"each CPU is sampled {hertz} times a second", "good")

    def _confirmed(self, key: str, question: str) -> bool:
        """Whether this is the second press of a key that changes the load on the node."""
        asked, until = self._asked
        if asked == key and self._clock() < until:
            self._asked = ("", 0.0)
            return True
        self._asked = (key, self._clock() + _ASKED_S)
        self.announce(f"{question}; anything else leaves it", "warn")
        return False

    def _toggle(self, probes: list[str]) -> None:
        """Unload these probes if any of them is loaded, otherwise load them all."""
        unloads, todo = self._switch.plan(probes)
        if not todo:
            return
        self._switch.begin(todo)
        self.announce(f"{'unloading' if unloads else 'loading'} {', '.join(todo)} …", "dim")
        work = self._switch.unload if unloads else self._switch.load
        self.run_worker(partial(work, todo), thread=True, group="probes", exit_on_error=False)

    # Pages and the terminal

    def action_log(self) -> None:
        self.live.toggle_class("-log")
        if self.live.has_class("-log"):
            self.call_after_refresh(self._show_log)
        elif not self.live.current.body.has_focus:
            self.live.current.body.focus()

    def action_help(self) -> None:
        from ebtop.ui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.live.panes, self.live.current))

    def action_refresh_rate(self, direction: int) -> None:
        now = self._refresh_s
        wanted = [s for s in REFRESH_S if s < now][-1:] if direction > 0 else [s for s in REFRESH_S if s > now][:1]
        if not wanted:
            self.announce(f"every {duration(now)} is as far as it goes", "dim")
            return
        self._refresh_s = wanted[0]
        if self._ticking:
            self._timer.stop()
            self._timer = self.set_interval(self._refresh_s, self._tick_of_clock)
        self.announce(f"redrawn every {duration(self._refresh_s)}")

    def action_redraw(self) -> None:
        self.refresh(layout=True)
        self.screen.refresh(layout=True)

    def action_copy(self) -> None:
        copied = self.live.current.copied()
        if copied is None:
            self.announce("there is nothing to copy under the cursor", "dim")
        else:
            self.run_worker(self._copy(copied), group="copy", exit_on_error=False)

    async def _copy(self, copied: Copied, before: str = "") -> None:
        """`before` is said in front of what became of it."""
        from ebtop.ui import clipboard

        report = await clipboard.copy(copied.text, copied.what, self._driver.write if self._driver else None)
        told = f"{copied.what} copied; {before}" if before and report.worked else report.line()
        self.announce(told, "text" if report.worked else "bad")
        # A clipboard tool that failed may have written to the terminal.
        self.screen.refresh()

    def action_overhead(self) -> None:
        from ebtop.ui.screens.overhead import OverheadScreen

        self.push_screen(OverheadScreen(self.timeline))

    def action_history(self) -> None:
        from ebtop.ui.screens.history import HistoryScreen

        self.push_screen(HistoryScreen(self.timeline))

    def action_doctor(self) -> None:
        from ebtop.ui.screens.doctor import DoctorScreen

        self.push_screen(DoctorScreen(self.source))

    def action_palette(self) -> None:
        from ebtop.ui.command_palette import open_palette

        open_palette(self)

    def action_choose_theme(self) -> None:
        from ebtop.ui.screens.choice import Choice, ChoiceScreen
        from ebtop.ui.themes import available

        def taken(chosen: tuple[str, ...] | None) -> None:
            if chosen:
                self.set_theme(chosen[0])

        choices = [Choice(name, name, about, name == self.theme) for name, about in available()]
        self.push_screen(ChoiceScreen("theme", choices), taken)

    def action_mouse(self) -> None:
        if isinstance(self._driver, TerminalDriver):
            on = self._driver.toggle_mouse()
            self.announce("the mouse is ebtop's" if on else "the mouse is the terminal's: select text; T takes it back")


def _about(baseline: Named) -> str:
    return f"{duration(baseline.seconds)} from {wall_date(baseline.from_ns)} on, {clean(baseline.host)}"
