"""How soon keys answer where the link to the terminal brings a few KB a second, and how old what it shows is.

Usage: python -m tests.bench.slow_link [--keys 30] [--rate 5000] [--size 200x50] [--load demo|storm]

Four links: one that tells at once what it has no room for; one whose terminal never says where its cursor is; and two
with room for 64 and 256 KB on the way, as a connection of SSH has, where only such answers tell. Needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import time

from tests.bench.key_latency import quantile, storms
from tests.bench.keys import Press, round_of_keys
from tests.bench.terminal import EBTOP, Link, Screen, Terminal

_WARM_UP_S = 30.0
_PAUSES_S = (0.5, 2.5)
_GIVEN_UP_S = 30.0
_MOVING = ("pane", "row", "frame", "sort")
"""Keys that change some lines; a page, as the help, is the whole screen."""


def links(rate: int) -> dict[str, Link]:
    return {
        "no room": Link(rate),
        "no room, no answers": Link(rate, answers=False),
        "64 KB on the way": Link(rate, 64 << 10),
        "256 KB on the way": Link(rate, 256 << 10),
    }


def measure(terminal: Terminal, presses: list[Press], keys: int) -> tuple[list[float], list[float], list[int]]:
    """Seconds to the effect of each key; meanwhile how old the time on screen was, and bytes on their way."""
    answered, ages, on_the_way = [], [], []
    chance = random.Random(1)
    for number in range(keys):
        time.sleep(chance.uniform(*_PAUSES_S))
        press = presses[number % len(presses)]
        ages.append(age_s(terminal.screen))
        on_the_way.append(terminal.written - terminal.shown)
        try:
            answered.append(terminal.seconds_to(press.keys, press.seen(terminal.screen), _GIVEN_UP_S))
        except TimeoutError:
            answered.append(_GIVEN_UP_S)
    return answered, ages, on_the_way


def age_s(screen: Screen) -> float:
    """Of the time that stands in the first line, which is that of the moment shown."""
    found = re.search(r"(\d\d):(\d\d):(\d\d) *$", screen.line(0))
    if not found:
        return float("nan")
    hours, minutes, seconds = map(int, found.groups())
    now = time.localtime()
    passed = (now.tm_hour - hours) * 3600 + (now.tm_min - minutes) * 60 + now.tm_sec - seconds
    return passed % 86400 + time.time() % 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Keys over a slow link.")
    parser.add_argument("--keys", type=int, default=30, help="for each link")
    parser.add_argument("--rate", type=int, default=5000, help="bytes a second")
    parser.add_argument("--size", default="200x50")
    parser.add_argument("--load", choices=("demo", "storm"), default="demo")
    parser.add_argument("--link", choices=links(1), action="append", help="only this one")
    parser.add_argument("--command", nargs="+", default=[EBTOP], help="the program, if not this checkout's")
    args = parser.parse_args()
    columns, lines = map(int, args.size.split("x"))
    presses = [p for p in round_of_keys("23") if p.what in _MOVING]
    command = [*args.command, "demo"] if args.load == "demo" else args.command
    print(f"{args.rate} bytes a second, {args.size}, {args.load}")
    print("link                  key p50    p90    max  age p50    max s  on the way  sent/s bytes")
    for name, link in links(args.rate).items():
        if args.link and name not in args.link:
            continue
        seconds = _WARM_UP_S + args.keys * 4
        load = storms(seconds) if args.load == "storm" else contextlib.nullcontext()
        with load, Terminal(command, columns, lines, link) as terminal:
            terminal.wait(lambda screen: "LIVE" in screen.line(0), 120)
            time.sleep(_WARM_UP_S)
            before = terminal.usage()
            answered, ages, on_the_way = measure(terminal, presses, args.keys)
            after = terminal.usage()
        figures = [quantile(answered, 0.5), quantile(answered, 0.9), max(answered), quantile(ages, 0.5), max(ages)]
        print(
            "{:20} {:8.2f} {:6.2f} {:6.2f} {:8.1f} {:6.1f}   {:11} {:7.0f}".format(
                name, *figures, max(on_the_way), (after.bytes - before.bytes) / (after.at - before.at)
            ), flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
