"""What the compiler makes of bpf/*.c, built once and kept where ebtop keeps it."""

from __future__ import annotations

from functools import cache

from ebtop.kernel.artifact import Artifact
from ebtop.kernel.compiler import Compiler
from ebtop.probes import REGISTRY

NAMES = tuple(dict.fromkeys(probe.artifact for probe in REGISTRY.values()))


@cache
def artifact(name: str) -> Artifact:
    """The artifact of bpf/NAME.c."""
    return Compiler().artifact(name)
