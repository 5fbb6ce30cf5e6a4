"""Stacks as a speedscope file: one profile of all, then one for each process, the heaviest first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ebtop import __version__
from ebtop.export.about import About, completeness
from ebtop.export.folded_stack import CUT
from ebtop.export.stack_sums import Profile, SummedStack
from ebtop.store.flame_paths import lacks_outermost
from ebtop.store.records import Frame
from ebtop.text import clean

_MOST_PROCESSES = 100
"""Profiles of single processes; the others are in that of all."""


def speedscope(profiles: Sequence[Profile], about: About) -> str:
    """A JSON document as https://www.speedscope.app/file-format-schema.json has it; `ebtop` is an addition."""
    frames = _Frames()
    written = []
    for profile in profiles:
        unit = "nanoseconds" if profile.timed else "none"
        written.append(_sampled(f"{profile.title}, all", unit, profile.stacks, frames, with_comm=True))
        by_process: dict[tuple[int, str], list[SummedStack]] = {}
        for stack in profile.stacks:
            by_process.setdefault((stack.record.pid, stack.record.comm), []).append(stack)
        heaviest = sorted(by_process.items(), key=lambda item: -sum([stack.weight for stack in item[1]]))
        for (pid, comm), stacks in heaviest[:_MOST_PROCESSES]:
            name = f"{clean(comm) or '?'} ({pid}), {profile.title}"
            written.append(_sampled(name, unit, stacks, frames, with_comm=False))
    missed = [completeness(profile) for profile in profiles]
    return json.dumps(
        {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "shared": {"frames": frames.written},
            "profiles": written,
            "name": clean(" · ".join([about.heading, *missed, about.loss_line])),
            "activeProfileIndex": 0,
            "exporter": f"ebtop@{__version__}",
            "ebtop": about.header() | {"completeness": missed},
        },
        separators=(",", ":"),
    )


def _sampled(name: str, unit: str, stacks: Iterable[SummedStack], frames: _Frames, with_comm: bool) -> dict[str, Any]:
    samples, weights = [], []
    for record, weight in stacks:
        path = [frames.number(Frame(record.comm or "?", "process", ""))] if with_comm else []
        if lacks_outermost(record):
            path.append(frames.number(Frame(CUT, "cut", "")))
        path += map(frames.number, record.frames)
        samples.append(path)
        weights.append(weight)
    return {
        "type": "sampled",
        "name": name,
        "unit": unit,
        "startValue": 0,
        "endValue": sum(weights),
        "samples": samples,
        "weights": weights,
    }


class _Frames:
    """The table of frames that all profiles share."""

    def __init__(self) -> None:
        self.written: list[dict[str, str | int]] = []
        self._numbers: dict[Frame, int] = {}

    def number(self, frame: Frame) -> int:
        found = self._numbers.get(frame)
        if found is None:
            found = self._numbers[frame] = len(self.written)
            place: dict[str, str | int] = {"file": clean(frame.file or frame.module)} if frame.module else {}
            if frame.line:
                place["line"] = frame.line
            name = clean(frame.name)
            self.written.append({"name": f"{name}_[k]" if frame.kind == "kernel" else name, **place})
        return found
