"""The thread that turns sampled addresses into names, so that reading a large binary never delays a drain."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ebtop import precedence
from ebtop.probes.stacks import RawSample
from ebtop.process.places import has_addresses
from ebtop.store.records import Batch, Frame, Record, StackRecord
from ebtop.store.source import Sink
from ebtop.store.stack_kinds import OFFCPU
from ebtop.symbols.interpreters import Change, Walking
from ebtop.symbols.symbolizer import Symbolizer
from ebtop.unwind import ends
from ebtop.unwind.handed_over import HandedOver

_MAX_WAITING = 30
"""Seconds of samples that may wait; beyond that the oldest are given up and counted."""

_SCHEDULER_WITHIN = 8

_PATIENCE_S = 0.2
"""All samples wait so long for the stacks that the kernel left to be walked; later those alone that have none."""
_GONE_WAIT_S = 0.5
"""A process that is gone may just have been, and its end not been read."""


def _nobody(changes: list[Change], files: Mapping[int, Walking]) -> None:
    """Nobody wants to know."""


class _Work(NamedTuple):
    time_ns: int
    kind: str
    samples: list[RawSample]
    sampled_s: float
    until: float
    """When they were read, by time.monotonic."""


class NamingThread:
    """Takes raw samples, gives named stacks to a sink."""

    def __init__(
        self,
        sink: Sink,
        log: Callable[[str], None],
        handed_over: HandedOver,
        on_interpreters: Callable[[list[Change], Mapping[int, Walking]], None] = _nobody,
    ) -> None:
        """`on_interpreters` is told which processes run CPython and which files hold it, from the thread."""
        self._on_interpreters = on_interpreters
        self._sink = sink
        self._handed_over = handed_over
        self._log = log
        self._queue: queue.Queue[_Work | int | None] = queue.Queue(_MAX_WAITING * 8)
        self.lost: Counter[str] = Counter()
        """Samples given up because naming fell behind or failed, by kind."""
        self._late: dict[str, list[tuple[RawSample, float]]] = {}
        """Samples whose stacks are not there yet, and when they were read, by kind."""
        self.without_stack: Counter[str] = Counter()
        """Samples whose user stack was left to user space and did not come, by kind."""
        self._thread = threading.Thread(target=self._run, name="ebtop-names", daemon=True)
        self._thread.start()

    def add(self, time_ns: int, kind: str, samples: list[RawSample], sampled_s: float) -> None:
        """Name these samples soon; they are all there are of a kind in so many seconds."""
        try:
            self._queue.put_nowait(_Work(time_ns, kind, samples, sampled_s, time.monotonic()))
        except queue.Full:
            self.lost[kind] += sum(sample.samples for sample in samples)

    def note_process(self, pid: int) -> None:
        """A process has just exec'd: look at its mappings while it lives."""
        if self._queue.qsize() < _MAX_WAITING:
            self._queue.put_nowait(pid)

    def finish(self, timeout_s: float) -> None:
        """Name what waits, then end; give up after `timeout_s` (a binary on a dead file server may never be read)."""
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=timeout_s)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        symbolizer = Symbolizer(files=self._handed_over.files, functions=self._handed_over.functions)
        symbolizer.note_interpreters()
        self._tell_interpreters(symbolizer)
        while (work := self._queue.get()) is not None:
            try:
                self._do(work, symbolizer)
            except Exception as error:
                # Samples come every second and name what is arbitrary: one that can't be named must not be the last.
                self._log(f"samples could not be named: {type(error).__name__}: {error}")
                if isinstance(work, _Work):
                    self.lost[work.kind] += sum(sample.samples for sample in work.samples)

        if late := [sample for waiting in self._late.values() for sample, _ in waiting]:
            # Nobody walks any more: what is there now is all.
            self._sink(Batch(time.time_ns(), [self._record(symbolizer, self._with_stack(s)) for s in late]))
        self._handed_over.files.close()

    def _do(self, work: _Work | int, symbolizer: Symbolizer) -> None:
        if isinstance(work, int):
            symbolizer.note_process(work)
            self._tell_interpreters(symbolizer)
        else:
            records = self._name(symbolizer, work)
            self._tell_interpreters(symbolizer)
            modules = symbolizer.new_modules()
            self._sink(Batch(work.time_ns, records, sampled_s=work.sampled_s, sampled_kind=work.kind, modules=modules))

    def _tell_interpreters(self, symbolizer: Symbolizer) -> None:
        self._on_interpreters(symbolizer.interpreter_changes(), symbolizer.interpreter_files())

    def _name(self, symbolizer: Symbolizer, work: _Work) -> list[Record]:
        self._learn_of_gone(symbolizer, work)
        records: list[Record] = []
        for sample in self._ready(work):
            precedence.screen.wait()
            records.append(self._record(symbolizer, sample))
        return records

    def _ready(self, work: _Work) -> Iterator[RawSample]:
        """The samples with their stacks, and those of earlier that had to wait for theirs."""
        patient_until = time.monotonic() + _PATIENCE_S
        waiting, self._late[work.kind] = self._late.get(work.kind, []), []
        for sample, until in [*waiting, *[(sample, work.until) for sample in work.samples]]:
            if not sample.handed_over:
                yield sample
                continue
            walked = self._handed_over.take(sample.handed_over, until, patient_until - time.monotonic())
            if walked is None and self._handed_over.may_come(until):
                self._late[work.kind].append((sample, until))
            else:
                yield self._with_stack(sample)

    def _record(self, symbolizer: Symbolizer, sample: RawSample) -> StackRecord:
        frames, reaches_entry = symbolizer.stack(
            sample.pid,
            sample.user,
            sample.kernel,
            truncated_user=ends.is_short(sample.cut),
            whole_user=ends.is_whole(sample.cut),
            interpreted=sample.interpreted,
            truncated_interpreted=sample.interpreted_cut,
        )
        cut = ends.reason(sample.cut, reaches_entry)
        if sample.kind == OFFCPU:
            frames = until_schedule(frames)
        if sample.interpreted_cut:
            cut = cut or ends.TOO_MANY_FUNCTIONS
        return StackRecord(
            sample.time_ns, sample.pid, sample.comm, sample.uid, sample.cgroup, sample.kind, sample.samples, frames,
            not cut, sample.thread, sample.period_ns, sample.amount, sample.state, sample.waker, sample.waker_pid, cut,
        )  # fmt: skip

    def _learn_of_gone(self, symbolizer: Symbolizer, work: _Work) -> None:
        """Of the processes sampled those that ended, or execute another program now."""
        pids = {sample.pid for sample in work.samples if sample.handed_over or has_addresses(sample.user)}
        unknown = {pid for pid in pids if not symbolizer.knows(pid)}  # those that live are looked at before the wait
        if pids or any(sample.interpreted for sample in work.samples):  # and names of functions may be on their way
            self._handed_over.wait(work.until, _GONE_WAIT_S)
        for pid in pids:
            found = self._handed_over.take_mappings(pid)
            if not found and pid in unknown:
                found = self._handed_over.recent_mappings(pid)
            for mappings in found:
                symbolizer.note_mappings(pid, mappings)

    def _with_stack(self, sample: RawSample) -> RawSample:
        """A sample with its user stack, walked meanwhile by the unwinder."""
        if not sample.handed_over:
            return sample
        walked = self._handed_over.take(sample.handed_over, 0.0, 0.0)
        if walked is None:
            self.without_stack[sample.kind] += sample.samples
            return sample
        return sample._replace(user=walked.addresses, cut=walked.cut)


def until_schedule(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """Without the frames of our own program and of what called it, below the scheduler's function."""
    for at in range(len(frames) - 1, max(-1, len(frames) - 1 - _SCHEDULER_WITHIN), -1):
        if frames[at].kind == "kernel" and frames[at].name == "__schedule":
            # What is called schedule says the same.
            return frames[:at] if at and frames[at - 1].name == "schedule" else frames[: at + 1]
    return frames
