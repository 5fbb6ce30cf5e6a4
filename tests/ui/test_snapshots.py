"""Whole screens as text against tests/ui/snapshots/*.txt; UPDATE_SNAPSHOTS=1 writes them anew, to be looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Start
from driving import Driving
from fakes import BusyNode, FakeSource, FakeTimeline
from test_views import FACTS, drill, process

from ebtop.store.source import NodeLoad, Pressure

FOLDER = Path(__file__).with_name("snapshots")
NODE = NodeLoad(63.0, (3.2, 2.1, 1.4), 6 << 30, 8 << 30, Pressure(12.0, 0.0, 3.1))


class BusySource(FakeSource):
    def health(self):  # type: ignore[no-untyped-def]
        return super().health()._replace(node=NODE)


async def busy(ui: Driving, seconds: int = 20) -> None:
    for _ in range(seconds):
        await ui.tick(own_ns=20_000_000, bpf_ns=1_000_000)


def compare(name: str, ui: Driving) -> None:
    text = "\n".join(line.rstrip() for line in ui.screen()) + "\n"
    path = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize("size", [(200, 50), (120, 40), (80, 24)])
async def test_overview(start: Start, size: tuple[int, int]) -> None:
    async with start(FakeTimeline(BusyNode().snapshot), BusySource(), size=size) as ui:
        await busy(ui)
        compare(f"overview-{size[0]}x{size[1]}", ui)


async def test_drill_down(start: Start) -> None:
    source = BusySource()
    source.processes[42] = FACTS._replace(started_ns=None)
    async with start(FakeTimeline(BusyNode().snapshot), source, size=(120, 40)) as ui:
        await busy(ui)
        await drill(ui, process())
        await busy(ui, 2)
        compare("drill-down-120x40", ui)


async def test_totals(start: Start) -> None:
    async with start(FakeTimeline(BusyNode().snapshot), BusySource(), size=(120, 40), ascii_only=True) as ui:
        await ui.press("1", "t", "3", "M")
        await busy(ui)
        compare("tcp-ascii-120x40", ui)
