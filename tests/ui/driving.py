"""What pilot tests do to the app and read from it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fakes import FakeClock, FakeSource, FakeTimeline
from textual.pilot import Pilot

from ebtop.ui.live import LiveApp
from ebtop.ui.strips import StripWidget

HELD_UP_S = 0.3


@dataclass
class Driving:
    app: LiveApp
    pilot: Pilot[None]
    source: FakeSource
    store: FakeTimeline
    clock: FakeClock

    async def settle(self) -> None:
        """What is on screen is what the keys so far lead to; threads that a test holds up are not waited for."""
        await self.pilot.pause()
        loop = asyncio.get_running_loop()
        end = loop.time() + HELD_UP_S
        while any(worker.is_running for worker in self.app.workers) and loop.time() < end:
            await asyncio.sleep(0.001)
            await self.pilot.pause()
        await self.pilot.pause()

    async def tick(self, own_ns: int = 0, bpf_ns: int = 0) -> None:
        """One second later."""
        self.clock.now += 1
        self.source.spend(own_ns, bpf_ns)
        self.app.tick()
        await self.settle()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def work_done(self) -> None:
        """Threads have done what the keys asked for."""
        await self.app.workers.wait_for_complete()
        await self.settle()

    def screen(self) -> list[str]:
        """Every line of the terminal."""
        return [strip.text for strip in self.app.screen._compositor.render_strips()]

    def text(self, widget: StripWidget) -> str:
        return "\n".join(line.rstrip() for line in widget.text_lines())

    def pane(self, probe: str) -> str:
        """The text of a pane: title, notice and body."""
        pane = self.app.live.pane_of(probe)
        return "\n".join(self.text(w) for w in pane.query(StripWidget) if w.display and w.size.area)

    def body(self, probe: str) -> list[str]:
        """The lines of a pane's body."""
        return [line.rstrip() for line in self.app.live.pane_of(probe).body.text_lines()]

    @property
    def status(self) -> str:
        return self.text(self.app.live.status)
