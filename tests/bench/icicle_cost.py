"""What an icicle of 100,000 nodes costs: feeding it, its totals, laying it out, drawing it, searching it.

    python tests/bench/icicle_cost.py [--nodes 100000] [--size 200x60] [--stacks 1500]

Prints milliseconds of CPU time (median of 15) and judges nothing. The tree is made up: bushy at the top and deep
below, as of a node with many programs. `--stacks` distinct stacks come in and as many leave each second.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ui")]

from pane_host import Hosted, hosted  # noqa: E402

from ebtop.store.flame_functions import FunctionTable  # noqa: E402
from ebtop.store.flame_paths import Shape  # noqa: E402
from ebtop.store.flame_search import FrameSearch, Wanted  # noqa: E402
from ebtop.store.flame_window import FlameWindow, gather  # noqa: E402
from ebtop.store.records import Frame, StackRecord  # noqa: E402
from ebtop.store.rows import StackSpan  # noqa: E402
from ebtop.ui.icicle_layout import layout  # noqa: E402
from ebtop.ui.panes.cpu import CpuPane  # noqa: E402

KINDS = ("native", "native", "kernel", "interpreted", "jit", "unknown")
REPEATS = 15


class MadeUp:
    """Stacks of a made-up node, the same ones again and again. Seeded."""

    def __init__(self, nodes: int) -> None:
        self.random = random.Random(7)
        self._frames = [Frame(f"{_name(n)}", KINDS[n % len(KINDS)], f"lib{n % 90}.so") for n in range(6000)]
        window = FlameWindow(60)
        self.stacks: list[StackRecord] = []
        while len(window.tree) < nodes:
            self.stacks.append(self._stack())
            window.add(0, self.stacks[-1:], 0.0)

    def second(self, stacks: int) -> list[StackRecord]:
        return self.random.sample(self.stacks, min(stacks, len(self.stacks)))

    def _stack(self) -> StackRecord:
        r = self.random
        comm, place, path = min(11, int(r.paretovariate(0.8))), 0, []
        for depth in range(r.randint(12, 60)):
            way = r.randrange(2) if depth < 4 else int(r.paretovariate(0.9)) % (2 + depth // 3) if depth > 16 else 0
            place = (place * 31 + way + 7 * comm) % len(self._frames)
            path.append(self._frames[place])
        frames = tuple(path)
        return StackRecord(
            0, 100 + comm, f"program-{comm}", 0, None, "cpu", r.randint(1, 3), frames, True, "", 20_000_000
        )


def _name(number: int) -> str:
    return f"{('parse', 'send', 'alloc', 'walk', 'lock', 'copy')[number % 6]}_{number:x}_fast"


def median_ms(what: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    taken = []
    for _ in range(REPEATS):
        before()
        began = time.thread_time()
        what()
        taken.append(1000 * (time.thread_time() - began))
    return statistics.median(taken)


def tell(what: str, milliseconds: float) -> None:
    print(f"{what:<44}{milliseconds:8.1f} ms")


def costs_of_the_tree(made_up: MadeUp, size: tuple[int, int], stacks: int) -> None:
    window, now = FlameWindow(60), 0
    window.add(0, made_up.stacks, 1.0)
    tree = window.tree

    def second() -> None:
        nonlocal now
        now += 1
        window.add(now * 10**9, made_up.second(stacks), 1.0)

    for _ in range(61):
        second()
    window.add(now * 10**9, made_up.stacks, 1.0)
    print(f"{len(tree):,} nodes, {len(tree.frames):,} distinct frames, {stacks:,} stacks in and out a second")
    tell("feeding a second", median_ms(second))
    tell("totals after a second", median_ms(lambda: tree.total, second))
    tell("layout", median_ms(lambda: layout(tree, 0, *size, {})))
    tell("search begun", median_ms(lambda: FrameSearch(tree, Wanted("alloc_1"))))
    search = FrameSearch(tree, Wanted("alloc_1"))
    tell("search kept up a second", median_ms(lambda: (search.update(), search.weight, tree.total), second))
    functions = FunctionTable(tree, callers=False)
    began = time.thread_time()
    functions.rows()
    tell("functions, the first time", 1000 * (time.thread_time() - began))
    tell("functions after a second", median_ms(functions.rows, second))
    tell("compacted (in a thread)", median_ms(window.compacted))
    spans = [StackSpan(n * 10**9, tuple(made_up.second(stacks)), 1.0) for n in range(60)]
    for shape in (Shape(), Shape("thread"), Shape(callers=True)):
        began = time.thread_time()
        gather(spans, 60 * 10**9, 60, shape, lambda: False)
        tell(f"60 s gathered (in a thread), {shape.split}, {shape.callers}", 1000 * (time.thread_time() - began))


async def costs_of_the_pane(made_up: MadeUp, size: tuple[int, int], stacks: int) -> None:
    async with hosted(CpuPane(), size=size) as ui:
        await ui.second(*made_up.stacks)
        for what, prepare in (
            ("pane redrawn, with a second of stacks", lambda: None),
            ("the same with a search", lambda: ui.pane.search("alloc_1")),
            ("the same zoomed in", lambda: ui.pane.icicle.action_down() or ui.pane.icicle.action_zoom_in()),
        ):
            prepare()
            tell(what, await pane_ms(ui, made_up, stacks))
        drawn = sum(len(row) for row in ui.pane.icicle._spans)
        ui.pane.search("")
        ui.pane.icicle.zoom_out()
        ui.pane.icicle.redraw()
        drawn = sum(len(row) for row in ui.pane.icicle._spans)
        print(f"{drawn} spans in {len(ui.pane.icicle._spans)} rows")
        tell("pane drawn anew, whole", median_ms(ui.pane.draw, ui.pane.icicle._lines.clear))
        tell("cursor moved", median_ms(ui.pane.icicle.action_down))


async def pane_ms(ui: Hosted[CpuPane], made_up: MadeUp, stacks: int) -> float:
    taken = []
    for _ in range(REPEATS):
        await ui.second(*made_up.second(stacks), draw=False)
        began = time.thread_time()
        ui.pane.draw()
        taken.append(1000 * (time.thread_time() - began))
        await ui.pilot.pause()
    return statistics.median(taken)


def main() -> int:
    parser = argparse.ArgumentParser(description="Cost of a large icicle.")
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--size", default="200x60")
    parser.add_argument("--stacks", type=int, default=1500, help="distinct stacks a second")
    args = parser.parse_args()
    width, height = (int(part) for part in args.size.split("x"))
    made_up = MadeUp(args.nodes)
    costs_of_the_tree(made_up, (width, height), args.stacks)
    asyncio.run(costs_of_the_pane(made_up, (width, height), args.stacks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
