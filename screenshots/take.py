"""Pictures of the real program on the workload of `ebtop demo`.

Usage, as root: python -m screenshots.take [SECONDS]
Writes screenshots/*.svg after SECONDS (60) of work, and *.png where there is rsvg-convert.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from textual.pilot import Pilot

from ebtop.demo.launch import Demo
from ebtop.kernel.descendants import descendants
from ebtop.session import LiveSource
from ebtop.store.source import ProcessFacts
from ebtop.store.timeline import Timeline
from ebtop.ui.focus import Focus
from ebtop.ui.live import LiveApp
from ebtop.ui.panes import focusing
from ebtop.ui.themes import DEFAULT, SHIPPED, load
from screenshots.braille import with_drawn_braille

_HERE = Path(__file__).parent
_SIZES = {"overview": (200, 50), "medium": (120, 40), "small": (80, 24)}
_PAGES = {"overhead": "O", "history": "H", "help": "question_mark"}
_DRILLED = "orders"
_FONT = "DejaVu Sans Mono"
_NODE = "web-3"
_SETTLE_S = 6.0
"""What the picture before has cost shall not stand in the next one."""


class DemoSource(LiveSource):
    """Shows nothing of the node but the demo: parents are told as far as its supervisor."""

    def __init__(self, demo: Demo) -> None:
        super().__init__(filter_spec=demo.filter_spec)
        self._supervisor = demo.pid

    def process(self, pid: int) -> ProcessFacts | None:
        facts = super().process(pid)
        if facts is None:
            return None
        pids = [parent for parent, _ in facts.parents]
        known = pids.index(self._supervisor) + 1 if self._supervisor in pids else 0
        return facts._replace(parents=facts.parents[:known])


async def take(app: LiveApp, drilled: Focus, seconds: float) -> None:
    """All of them, of the same minutes."""
    async with app.run_test(size=_SIZES["overview"]) as pilot:
        await pilot.pause(seconds)
        for name, size in _SIZES.items():
            await _picture(pilot, name, size)
        for theme in sorted(path.stem for path in SHIPPED.glob("*.toml")):
            if theme != DEFAULT:
                app.set_theme(theme)
                await _picture(pilot, f"overview-{theme.removeprefix('ebtop-')}", _SIZES["medium"])
        app.set_theme(DEFAULT)
        app.drill(drilled)
        await _picture(pilot, "drill-down", _SIZES["medium"])
        await pilot.press("escape")
        for name, key in _PAGES.items():
            await pilot.press(key)
            await _picture(pilot, name, _SIZES["medium"])
            await pilot.press("escape")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
    _rename_node()
    with Demo() as demo:
        source = DemoSource(demo)
        timeline = Timeline()
        focus = focusing.process(next(pid for pid in descendants([demo.pid]) if _comm(pid) == _DRILLED), _DRILLED)
        assert focus is not None
        source.start(timeline.ingest)
        try:
            time.sleep(1.0)
            app = LiveApp(source, timeline, load(DEFAULT), asked_for="cgroup /ebtop-demo")
            asyncio.run(take(app, focus, seconds))
        finally:
            source.close()


def _rename_node() -> None:
    """The program under the picture shall not name the machine it was taken on."""
    real = os.uname()
    release = re.match(r"[\d.]*\d", real.release)
    made_up = os.uname_result((real.sysname, _NODE, release[0] if release else "", real.version, real.machine))
    os.uname = lambda: made_up


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()


async def _picture(pilot: Pilot[None], name: str, size: tuple[int, int]) -> None:
    await pilot.resize_terminal(*size)
    await pilot.pause(_SETTLE_S)
    _save(name, pilot.app.export_screenshot(title=f"ebtop {size[0]}x{size[1]}"))


def _save(name: str, svg: str) -> None:
    # librsvg drops leading spaces and ignores text lengths: say so, and give the font the width the SVG counts on.
    drawn = (
        with_drawn_braille(svg)
        .replace('<svg class="rich-terminal"', '<svg xml:space="preserve" class="rich-terminal"')
        .replace("font-family: Fira Code, monospace", f"font-family: {_FONT}, monospace")
        .replace("font-size: 20px", "font-size: 20.264px")
    )
    path = _HERE / f"{name}.svg"
    path.write_text(drawn, encoding="utf-8")
    if shutil.which("rsvg-convert"):
        subprocess.run(["rsvg-convert", "-o", str(path.with_suffix(".png")), str(path)], check=True)


if __name__ == "__main__":
    main()
