"""Has the scheduler run the screen's thread before what loads the node, so that keys answer when nothing else does."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from types import FrameType

_RUNAWAY_S = 1
"""A thread at work for so long without a rest has gone wrong, and must not be in everybody's way."""


def come_first(log: Callable[[str], None]) -> None:
    """Give this thread, which must be the main one, real-time priority: the lowest there is, and none to its children.

    What may run before all others must not run for ever: after a second without a rest the thread is an ordinary one
    again, which goes to `log`. Where it is not permitted nothing happens; to the thread alone this makes no difference.
    """
    lowest = os.sched_param(os.sched_get_priority_min(os.SCHED_RR))
    _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    microseconds = _RUNAWAY_S * 1_000_000
    limit = microseconds if hard == resource.RLIM_INFINITY else min(microseconds, hard)

    def fall_back(_number: int, _frame: FrameType | None) -> None:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        log("the screen was at work for a second without a rest; it has no precedence on the node's CPUs any more")

    signal.signal(signal.SIGXCPU, fall_back)
    try:
        resource.setrlimit(resource.RLIMIT_RTTIME, (limit, hard))
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, lowest)
    except (OSError, ValueError):
        log("the screen has no precedence on the node's CPUs: that needs CAP_SYS_NICE")
