"""What following TCP costs on a storm of loopback connections: the storm alone, then under each probe and under all.

Run as root: python -m tests.bench.tcp_cost
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from ebtop.store.records import TcpRecord
from tests.lab import tcp
from tests.lab.collect import Collector

CONNECTIONS = 10_000
SETTLE_S = 1.5
"""Until the poll that reads the figures after the storm."""
PROBES = (("tcp",), ("retransmits",), ("connects",), ("tcp", "retransmits", "connects"))


def alone() -> tuple[float, float]:
    """Connections per second without a probe, and the CPU time in us that this process takes for a storm's truth."""
    rates, costs = [], []
    for _ in range(3):
        began = time.process_time()
        rates.append(tcp.tcp_storm(CONNECTIONS).per_second)
        costs.append((time.process_time() - began) * 1e6 / CONNECTIONS)
    return statistics.median(rates), statistics.median(costs)


def under(probes: tuple[str, ...], truth_us: float) -> Iterator[str]:
    with Collector(probes) as collected:
        time.sleep(SETTLE_S)
        before = collected.health
        storm = tcp.tcp_storm(CONNECTIONS)
        time.sleep(SETTLE_S)
        after = collected.health
    figures: dict[str, tuple[int, int]] = {}
    earlier = {(p.name, c.name): c for p in before.probes for c in p.programs}
    for probe in after.probes:
        for program in probe.programs:
            was = earlier[probe.name, program.name]
            figures[f"{probe.name} {program.name}"] = program.runs - was.runs, program.run_ns - was.run_ns
    bpf_ns = sum(ns for _, ns in figures.values()) / CONNECTIONS
    own_us = (after.own_cpu_ns - before.own_cpu_ns) / 1000 / CONNECTIONS - truth_us
    lost = sum(probe.lost_total for probe in after.probes)
    maps = sum(probe.map_bytes for probe in after.probes) / (1 << 20)
    events = len(collected.of(TcpRecord))
    yield (
        f"{'+'.join(probes)}: {storm.per_second:,.0f} connections/s, both ends: {bpf_ns:,.0f} ns of BPF and"
        f" {own_us:.1f} us of own CPU a connection, {events} events, {lost} lost, maps {maps:.1f} MiB"
    )
    for name, (runs, ns) in figures.items():
        if runs:
            yield f"  {name}: {runs / CONNECTIONS:.1f} runs a connection, {ns / runs:.0f} ns a run"


def main() -> None:
    per_second, truth_us = alone()
    print(f"no probe: {per_second:,.0f} connections/s (median)")
    for probes in PROBES:
        for line in under(probes, truth_us):
            print(line)


if __name__ == "__main__":
    main()
