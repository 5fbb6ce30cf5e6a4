"""Which CPUs there are."""

from __future__ import annotations

from functools import cache


def parse_cpu_list(text: str) -> list[int]:
    """The kernel's "0-3,8" as numbers."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def online_cpus() -> list[int]:
    """CPUs that run right now."""
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        return parse_cpu_list(file.read())


@cache
def possible_cpus() -> int:
    """How many values a per-CPU map has for each key."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        return len(parse_cpu_list(file.read()))
