"""What seeing an exec costs: python -m tests.bench.exec_cost [COUNT]. Prints; asserts nothing. Needs root."""

from __future__ import annotations

import sys
import time

from ebtop.probes import DEFAULT
from ebtop.store.records import ExecRecord, ExitRecord
from tests.lab import execs
from tests.lab.collect import Collector

ROUNDS = 3


def measure(probes: tuple[str, ...], count: int) -> None:
    with Collector(probes) as collected:
        before_ns = time.process_time_ns()
        storm = execs.exec_storm(count)
    # The storm is another process; reading its truth is ours, and in the figure.
    own_us = (time.process_time_ns() - before_ns) / 1000 / count
    workers = {e.ppid for e in storm.execs}
    seen = sum(r.ppid in workers for kind in (ExecRecord, ExitRecord) for r in collected.of(kind))
    health = collected.probe("exec")
    bpf_ns = health.run_ns / count
    map_mib = sum(p.map_bytes for p in collected.health.probes) / (1 << 20)
    print(
        f"{','.join(probes):40} {storm.per_second:8.0f} execs/s  {seen}/{2 * count} seen  {health.lost_total} lost  "
        f"BPF {bpf_ns:5.0f} ns  own CPU {own_us:5.1f} us an exec  maps {map_mib:.1f} MiB"
    )
    for program in health.programs:
        print(f"    {program.name:20} {program.runs:8} runs  {program.run_ns / max(program.runs, 1):7.0f} ns a run")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    for probes in (("exec",), DEFAULT):
        for _ in range(ROUNDS):
            measure(tuple(probes), count)


if __name__ == "__main__":
    main()
