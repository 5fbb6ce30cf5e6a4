"""How long a key takes until its effect is on the terminal, while execs and connections storm by. Needs root.

Usage: python -m tests.bench.key_latency [--keys 600] [--load storm|demo|none] [--link BYTES_PER_S] [--command ...]

The program runs on a pseudo-terminal of 200x50. Keys come at random moments, one after the other, so that some meet
the tick and the bursts of work in the program; a key counts when what only it can have done is on the screen.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import signal
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator

from tests.bench.keys import Press, round_of_keys
from tests.bench.terminal import EBTOP, Terminal
from tests.lab import build, execs

EXECS_PER_SECOND, CONNECTIONS_PER_SECOND = 1000, 5000
WARM_UP_S = 8.0
_PAUSES_S = (0.05, 0.35)
_GIVEN_UP_S = 10.0
_TABLES = {"storm": "23", "demo": "2345", "none": ""}
"""The panes that have rows."""


@contextlib.contextmanager
def storms(seconds: float) -> Iterator[None]:
    """Execs and connections at the rates above, by two processes each; nobody reads what truth they tell."""
    leaf = str(execs.Leaf.BARE.path)
    exec_storm = [str(build.binary("exec_storm", execs.STORM_COMM)), str(int(EXECS_PER_SECOND * seconds))]
    exec_storm += ["2", str(EXECS_PER_SECOND), leaf]
    tcp_storm = [str(build.binary("tcp_storm", "ebt-tcp-storm")), "-n", str(int(CONNECTIONS_PER_SECOND * seconds))]
    tcp_storm += ["-c", "2", "-r", str(CONNECTIONS_PER_SECOND)]
    running = [subprocess.Popen(c, stdout=subprocess.DEVNULL, start_new_session=True) for c in (exec_storm, tcp_storm)]
    try:
        yield
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def measure(terminal: Terminal, presses: list[Press], keys: int) -> dict[str, list[float]]:
    """Seconds by what was done. One that is not answered counts as long as was waited."""
    found: dict[str, list[float]] = defaultdict(list)
    chance = random.Random(1)
    for number in range(keys):
        press = presses[number % len(presses)]
        time.sleep(chance.uniform(*_PAUSES_S))
        try:
            found[press.what].append(terminal.seconds_to(press.keys, press.seen(terminal.screen), _GIVEN_UP_S))
        except TimeoutError:
            found[press.what].append(_GIVEN_UP_S)
    return found


def report(found: dict[str, list[float]]) -> None:
    """One line for each kind of key, and one for all, in milliseconds."""
    everything = [seconds for part in found.values() for seconds in part]
    print(f"{'key':10} {'n':>5} {'p50':>8} {'p95':>8} {'p99':>8} {'max':>8}   ms")
    for what, part in [*found.items(), ("all", everything)]:
        figures = [1000 * quantile(part, q) for q in (0.5, 0.95, 0.99, 1.0)]
        print(f"{what:10} {len(part):5} " + " ".join(f"{figure:8.1f}" for figure in figures))


def quantile(values: list[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def main() -> None:
    parser = argparse.ArgumentParser(description="Key to paint.")
    parser.add_argument("--keys", type=int, default=600)
    parser.add_argument("--load", choices=_TABLES, default="storm")
    parser.add_argument("--command", nargs="+", default=[EBTOP], help="the program, if not this checkout's")
    args = parser.parse_args()
    presses = round_of_keys(_TABLES[args.load])
    command = [*args.command, "demo"] if args.load == "demo" else args.command
    # Twice as long as it takes when every key is answered at once.
    seconds = 2 * args.keys * (statistics.mean(_PAUSES_S) + 0.05) + 60
    load = storms(seconds) if args.load == "storm" else contextlib.nullcontext()
    with load, Terminal(command) as terminal:
        terminal.wait(lambda screen: "LIVE" in screen.line(0))
        time.sleep(WARM_UP_S)
        before = terminal.usage()
        found = measure(terminal, presses, args.keys)
        after = terminal.usage()
        lines = terminal.screen.lines
    elapsed = after.at - before.at
    print(f"{args.load}, {elapsed:.0f} s; own CPU {100 * (after.cpu_s - before.cpu_s) / elapsed:.0f} % of one core")
    print(next(line for line in lines if " EXEC" in line).strip())
    print(next(line for line in lines if " TCP" in line).strip())
    report(found)


if __name__ == "__main__":
    main()
