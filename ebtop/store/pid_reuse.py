"""Whose end an exit record tells of, where process ids are used again and records get lost."""

from __future__ import annotations

from ebtop.store.records import ExitRecord

# A process's start comes from its lifetime on the monotonic clock, an exec's time from the wall clock.
# Less than this between the two says nothing about which came first.
_CLOCK_TOLERANCE_NS = 1_000_000_000


def started_after(exit_record: ExitRecord, time_ns: int) -> bool:
    """Whether the process that ended was forked after this moment, as far as is known."""
    if exit_record.duration_s is None:
        return False
    start_ns = exit_record.time_ns - int(exit_record.duration_s * 1e9)
    return start_ns > time_ns + _CLOCK_TOLERANCE_NS


def is_of_a_successor(exit_record: ExitRecord, comm: str, exec_ns: int) -> bool:
    """Whether the pid was reused by a process that never exec'd, and the exit of the one that did, as `comm`, was lost.

    The start alone does not prove it: the wall clock moves against the monotonic one when it is set, and
    when the node was suspended.
    """
    return exit_record.comm != comm and started_after(exit_record, exec_ns)
