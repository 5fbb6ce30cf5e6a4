"""What a filter costs for each record of a type. Prints figures; judges nothing.

Run: python -m tests.bench.filter_cost
"""

from __future__ import annotations

import timeit

from ebtop.store.filter import parse
from ebtop.store.records import Record
from tests.unit.record_makers import connect, exec_, exit_, retransmit, stack, tcp

EXPRESSIONS = (
    "pid:300", "comm:nginx", "comm:ngin*", "comm~^ngi", "cgroup:/system.slice", "port:443", "addr:10.0.0.0/8",
    "lat>100ms pid:300", "comm:x or user:root port:1", "cmd:config", "func:malloc", "free-text",
)  # fmt: skip
RECORDS: tuple[Record, ...] = (
    exec_(1, args="prog --config /etc/x"), exit_(1), tcp("close", 1), connect(1), retransmit(1),
    stack(1, *[f"function_{depth}" for depth in range(40)]),
)  # fmt: skip
TIMES, ROUNDS = 20_000, 5


def main() -> None:
    print(f"{'ns a record (best of rounds)':30}", *[f"{type(r).__name__.removesuffix('Record'):>10}" for r in RECORDS])
    for expression in EXPRESSIONS:
        passes = parse(expression).predicate()
        best = [min(timeit.repeat(lambda: passes(r), number=TIMES, repeat=ROUNDS)) / TIMES * 1e9 for r in RECORDS]  # noqa: B023
        print(f"{expression:30}", *[f"{ns:10.0f}" for ns in best])
    reading = min(timeit.repeat(lambda: parse("(pid:1,2 or comm:x) lat>1s").predicate(), number=200, repeat=ROUNDS))
    print(f"reading and compiling an expression: {reading / 200 * 1e6:.0f} us")


if __name__ == "__main__":
    main()
