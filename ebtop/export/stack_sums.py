"""Stacks of many seconds as one profile: each distinct stack once, with all its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

from ebtop.export.stack_tree import StackTree
from ebtop.store.flame_functions import Function, functions_in
from ebtop.store.flame_paths import Shape, above_code, code_of
from ebtop.store.records import Frame, StackRecord

KINDS = ("cpu", "offcpu", "faults")
_KIND_TITLES = {"cpu": "on-CPU time", "offcpu": "off-CPU time", "faults": "page faults"}

_Key = tuple[Any, ...]
_Sum = tuple[StackRecord, dict[int, int], int]
"""The latest of a stack, the samples of each period, and the amount of all."""
_IDENTITY = ("kind", "pid", "comm", "thread", "complete", "cgroup", "state", "waker", "waker_pid", "frames")
_key: Callable[[StackRecord], _Key] = itemgetter(*map(StackRecord._fields.index, _IDENTITY))
"""What stacks that are one have in common."""
_task: Callable[[StackRecord], _Key] = itemgetter(*map(StackRecord._fields.index, _IDENTITY[:-1]))
"""All of that but the frames: to hash those takes longer than all else."""


class SummedStack(NamedTuple):
    """One distinct stack of one process's threads of one name."""

    record: StackRecord
    """The latest of it, with the samples and the amount of all."""
    weight: int
    """As in `Profile`."""


@dataclass(frozen=True)
class Profile:
    """All stacks of one kind."""

    kind: str
    """cpu, offcpu or faults."""
    stacks: tuple[SummedStack, ...]
    """Heaviest first."""
    samples: int
    weight: int
    """ns of CPU time, or samples where the period of some is not known; ns blocked; page faults."""
    whole_weight: int
    """Of stacks that were complete."""
    unit: str
    """Of weights: nanoseconds, samples or faults."""
    periods: tuple[int, ...]
    """The periods of CPU samples in ns, the most frequent first."""

    @property
    def title(self) -> str:
        """What the width of a frame stands for."""
        return _KIND_TITLES.get(self.kind, self.kind)

    @property
    def timed(self) -> bool:
        return self.unit == "nanoseconds"

    @cached_property
    def _code(self) -> list[Sequence[Frame]]:
        return [code_of(stack.record.frames) for stack in self.stacks]

    @cached_property
    def tree(self) -> StackTree:
        """As a call tree by weight, from the commands down to what ran."""
        shape = Shape()
        paths = [[*above_code(stack.record, shape), *code] for stack, code in zip(self.stacks, self._code, strict=True)]
        return StackTree(paths, [stack.weight for stack in self.stacks])

    def without(self, part: Profile) -> Iterator[SummedStack]:
        """What is left of it when a part of it is taken out."""
        taken = {_key(stack.record): stack for stack in part.stacks}
        leaves = {stack.record.frames[-1:] for stack in part.stacks}
        for stack in self.stacks:
            gone = taken.get(_key(stack.record)) if stack.record.frames[-1:] in leaves else None
            if gone is None:
                yield stack
            elif stack.weight > gone.weight:
                left = stack.record.samples - gone.record.samples
                yield SummedStack(stack.record._replace(samples=left), stack.weight - gone.weight)

    @cached_property
    def functions(self) -> list[Function]:
        """The functions, those with the most time of their own first."""
        return functions_in(zip(self._code, [stack.weight for stack in self.stacks], strict=True))


EMPTY = Profile("cpu", (), 0, 0, 0, "samples", ())


def profiles(records: Iterable[StackRecord], *, distinct: bool = False) -> tuple[Profile, ...]:
    """One for each kind there is, cpu first. `distinct`: each stack of a task comes once for each user and period, as
    `Evidence.stacks` hands them out."""
    listed = list(records)
    several = _tasks_of_several(listed) if distinct else None
    found: dict[_Key, _Sum] = {}
    for number, record in enumerate(listed):
        # Of most tasks there is nothing to be put together.
        key = _key(record) if several is None or (several and _task(record) in several) else (number,)
        known = found.get(key)
        by_period, amount = ({}, 0) if known is None else known[1:]
        by_period[record.period_ns] = by_period.get(record.period_ns, 0) + record.samples
        found[key] = record, by_period, amount + record.amount
    by_kind: dict[str, list[_Sum]] = {}
    for stack in found.values():
        by_kind.setdefault(stack[0].kind, []).append(stack)
    order = [kind for kind in KINDS if kind in by_kind] + sorted(by_kind.keys() - set(KINDS))
    return tuple([_profile(kind, by_kind[kind]) for kind in order])


def _tasks_of_several(records: Iterable[StackRecord]) -> set[_Key]:
    """The tasks with stacks of several users or periods."""
    variants: dict[_Key, set[tuple[int | None, int]]] = {}
    for record in records:
        variants.setdefault(_task(record), set()).add((record.uid, record.period_ns))
    return {task for task, found in variants.items() if len(found) > 1}


def _profile(kind: str, stacks: list[_Sum]) -> Profile:
    periods: Counter[int] = Counter()
    for _, by_period, _ in stacks:
        for period, samples in by_period.items():
            periods[period] += samples
    unit = {"offcpu": "nanoseconds", "faults": "faults"}.get(kind, "samples")
    if kind == "cpu" and periods and 0 not in periods:
        unit = "nanoseconds"
    summed = []
    for record, by_period, amount in stacks:
        n = sum(by_period.values())
        weight = amount
        if kind == "cpu":
            weight = sum([period * each for period, each in by_period.items()]) if unit == "nanoseconds" else n
        if (record.samples, record.amount) != (n, amount):
            record = record._replace(samples=n, amount=amount)
        summed.append(SummedStack(record, weight))
    summed.sort(key=lambda stack: (-stack.weight, stack.record.comm, stack.record.pid, stack.record.frames))
    return Profile(
        kind,
        tuple(summed),
        periods.total(),
        sum([stack.weight for stack in summed]),
        sum([stack.weight for stack in summed if stack.record.complete]),
        unit,
        tuple([period for period, _ in periods.most_common() if period]),
    )
