"""Pictures of the real program on a workload of its own.

Usage, as root: python -m screenshots.take [SECONDS]
Writes screenshots/*.svg after SECONDS (25) of work, and *.png where there is rsvg-convert.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.session import LiveSource
from ebtop.store.store import Store
from ebtop.ui.live import LiveApp
from ebtop.ui.themes import load
from screenshots import workload
from tests.lab.cgroup import ChildCgroup

_HERE = Path(__file__).parent
_SIZES = {"overview": (200, 50), "medium": (120, 40), "small": (80, 24)}
_FONT = "DejaVu Sans Mono"


async def take(source: LiveSource, store: Store, filter_text: str, seconds: float) -> None:
    """One picture for each size, of the same minute."""
    app = LiveApp(source, store, load(""), filter_text=filter_text)
    async with app.run_test(size=_SIZES["overview"]) as pilot:
        await pilot.pause(seconds)
        for name, size in _SIZES.items():
            await pilot.resize_terminal(*size)
            await pilot.pause(2.5)
            _save(name, app.export_screenshot(title=f"ebtop {size[0]}x{size[1]}"))


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 25.0
    os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
    with ChildCgroup() as cgroup:
        chosen = FilterSpec(cgroups=(cgroup.path,))
        source = LiveSource(settings=Settings(min_latency_ms=1.0), filter_spec=chosen)
        store = Store()
        with workload.running(cgroup), contextlib.ExitStack() as stack:
            source.start(store.ingest)
            stack.callback(source.close)
            time.sleep(1.0)
            asyncio.run(take(source, store, chosen.describe(), seconds))


def _save(name: str, svg: str) -> None:
    # librsvg drops leading spaces and ignores text lengths: say so, and give the font the width the SVG counts on.
    drawn = (
        svg.replace('<svg class="rich-terminal"', '<svg xml:space="preserve" class="rich-terminal"')
        .replace("font-family: Fira Code, monospace", f"font-family: {_FONT}, monospace")
        .replace("font-size: 20px", "font-size: 20.264px")
    )
    path = _HERE / f"{name}.svg"
    path.write_text(drawn, encoding="utf-8")
    if shutil.which("rsvg-convert"):
        subprocess.run(["rsvg-convert", "-o", str(path.with_suffix(".png")), str(path)], check=True)


if __name__ == "__main__":
    main()
