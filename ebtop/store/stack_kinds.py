"""The kinds of stacks, and what their weights are."""

from __future__ import annotations

import os

from ebtop.store.records import StackRecord

CPU, OFFCPU, FAULTS = "cpu", "offcpu", "faults"
STACK_KINDS = (CPU, OFFCPU, FAULTS)
"""Each is named as the probe that yields it."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
"""What one page fault brings in, at least: a huge page, or pages read around it, may come along."""


def folded_count(stack: StackRecord) -> int:
    """The number behind a folded stack: samples; microseconds blocked, as offcputime prints them; page faults."""
    if stack.kind == OFFCPU:
        return round(stack.amount / 1000)
    return stack.amount if stack.kind == FAULTS else stack.samples
