"""Who waits for the screen's thread, and for how long."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from ebtop import precedence
from ebtop.precedence import Precedence
from ebtop.ui.event_loop import ScreenSelector, screen_loop


def test_nobody_waits_where_there_is_no_screen() -> None:
    one = Precedence()
    one.wait()
    one.take()
    one.give()
    one.wait()


def test_others_go_on_when_the_screen_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "_PATIENCE_S", 60.0)
    one = Precedence()
    one.take()
    went_on = threading.Event()

    def other() -> None:
        one.wait()
        went_on.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert not went_on.wait(0.05)
    one.give()
    assert went_on.wait(30)
    thread.join()


def test_others_go_on_although_the_screen_never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precedence, "_PATIENCE_S", 0.001)
    one = Precedence()
    one.take()
    for _ in range(3):
        one.wait()


def test_the_loop_has_precedence_while_it_runs_something(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Precedence()
    monkeypatch.setattr(precedence, "screen", one)
    found: list[bool] = []

    async def work() -> None:
        await asyncio.sleep(0.01)
        found.append(one._at_rest.is_set())
        found.append(await asyncio.to_thread(one._at_rest.wait, 30))
        found.append(one._at_rest.is_set())

    with screen_loop() as loop:
        loop.run_until_complete(work())
    assert found == [False, True, False]


def test_the_selector_tells_what_is_ready_and_keeps_time() -> None:
    selector = ScreenSelector()
    began = time.monotonic()
    assert selector.select(0.02) == []
    assert time.monotonic() - began >= 0.015
    assert selector.select(0) == []
    selector.close()
    precedence.screen.give()


def test_what_is_left_in_the_loop_ends_with_it() -> None:
    ended: list[str] = []

    async def left_behind() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("task")

    async def main() -> None:
        tasks.append(asyncio.create_task(left_behind()))
        asyncio.get_running_loop().run_in_executor(None, ended.append, "thread")
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []
    with screen_loop() as loop:
        loop.run_until_complete(main())
    assert sorted(ended) == ["task", "thread"]
    assert precedence.screen._at_rest.is_set()
