"""What all panes have in common: a title, a banner for what went wrong, a body, and words instead of emptiness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical

from ebtop.store.source import ProbeHealth, UnloadProof
from ebtop.ui.focus import Copied, Focus
from ebtop.ui.moment import Moment
from ebtop.ui.notice import Notice, Paragraph
from ebtop.ui.proof import proof_text
from ebtop.ui.strips import StripWidget
from ebtop.ui.title import Figure, TitleLine
from ebtop.units import count, duration, percent, plural

if TYPE_CHECKING:
    from ebtop.ui.screens.page import Page


class Pane(Vertical):
    """One probe's view. `take` is called every second, `draw` only when the pane can be seen."""

    probe = ""
    number = 0
    heading = ""
    words = ""
    """For the help: what is shown and how to read it."""
    source_words = ""
    """For the help: where the numbers come from and what they do not contain."""
    high_words = ""
    """For the help: what a high value means."""
    next_words = ""
    """For the help: what to do about it."""
    nothing_yet = ""
    """Ends the sentence "No ... in 12 s"."""

    def __init__(self, body: StripWidget) -> None:
        super().__init__(id=self.probe)
        self.body = body
        body.add_class("body")
        self.title_line = TitleLine(str(self.number), self.heading)
        self.notice = Notice()
        self.proof: UnloadProof | None = None
        self.moment: Moment | None = None
        self.view: Moment | None = None
        self._live_since: float | None = None

    @property
    def probes(self) -> tuple[str, ...]:
        """All that it can show."""
        return (self.probe,)

    @property
    def shown_probe(self) -> str:
        """Whose figures are shown now."""
        return self.probe

    def load_cost(self) -> str:
        """What loading the shown probe costs, a clause for people; "" = nothing to speak of."""
        return ""

    @property
    def scopes(self) -> tuple[str, ...]:
        """Of the keys that work here, besides those of the app."""
        return ("table",)

    def compose(self) -> ComposeResult:
        yield self.title_line
        yield self.notice
        yield from self.content()

    def content(self) -> ComposeResult:
        """The widgets below the title."""
        yield self.body

    def take(self, moment: Moment, frozen: bool) -> None:
        """A new tick; while `frozen` the body goes on showing the tick before."""
        self.moment = moment
        probe = moment.probe(self.shown_probe)
        if probe is None or probe.state != "on":
            self._live_since = None
        elif self._live_since is None:
            self._live_since = moment.elapsed_s if moment.continues else 0.0
        self.collect(moment)
        if not frozen:
            self.thaw()

    def collect(self, moment: Moment) -> None:
        """Keep what a snapshot carries only once."""

    def thaw(self) -> None:
        """Let the body show the latest tick."""
        self.view = self.moment

    def draw(self) -> None:
        """Show the view, and the state that the probe is in now."""
        if self.moment is None or self.view is None:
            return
        probe = self.moment.probe(self.shown_probe)
        on = probe is not None and probe.state == "on"
        self.title_line.show(self.leading(self.view) if on else [], self._trust(self.moment, self.view, probe))
        self.notice.show(self._state(self.moment, probe), whole=self.empty(self.view))
        self.draw_body(self.view)

    def draw_body(self, moment: Moment) -> None:
        raise NotImplementedError

    def empty(self, moment: Moment) -> bool:
        """Whether there is nothing to show but words."""
        raise NotImplementedError

    def leading(self, moment: Moment) -> list[Figure]:
        """The figures next to the name: rates."""
        raise NotImplementedError

    def completeness(self, moment: Moment, probe: ProbeHealth) -> list[Figure]:
        """How whole the data is, apart from lost events."""
        return []

    def floor(self, moment: Moment) -> str:
        """What stands before a count: nothing, or that it is a floor."""
        return "≥" if moment.lost.get(self.shown_probe) else ""

    def search(self, text: str) -> None:
        """Mark what matches and go to the first match; "" ends the search. Matching ignores case."""

    def search_next(self, step: int) -> None:
        """To the next match, or with -1 to the one before."""

    def search_result(self) -> str:
        """What was found, for the line of messages: "3 of 12 rows", "18 % of samples"; "" without a search."""
        return ""

    def back(self) -> bool:
        """Undo one thing within the pane, as a search, a zoom or a mode. False = there is nothing to undo."""
        return False

    def start_like(self, other: Pane) -> None:
        """The pane is made for a drill-down from this one."""

    def look_at(self, focus: Focus) -> None:
        """The pane is part of a drill-down to this: start in the mode that suits it."""

    def focus_of(self) -> Focus | None:
        """Where Enter goes from the row or frame under the cursor; None = nowhere."""
        return None

    def page_of(self) -> Page | None:
        """The page that Enter opens on what is under the cursor, where that leads to no view."""
        return None

    def copied(self) -> Copied | None:
        """What `y` copies."""
        return None

    def _trust(self, moment: Moment, view: Moment, probe: ProbeHealth | None) -> list[Figure]:
        if probe is None or probe.state != "on":
            return [
                Figure(probe.state if probe else "not chosen", "bad" if probe and probe.state == "failed" else "dim")
            ]
        lost = moment.lost.get(self.shown_probe, 0)
        figures = self.completeness(view, probe)
        if probe.notes:
            figures.append(Figure(f"{plural(len(probe.notes), 'blind spot')} ?", "info", 4))
        figures.append(Figure(f"{count(lost)} lost", "bad" if lost else "dim", 0 if lost else 2))
        cost = moment.cost.probes.get(self.shown_probe) if moment.cost else None
        figures.append(Figure("bpf ?" if cost is None else f"bpf {percent(cost)}", "dim", 3))
        return figures

    def _state(self, moment: Moment, probe: ProbeHealth | None) -> Sequence[Paragraph]:
        if probe is None:
            return [
                Paragraph(f"The {self.shown_probe} probe was not asked for.", "dim"),
                Paragraph("--probes chooses them.", "faint"),
            ]
        if probe.state == "failed":
            fix = [Paragraph(f"What to do: {probe.fix}", "text")] if probe.fix else []
            return [
                Paragraph(f"The {self.shown_probe} probe could not be loaded.", "bad"),
                Paragraph(probe.error, "text"),
                *fix,
                Paragraph("The other probes run without it. u tries again, L shows the log.", "dim"),
            ]
        empty = self.view is not None and self.empty(self.view)
        if probe.state == "off":
            proof = self.proof if self.proof and self.proof.probe == probe.name else None
            told = proof_text(proof) if proof else f"{probe.name} is unloaded."
            style = "warn" if proof and proof.remaining_ids else "good"
            return [Paragraph(told, style), *([Paragraph("u loads it again.", "dim")] if empty else [])]
        if probe.state == "loading":
            return [Paragraph(f"Loading the {self.shown_probe} probe …", "dim")]
        if empty:
            seconds = duration(moment.elapsed_s - (self._live_since or 0.0))
            return [
                Paragraph(f"No {self.nothing_yet} in {seconds}.", "dim"),
                Paragraph("The probe is loaded and watching.", "faint"),
            ]
        return []
