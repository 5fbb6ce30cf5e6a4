"""One finding of the doctor: what this node can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Status = Literal["ok", "warn", "fail"]


class Check(NamedTuple):
    """What was looked at, what was found, what is needed, and what to do."""

    name: str
    status: Status
    """fail: the default probes, or one of them, can't run. warn: they run, something is missing or worse."""
    value: str
    need: str
    fix: str | None = None
    """A command for this distribution; None when there is nothing to mend, or no command that could."""


def ready(checks: Iterable[Check]) -> bool:
    """Whether all default probes can run."""
    return all(check.status != "fail" for check in checks)
