"""Can this node run ebtop, and what to do if it can't. Looks and tries; changes and mounts nothing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

from ebtop.errors import EbtopError
from ebtop.kernel.doctor import kernel_checks, privilege_checks, probe_checks, surroundings_checks
from ebtop.kernel.doctor.node import Node
from ebtop.kernel.doctor.report import as_json, as_table
from ebtop.store.check import Check, Status, ready
from ebtop.text import clean

__all__ = ["Check", "Node", "Status", "as_json", "as_table", "main", "ready", "run_checks"]

_CHECKS: tuple[Callable[[Node], Check], ...] = (
    kernel_checks.kernel,
    kernel_checks.architecture,
    kernel_checks.btf,
    privilege_checks.capabilities,
    privilege_checks.bpf,
    kernel_checks.lockdown,
    kernel_checks.lsm,
    kernel_checks.unprivileged_bpf,
    kernel_checks.jit,
    kernel_checks.memlock,
    kernel_checks.bpf_stats,
    kernel_checks.perf_event_paranoid,
    kernel_checks.sample_rate,
    kernel_checks.kernel_symbols,
    kernel_checks.tracefs,
    probe_checks.cpu,
    *probe_checks.hook_checks(),
    surroundings_checks.bcc,
    surroundings_checks.cache,
    surroundings_checks.python,
    surroundings_checks.terminal,
    surroundings_checks.clock,
    surroundings_checks.pid_namespace,
)


def run_checks(node: Node | None = None) -> list[Check]:
    """Every check, in a fixed order. Never raises for what it finds on the node."""
    node = node or Node()
    checks = (check(node) for check in _CHECKS)
    return [c._replace(value=clean(c.value), fix=clean(c.fix) if c.fix else None) for c in checks]


def main(json: bool = False) -> int:
    """Print the findings on stdout; 0 when the default probes can run, 1 when not.

    Raises EbtopError when stdout can't be written to, unless nobody reads it any more.
    """
    checks = run_checks()
    if json:
        text = as_json(checks)
    else:
        terminal = os.isatty(1)
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
        text = as_table(checks, min(shutil.get_terminal_size().columns, 100) if terminal else 80, colour)
    _print(text.encode("ascii", "backslashreplace").decode())
    return 0 if ready(checks) else 1


def _print(text: str) -> None:
    if sys.stdout is None:
        raise EbtopError("the findings can't be written", "standard output is closed")
    try:
        print(text, flush=True)
    except OSError as error:
        # What is left in the buffer would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):
            raise EbtopError("the findings can't be written", error.strerror or "") from None
