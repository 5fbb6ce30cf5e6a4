"""The main screen: header, five panes, log, status, key hints; side by side where they fit, else one at a time."""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.screen import Screen

from ebtop.ui.bars import Header, Hints, PaneBar, Status
from ebtop.ui.panes.base import Pane
from ebtop.ui.panes.connects import ConnectsPane
from ebtop.ui.panes.cpu import CpuPane
from ebtop.ui.panes.exec import ExecPane
from ebtop.ui.panes.retransmits import RetransmitsPane
from ebtop.ui.panes.tcp import TcpPane
from ebtop.ui.text_view import TextView
from ebtop.ui.title import TitleLine

_MIN_WIDTH, _MIN_HEIGHT = 100, 30
"""Below this one pane is shown at a time."""
_WIDE = 150
"""From here on CPU stands beside exec instead of above it."""


class LiveScreen(Screen[None], inherit_bindings=False):
    def __init__(self, filter_text: str) -> None:
        super().__init__()
        self.panes: list[Pane] = [CpuPane(), ExecPane(), TcpPane(), RetransmitsPane(), ConnectsPane()]
        self.current = self.panes[0]
        self.maximised = False
        self.header = Header(filter_text)
        self.pane_bar = PaneBar([(pane.probe, pane.heading) for pane in self.panes])
        self.log_text = TextView(follow=True)
        self.status = Status()
        self.hints = Hints()

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.pane_bar
        with Container(id="panes"):
            yield from self.panes
        with Vertical(id="log"):
            yield TitleLine("L", "LOG")
            yield self.log_text
        yield self.status
        yield self.hints

    def on_mount(self) -> None:
        self.enter(self.current)

    def on_resize(self, event: events.Resize) -> None:
        self.lay_out()

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

    def enter(self, pane: Pane) -> None:
        """Make a pane the current one and give it the focus."""
        self.mark(pane)
        # At once, not on the next message: keys typed right after belong to this pane.
        self.set_focus(pane.body)

    def mark(self, pane: Pane) -> None:
        """Make a pane the current one."""
        self.current = pane
        for other in self.panes:
            other.set_class(other is pane, "-current")
            other.title_line.choose(other is pane)
        self.pane_bar.show(pane.probe)

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
