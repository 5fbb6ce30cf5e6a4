"""One pane alone in an app, fed by hand: what a pane does without all that is around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Generic, TypeVar

from fakes import START_NS, FakeSource, empty_snapshot
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.pilot import Pilot

import ebtop.ui
from ebtop.store.records import StackRecord
from ebtop.store.rows import Snapshot, StackSpan
from ebtop.ui import themes
from ebtop.ui.focus import Focus
from ebtop.ui.moment import Moment
from ebtop.ui.palette import Palette
from ebtop.ui.panes.base import Pane
from ebtop.ui.strips import StripWidget

SECOND_NS = 10**9
P = TypeVar("P", bound=Pane)


class PaneApp(App[None], inherit_bindings=False):
    """Does with the keys of the whole app what concerns a pane."""

    CSS_PATH = Path(ebtop.ui.__file__).with_name("ebtop.tcss")
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [Binding("enter,d", "drill", "drill"), Binding("escape", "back", "back")]  # noqa: RUF012

    def __init__(self, pane: Pane, mono: bool) -> None:
        super().__init__(ansi_color=True if mono else None)
        theme = themes.load()
        self.palette = Palette(theme, mono)
        self.ascii_only = False
        self.pane = pane
        self.drilled: list[Focus | None] = []
        self.went_back = 0
        self.register_theme(theme.textual())
        self.theme = theme.name

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.screen.set_focus(self.pane.body)

    def action_drill(self) -> None:
        self.drilled.append(self.pane.focus_of())

    def action_back(self) -> None:
        self.went_back += 0 if self.pane.back() else 1


class Hosted(Generic[P]):
    """The pane, its clock and what is kept of it."""

    def __init__(self, pane: P, app: PaneApp, pilot: Pilot[None]) -> None:
        self.pane, self.app, self.pilot = pane, app, pilot
        self.now_s = 0
        self.kept: list[StackSpan] = []
        self.asked: list[float] = []
        """Of how many seconds the kept stacks were asked for."""

    async def settle(self) -> None:
        """Threads are done and what they made is on screen."""
        for _ in range(3):
            await self.pilot.pause()
            await self.app.workers.wait_for_complete()
        await self.pilot.pause()

    async def second(
        self, *stacks: StackRecord, frozen: bool = False, continues: bool = True, draw: bool = True, **changes: object
    ) -> None:
        """One second later, in which these were sampled."""
        self.now_s += 1
        now_ns = START_NS + self.now_s * SECOND_NS
        self.kept.append(StackSpan(now_ns, stacks, 1.0))
        await self.show(
            empty_snapshot(time_ns=now_ns, stacks=stacks, sampled_s=1.0, **changes), frozen, continues, draw=draw
        )

    async def show(self, snapshot: Snapshot, frozen: bool = False, continues: bool = True, draw: bool = True) -> None:
        until_ns = snapshot.time_ns

        def spans(seconds: float) -> Sequence[StackSpan]:
            self.asked.append(seconds)
            return [s for s in self.kept if until_ns - seconds * SECOND_NS < s.time_ns <= until_ns]

        health = FakeSource().health()
        self.pane.take(Moment(snapshot, health, None, {}, float(self.now_s), spans, continues), frozen)
        if draw:
            self.pane.draw()
        await self.settle()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    def text(self, widget: StripWidget) -> str:
        return "\n".join(line.rstrip() for line in widget.text_lines())

    @property
    def title(self) -> str:
        return self.text(self.pane.title_line)

    @property
    def body(self) -> list[str]:
        return [line.rstrip() for line in self.pane.body.text_lines()]


@asynccontextmanager
async def hosted(pane: P, size: tuple[int, int] = (120, 30), mono: bool = False) -> AsyncIterator[Hosted[P]]:
    app = PaneApp(pane, mono)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield Hosted(pane, app, pilot)
