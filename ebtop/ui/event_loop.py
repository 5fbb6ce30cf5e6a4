"""The event loop of the screen's thread, which has precedence over other threads whenever it is at work."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Iterator
from contextlib import contextmanager

from ebtop import precedence


class ScreenSelector(selectors.DefaultSelector):
    """Where the loop waits; the thread has something to do whenever it is not in here."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As its base."""
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        precedence.screen.give()
        try:
            return super().select(timeout)
        finally:
            precedence.screen.take()


@contextmanager
def screen_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of this thread; what still runs in it at the end is cancelled and waited for, as asyncio.run does."""
    loop = asyncio.SelectorEventLoop(ScreenSelector())
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        try:
            loop.run_until_complete(_finish(loop))
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            precedence.screen.give()


async def _finish(loop: asyncio.AbstractEventLoop) -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
