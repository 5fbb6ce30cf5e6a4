from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import textual.app
import textual.pilot
from driving import Driving
from fakes import FakeClock, FakeSource, FakeTimeline
from idle import wait_for_idle

from ebtop.ui import themes
from ebtop.ui.live import LiveApp

Start = Callable[..., AbstractAsyncContextManager[Driving]]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "EBTOP_THEME", "EBTOP_THEME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture(autouse=True)
def idle_without_sleeping(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (textual.app, textual.pilot):
        monkeypatch.setattr(module, "wait_for_idle", wait_for_idle)


@pytest.fixture
def start() -> Start:
    """`async with start(size=(120, 40)) as ui`: the app on fakes, one tick done."""

    @asynccontextmanager
    async def starting(
        store: FakeTimeline | None = None,
        source: FakeSource | None = None,
        size: tuple[int, int] = (120, 40),
        filter_text: str = "",
        ascii_only: bool = False,
        ticks: int = 1,
    ) -> AsyncIterator[Driving]:
        clock, source, store = FakeClock(), source or FakeSource(), store or FakeTimeline()
        app = LiveApp(
            source,
            store,
            themes.load(),
            asked_for=filter_text,
            ascii_only=ascii_only,
            clock=clock,
            ticking=False,
        )
        async with app.run_test(size=size) as pilot:
            ui = Driving(app, pilot, source, store, clock)
            await ui.settle()
            for _ in range(ticks):
                await ui.tick()
            yield ui

    return starting
