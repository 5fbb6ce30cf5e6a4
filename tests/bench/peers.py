"""Compare ebtop with libbpf-tools, bpftrace and bcc on the same storms, in the same run.

Run as root from the checkout: python -m tests.bench.peers [--storm exec] [--runs 5]. Writes a Markdown table a storm
to standard output. The tools need tracefs, which is mounted in a mount namespace of the bench's own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ebtop.kernel.accounting import RunTimeStats
from tests.bench import bcc_tree
from tests.bench.measure import Run, ToolFailed, first_event_s, storm_under
from tests.bench.storms import STORMS, Load
from tests.bench.tools import TOOLS, Tool

_PRIVATE = "EBTOP_BENCH_NAMESPACE"
_COUNTS = {"exec": 20_000, "tcp": 10_000}
_HEADINGS = (
    "tool",
    "first event, s",
    "storm, events/s",
    "slowdown, %",
    "BPF, us/event",
    "tool CPU, us/event",
    "peak RSS, MB",
    "maps, MB",
    "seen, %",
    "right pid, %",
    "right bytes, %",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__.partition("\n")[0])
    parser.add_argument("--storm", choices=list(STORMS), action="append", help="only this storm")
    parser.add_argument("--tool", default="", help="only tools with this in their name")
    parser.add_argument("--runs", type=int, default=5, help="runs of each tool; the table shows medians")
    parser.add_argument("--count", type=int, help="execs or connections a storm")
    parser.add_argument("--per-second", type=int, default=0, help="how fast; 0 is full speed")
    arguments = parser.parse_args()
    if _PRIVATE not in os.environ:
        os.environ[_PRIVATE] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, "-m", "tests.bench.peers", *sys.argv[1:]])
    subprocess.run(["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"], check=True)

    with tempfile.TemporaryDirectory() as tree:
        bcc_tree.write(Path(tree))
        environment = {**os.environ, "BCC_KERNEL_SOURCE": tree}
        statistics_on = RunTimeStats()
        try:
            for storm in arguments.storm or STORMS:
                tools = [t for t in TOOLS if t.storm == storm and arguments.tool in t.name]
                load = Load(arguments.count or _COUNTS[storm], arguments.per_second)
                print("\n".join(compare(storm, tools, load, arguments.runs, environment)), flush=True)
        finally:
            statistics_on.close()
    return 0


def compare(
    storm: str, tools: Iterable[Tool], load: Load, rounds: int, environment: Mapping[str, str]
) -> Iterable[str]:
    """Lines of a Markdown table. Tools take turns, so that a busy moment of the machine hits them alike."""
    bare: list[float] = []
    runs: dict[Tool, list[Run]] = {tool: [] for tool in tools}
    firsts: dict[Tool, list[float]] = {tool: [] for tool in runs}
    failures: dict[Tool, str] = {}
    for _ in range(rounds):
        result = STORMS[storm].run(load)
        bare.append(result.events / result.elapsed_s)
        for tool in runs.keys() - failures.keys():
            try:
                firsts[tool].append(first_event_s(tool, STORMS[storm], environment))
                runs[tool].append(storm_under(tool, STORMS[storm], load, environment))
            except ToolFailed as failure:
                failures[tool] = str(failure)
    base = statistics.median(bare)
    yield f"\n## {storm}: {load}, median of {rounds}\n"
    yield _row(_HEADINGS)
    yield _row(["---"] * len(_HEADINGS))
    yield _row(["none", "", f"{base:.0f}"] + [""] * (len(_HEADINGS) - 3))
    for tool, done in runs.items():
        if tool in failures:
            yield _row([tool.name, f"did not run: {failures[tool]}"] + [""] * (len(_HEADINGS) - 2))
        else:
            yield _row([tool.name, f"{statistics.median(firsts[tool]):.2f}", *_figures(done, base)])


def _figures(runs: list[Run], base: float) -> list[str]:
    def median(figure: Callable[[Run], float]) -> float:
        return statistics.median(map(figure, runs))

    rate = median(lambda run: run.events / run.elapsed_s)
    return [
        f"{rate:.0f}",
        f"{100 * (base / rate - 1):.0f}",
        f"{median(lambda run: run.bpf_ns / run.events / 1e3):.2f}",
        f"{median(lambda run: run.cpu_s / run.events * 1e6):.1f}",
        f"{median(lambda run: run.rss_bytes) / 1e6:.0f}",
        f"{median(lambda run: run.map_bytes) / 1e6:.1f}",
        f"{median(lambda run: 100 * run.found.seen / run.found.expected):.2f}",
        _share([(run.found.right_owner, run.found.seen) for run in runs]),
        _share([(run.found.right_bytes, run.found.seen) for run in runs]),
    ]


def _share(parts: list[tuple[int | None, int]]) -> str:
    shares = [100 * part / whole for part, whole in parts if part is not None and whole]
    return f"{statistics.median(shares):.2f}" if shares else ""


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
