"""Stacks on their way from the source to the one reader that takes them."""

from __future__ import annotations

from ebtop.store.records import Frame, StackRecord

StackOfThread = tuple[object, ...]

NOT_KEPT = Frame("[not kept]", "unknown", "")
"""The only frame of the stack that stands for all those a full queue could not hold."""


class StackQueue:
    """Holds stacks until they are taken; equal ones become one when the reader falls behind.

    A reader that keeps up takes one drain at a time, in which stacks are already distinct: nothing is
    merged or even hashed then. Past `max_stacks` distinct ones the samples are kept, the frames are not.
    """

    def __init__(self, max_stacks: int = 20_000) -> None:
        self._max_stacks = max_stacks
        self._waiting: list[StackRecord] = []
        self._merged: dict[StackOfThread, StackRecord] = {}
        self._sampled: dict[str, float] = {}
        self.dropped = 0

    def add(self, stacks: list[StackRecord], sampled_s: float, sampled_kind: str = "cpu") -> None:
        """Take in one drain."""
        if sampled_s:
            self._sampled[sampled_kind] = self._sampled.get(sampled_kind, 0.0) + sampled_s
        if not stacks:
            return
        if not self._waiting and not self._merged and len(stacks) <= self._max_stacks:
            self._waiting = stacks
            return
        self._merge(self._waiting)
        self._merge(stacks)
        self._waiting = []

    def take(self) -> tuple[tuple[StackRecord, ...], dict[str, float]]:
        """What came in since the last time, and the seconds that it covers, by kind."""
        stacks = tuple(self._waiting) or tuple(self._merged.values())
        sampled = self._sampled
        self._waiting = []
        self._merged = {}
        self._sampled = {}
        return stacks, sampled

    def _merge(self, stacks: list[StackRecord]) -> None:
        for stack in stacks:
            identity = _identity(stack)
            if identity not in self._merged and len(self._merged) >= self._max_stacks:
                self.dropped += 1
                stack = StackRecord(
                    stack.time_ns, 0, "", None, None, stack.kind, stack.samples, (NOT_KEPT,), False, "",
                    stack.period_ns, stack.amount, stack.state,
                )  # fmt: skip
                identity = _identity(stack)
            earlier = self._merged.get(identity)
            if earlier is not None:
                stack = stack._replace(samples=stack.samples + earlier.samples, amount=stack.amount + earlier.amount)
            self._merged[identity] = stack


def _identity(stack: StackRecord) -> StackOfThread:
    return (
        stack.kind, stack.pid, stack.comm, stack.frames, stack.complete, stack.thread, stack.period_ns,
        stack.state, stack.waker, stack.waker_pid, stack.cut,
    )  # fmt: skip
