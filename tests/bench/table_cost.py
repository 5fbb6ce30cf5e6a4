"""What a table costs that has very many rows: a tick, a sort, a search. Prints figures; judges nothing.

Run: python -m tests.bench.table_cost [--rows 50000]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ui")]

TICKS = 7


def milliseconds(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return 1000 * (time.process_time() - began)


def told(name: str, times: list[float]) -> None:
    print(f"{name:44} {statistics.median(times):6.1f} ms (worst {max(times):.1f})")


async def measure(count: int) -> None:
    from fakes import tcp_row
    from pane_host import hosted

    from ebtop.ui.panes.tcp import TcpPane

    choose = random.Random(5)

    def rows(busy: float) -> tuple[object, ...]:
        return tuple(
            tcp_row(
                n,
                daddr=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}",
                tx_rate=choose.random() * 1e6 if choose.random() < busy else 0.0,
            )
            for n in range(count)
        )

    async with hosted(TcpPane(), size=(200, 50)) as host:
        table = host.pane.table
        for busy in (0.1, 1.0):
            ticks = [rows(busy) for _ in range(TICKS)]
            gc.collect()
            gc.freeze()  # as the program does with what is alive at its start
            for title in (None, "TX/s", "COMM", "REMOTE"):
                column = next((c for c in table.columns if c.title == title), None)
                table.show(ticks[0])
                sort = milliseconds(lambda: table.sort_by(column))  # noqa: B023
                table.move_to(count // 2)
                times = [milliseconds(lambda: table.show(tick)) for tick in ticks]  # noqa: B023
                told(f"{count:,} rows, {busy:.0%} busy, by {title or 'arrival'}: a tick", times)
                print(f"{'':24} the key that sorts   {sort:6.1f} ms")
        told("to the next match, none there", [milliseconds(lambda: table.search("not there")) for _ in range(3)])
        told("counting matches", [milliseconds(table.search_result) for _ in range(3)])


def main() -> int:
    parser = argparse.ArgumentParser(description="Cost of a table with many rows.")
    parser.add_argument("--rows", type=int, default=50_000)
    asyncio.run(measure(parser.parse_args().rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
