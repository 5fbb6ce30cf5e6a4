"""Put Python functions where the evaluation loops that ran them stand among the native frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ebtop.store.records import Frame

NATIVE_MISSING = Frame("[native frames missing]", "cut", "")
"""Stands between Python functions and the native frame whose callers could not be walked."""
PYTHON_CUT = Frame("[Python frames missing]", "cut", "")
"""Stands where the walk along the Python functions ended before the outermost."""


class Native(NamedTuple):
    """A native frame."""

    frame: Frame
    evaluates: bool
    """It is the function that runs Python functions, one call of which runs many that call each other."""


class Python(NamedTuple):
    """A Python function."""

    frame: Frame
    entry: bool
    """Native code called it: with it, a call of the evaluating function begins."""


def merge(native: Sequence[Native], python: Sequence[Python], *, native_whole: bool, python_whole: bool) -> list[Frame]:
    """One stack of two, all innermost first.

    Every call of the evaluating function becomes the Python functions up to the next entry. At the beginning and the
    end of such a call one of the two sides is a step ahead (0.3 % of samples): then the calls are matched from the end
    that both sides are known to have. Where the native frames end too early, the Python functions go on below a mark.
    """
    calls = _calls(python)
    evaluations = sum(frame.evaluates for frame in native)
    at_root = native_whole and python_whole
    # More evaluations than entries: the innermost ones run nothing so far, and stay as they are.
    empty = max(0, evaluations - len(calls)) if at_root else 0
    # More entries than evaluations: the innermost evaluation takes the rest.
    extra = max(0, len(calls) - evaluations) if at_root and evaluations else 0
    merged: list[Frame] = []
    position = 0
    for frame, evaluates in native if native_whole else _without_strays(native):
        if not evaluates or position >= len(calls):
            merged.append(frame)
        elif empty:
            merged.append(frame)
            empty -= 1
        else:
            for call in calls[position : position + 1 + extra]:
                merged += call
            position += 1 + extra
            extra = 0
    if position < len(calls):
        merged.append(NATIVE_MISSING)
        merged += [frame for call in calls[position:] for frame in call]
    if not python_whole and python:
        _mark_cut(merged, python[-1].frame)
    return merged


def unread(native: Sequence[Native], reason: str) -> list[Frame]:
    """A native stack, innermost first, with the reason why no Python functions are in it where they would begin."""
    mark = Frame(reason, "interpreted", "")
    frames = [frame for frame, _ in native]
    evaluations = [place for place, (_, evaluates) in enumerate(native) if evaluates]
    frames.insert(evaluations[-1] + 1 if evaluations else len(frames), mark)
    return frames


def _without_strays(native: Sequence[Native]) -> Sequence[Native]:
    """Without the addresses in no mapping that a walk along frame pointers ends with where code has none."""
    end = len(native)
    while end and not native[end - 1].frame.module and native[end - 1].frame.kind == "unknown":
        end -= 1
    return native[:end]


def _calls(python: Sequence[Python]) -> list[list[Frame]]:
    """The functions of each call of the evaluating function."""
    calls: list[list[Frame]] = []
    begins = True
    for frame, entry in python:
        if begins:
            calls.append([])
        calls[-1].append(frame)
        begins = entry
    return calls


def _mark_cut(merged: list[Frame], outermost: Frame) -> None:
    """Behind the last function that could be walked."""
    at = len(merged) - merged[::-1].index(outermost)
    merged.insert(at, PYTHON_CUT)
