"""One look at the node: header, five panes, log, status, key hints. The overview is one, each drill-down another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

from ebtop.store.selection import Selection
from ebtop.store.source import ProcessFacts
from ebtop.ui.bars import Crumbs, Header, Hints, PaneBar, Status
from ebtop.ui.facts import FactsStrip
from ebtop.ui.focus import Focus
from ebtop.ui.moment import Moment
from ebtop.ui.panes.base import Pane
from ebtop.ui.panes.connects import ConnectsPane
from ebtop.ui.panes.cpu import CpuPane
from ebtop.ui.panes.exec import ExecPane
from ebtop.ui.panes.retransmits import RetransmitsPane
from ebtop.ui.panes.tcp import TcpPane
from ebtop.ui.prompt import Prompt
from ebtop.ui.text_view import TextView
from ebtop.ui.title import TitleLine

if TYPE_CHECKING:
    from ebtop.store.timeline import View

_MIN_WIDTH, _MIN_HEIGHT = 100, 30
"""Below this one pane is shown at a time."""
_WIDE = 150
"""From here on CPU stands beside exec instead of above it."""


class ViewScreen(Screen[None], inherit_bindings=False):
    """`trail` is how one got here from the overview; empty for the overview itself."""

    # Textual's own would draw the whole screen anew whenever the focus moves.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self, trail: tuple[Focus, ...] = ()) -> None:
        super().__init__()
        self.trail = trail
        self.selection: Selection | None = None
        """What is shown; None = everything."""
        self.filtered_by: Selection | None = None
        """The filter that is part of it."""
        self.source_view: View | None = None
        """Where the live moments come from; None until what was kept has been gathered."""
        self.continues = False
        """Whether the next live moment follows the one shown."""
        self.moment: Moment | None = None
        """The one shown."""
        self.process: ProcessFacts | None = None
        """Who the process is that this is about; None = gone, or not known yet."""
        self.asking_who = False
        self.panes: list[Pane] = [CpuPane(), ExecPane(), TcpPane(), RetransmitsPane(), ConnectsPane()]
        self.current = self.panes[0]
        self.maximised = False
        self.header = Header()
        self.crumbs = Crumbs([focus.title for focus in trail])
        self.facts = FactsStrip()
        self.pane_bar = PaneBar([(pane.probe, pane.heading) for pane in self.panes])
        self.log_text = TextView(follow=True)
        self.status = Status()
        self.hints = Hints()
        self.prompt = Prompt(lambda: self.enter(self.current))

    def compose(self) -> ComposeResult:
        yield self.header
        if self.trail:
            yield self.crumbs
            yield self.facts
        yield self.pane_bar
        with Container(id="panes"):
            yield from self.panes
        with Vertical(id="log"):
            yield TitleLine("L", "LOG")
            yield self.log_text
        yield self.status
        yield self.prompt
        yield self.hints

    def on_mount(self) -> None:
        if self.trail:
            for pane in self.panes:
                pane.look_at(self.trail[-1])
        self.enter(self.current)

    def on_resize(self, event: events.Resize) -> None:
        self.lay_out()

    @property
    def focus_on(self) -> Focus | None:
        """What this drill-down is about."""
        return self.trail[-1] if self.trail else None

    @property
    def visible_panes(self) -> list[Pane]:
        return [self.current] if self.single else self.panes

    @property
    def single(self) -> bool:
        """Whether only the current pane is shown."""
        width, height = self.size
        return self.maximised or width < _MIN_WIDTH or height < _MIN_HEIGHT

    def lay_out(self) -> None:
        """Choose the layout for the size of the screen."""
        self.set_class(self.single, "-single")
        self.set_class(not self.single and self.size.width >= _WIDE, "-wide")
        self.set_class(self.size.height < _MIN_HEIGHT, "-low")
        self._show_visible()

    def enter(self, pane: Pane) -> None:
        """Make a pane the current one and give it the focus."""
        self.mark(pane)
        # At once, not on the next message: keys typed right after belong to this pane.
        self.set_focus(pane.body)

    def mark(self, pane: Pane) -> None:
        """Make a pane the current one."""
        self.current = pane
        for other in self.panes:
            other.title_line.choose(other is pane)
        self._show_visible()
        self.pane_bar.show(pane.probe)

    def _show_visible(self) -> None:
        # A class would have the styles of all that is in a pane worked out again, at each step to another one.
        visible = self.visible_panes
        for pane in self.panes:
            if pane.display != (pane in visible):
                pane.display = not pane.display

    def pane_of(self, probe: str) -> Pane:
        return next(pane for pane in self.panes if pane.probe == probe)

    @on(events.DescendantFocus)
    def _follow_focus(self, event: events.DescendantFocus) -> None:
        for pane in self.panes:
            if pane is not self.current and pane in event.widget.ancestors:
                self.mark(pane)

    @on(TitleLine.Clicked)
    def _enter_clicked(self, event: TitleLine.Clicked) -> None:
        for pane in self.panes:
            if event.title is pane.title_line:
                self.enter(pane)

    @on(PaneBar.Chosen)
    def _enter_chosen(self, event: PaneBar.Chosen) -> None:
        self.enter(self.pane_of(event.probe))
        self.current.draw()
