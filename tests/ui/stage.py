"""An app with nothing but what a page needs, for tests of one page."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fakes import START_NS, FakeSource
from textual.app import App
from textual.pilot import Pilot

import ebtop.ui
from ebtop.store.evidence import Note
from ebtop.store.rows import Rates
from ebtop.store.source import Health, NodeLoad, Pressure
from ebtop.ui import themes
from ebtop.ui.commands import bindings
from ebtop.ui.keymap import Keymap
from ebtop.ui.palette import Palette
from ebtop.ui.screens.page import Page


class Second(NamedTuple):
    time_ns: int
    rates: Rates
    health: Health


class Kept(NamedTuple):
    oldest_ns: int = START_NS
    newest_ns: int = START_NS + 598 * 10**9
    bytes: int = 12 * 2**20
    cap_bytes: int = 64 * 2**20
    seen: int = 1_234_567


@dataclass
class Remembered:
    """A timeline of made-up seconds."""

    kept: Kept = field(default_factory=Kept)
    seconds: list[Second] = field(default_factory=list)
    written: list[Note] = field(default_factory=list)

    def ticks(self) -> Sequence[Second]:
        return self.seconds

    def notes(self) -> Sequence[Note]:
        return self.written


def second(at_s: float, cpu: float | None = 50.0, narrowed: str = "", **rates: float) -> Second:
    """One tick, so many seconds after the start."""
    time_ns = START_NS + int(at_s * 1e9)
    node = NodeLoad(cpu, (1.0, 1.0, 1.0), 2**30, 2**32, Pressure(12.0, 0.0, 3.5))
    health = FakeSource().health()._replace(time_ns=time_ns, node=node, narrowed=narrowed)
    return Second(time_ns, Rates(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)._replace(**rates), health)


class Stage(App[None], inherit_bindings=False):
    CSS_PATH = Path(ebtop.ui.__file__).with_name("ebtop.tcss")
    BINDINGS = bindings("app")
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, keymap: Keymap, ascii_only: bool, theme: str) -> None:
        super().__init__()
        chosen = themes.load(theme)
        self.palette = Palette(chosen)
        self.ascii_only = ascii_only
        self.keymap = keymap
        self.set_keymap(keymap.textual())
        self.register_theme(chosen.textual())
        self.theme = chosen.name
        self.done: list[object] = []

    def action_back(self) -> None:
        self.pop_screen()

    async def action_quit(self) -> None:
        self.pop_screen()

    def action_toggle_all(self) -> None:
        self.done.append("unloaded")

    def action_overhead(self) -> None:
        self.done.append("overhead")

    def go_to(self, time_ns: int | None) -> None:
        self.done.append(time_ns)


@dataclass
class Acting:
    app: Stage
    pilot: Pilot[None]

    async def settle(self) -> None:
        await self.pilot.pause()
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return as soon as it holds; AssertionError when it never does."""
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, self.text()
            await self.pilot.pause(0.01)

    def screen(self) -> list[str]:
        """Every line of the terminal."""
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    def text(self) -> str:
        return "\n".join(self.screen())


@asynccontextmanager
async def staged(
    page: Page,
    size: tuple[int, int] = (120, 40),
    *,
    keymap: Keymap | None = None,
    ascii_only: bool = False,
    theme: str = "ebtop-dark",
) -> AsyncIterator[Acting]:
    """The page on a stage of this size."""
    app = Stage(keymap or Keymap(), ascii_only, theme)
    async with app.run_test(size=size) as pilot:
        app.push_screen(page)
        acting = Acting(app, pilot)
        await acting.settle()
        yield acting
