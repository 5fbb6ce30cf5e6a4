"""Which processes there are, from /proc."""

from __future__ import annotations

import os

HOST_PID_NAMESPACE = "pid:[4026531836]"
"""What /proc/self/ns/pid says in the root namespace: PROC_PID_INIT_INO, fixed since Linux 3.8."""
_INIT = 1


def all_pids(proc: str = "/proc") -> frozenset[int] | None:
    """Every process of the node, zombies too, by the number that the kernel's programs tell; None where /proc does
    not say that: it is another pid namespace's, or hides the processes of others (hidepid).

    Source: /proc/self/ns/pid and the directories of /proc. A process is in /proc until somebody has waited for it.
    """
    try:
        if os.readlink(f"{proc}/self/ns/pid") != HOST_PID_NAMESPACE:
            return None
        pids = frozenset([int(name) for name in os.listdir(proc) if name.isdecimal()])
    except OSError:
        return None
    # Whoever may not see all does not see the first one either: it is root's, with all capabilities.
    return pids if _INIT in pids else None
