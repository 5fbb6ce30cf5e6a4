"""What the compiler makes of bpf/*.c, built once and kept where ebtop keeps it."""

from __future__ import annotations

from functools import cache

from ebtop.kernel.artifact import Artifact
from ebtop.kernel.compiler import Compiler
from ebtop.probes import REGISTRY
from ebtop.unwind import UnwindTables

NAMES = tuple(dict.fromkeys(probe.artifact for probe in REGISTRY.values()))
_STANDS_IN = {"tables": {"user_stack.h": UnwindTables.header}}
VARIANTS = (*NAMES, "cpu with tables")
"""And those where another header stands in for one."""


@cache
def artifact(name: str) -> Artifact:
    """The artifact of bpf/NAME.c, or of a variant."""
    name, _, stands_in = name.partition(" with ")
    return Compiler().artifact(name, _STANDS_IN.get(stands_in))
