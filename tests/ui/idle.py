"""When an app under test has nothing left to do: read from its event loop, not guessed from how busy the process is."""

from __future__ import annotations

import asyncio

SOON_S = 0.03
"""Textual refreshes what changed within a frame of 1/60 s."""


async def wait_for_idle(min_sleep: float = 0.0, max_sleep: float = 10.0) -> None:
    """Return when nothing is ready to run and no timer ends soon; takes the place of Textual's, which sleeps.

    What a thread does is not waited for: see `Driving.work_done`.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + max_sleep
    while loop.time() < end:
        await asyncio.sleep(0)
        if loop._ready:
            continue
        due = [handle.when() for handle in loop._scheduled if not handle.cancelled()]
        if not due or (first := min(due)) > loop.time() + SOON_S:
            return
        await asyncio.sleep(max(0.0, first - loop.time()))
