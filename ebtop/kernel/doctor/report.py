"""The doctor's findings for programs and for people."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence

from ebtop.store.check import Check, ready

_COLOURS = {"ok": "32", "warn": "33", "fail": "31"}
_STATUS_WIDTH = 4
_INDENT = " " * (_STATUS_WIDTH + 2)


def as_json(checks: Sequence[Check]) -> str:
    """{"ready": bool, "checks": [{"name", "status", "value", "need", "fix"}...]} on one line."""
    return json.dumps({"ready": ready(checks), "checks": [check._asdict() for check in checks]})


def as_table(checks: Sequence[Check], width: int = 80, colour: bool = False) -> str:
    """A line a check; what is needed and what to do below those that are not ok. No line is wider than `width`."""
    name_width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        status = f"{check.status:<{_STATUS_WIDTH}}"
        painted = f"\x1b[{_COLOURS[check.status]}m{status}\x1b[0m" if colour else status
        first = f"{status}  {check.name:<{name_width}}  "
        wrapped = _wrap(check.value, width, first, " " * len(first))
        lines += [painted + wrapped[0][_STATUS_WIDTH:], *wrapped[1:]]
        if check.status != "ok":
            lines += _wrap(check.need, width, f"{_INDENT}needs ", f"{_INDENT}      ")
            if check.fix:
                lines += _wrap(check.fix, width, f"{_INDENT}fix   ", f"{_INDENT}      ")
    return "\n".join([*lines, "", *_wrap(_verdict(checks), width, "", "")])


def _wrap(text: str, width: int, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, max(width, len(rest) + 8), initial_indent=first, subsequent_indent=rest) or [first]


def _verdict(checks: Sequence[Check]) -> str:
    failed = [check.name for check in checks if check.status == "fail"]
    if failed:
        return f"Not ready: {', '.join(failed)}."
    return "Ready: the default probes can run here."
