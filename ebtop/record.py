"""`ebtop record`: what the probes see into a snapshot file, without a screen, for as long as it takes."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ebtop.command import Command
from ebtop.ending import on_signal
from ebtop.errors import EbtopError
from ebtop.kernel.allocator import CompactHeap
from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.session import LiveSource
from ebtop.store.file.recorder import Recorder
from ebtop.store.file.rotation import Rotation
from ebtop.store.records import Batch
from ebtop.store.redact import Redactor
from ebtop.store.scene import selected
from ebtop.text import clean
from ebtop.units import count, duration, plural, size

if TYPE_CHECKING:
    from ebtop.store.filter import Filter

_DRAIN_S = 0.25
"""Records may come in larger, cheaper batches: what is written is a second at a time."""
_PROGRESS_S = 1.0
_MIN_BYTES = 1 << 20


class RecordOptions(NamedTuple):
    """What `record` was asked for."""

    output: Path
    probes: tuple[str, ...]
    duration_s: float | None = None
    max_bytes: int = 1 << 30
    files: int = 1
    """How many the recording is spread over; the oldest goes when there would be more."""
    force: bool = False
    redactor: Redactor | None = None
    """None: secrets are written as they are."""
    title: str = ""
    shown: str = ""
    """What the file is called for people, where it is only a step on the way to another; "" = it is what is wanted."""
    command: tuple[str, ...] = ()
    """What to start and to record, with all it starts, until it ends; () = the whole node."""
    settings: Settings = Settings()
    filter_spec: FilterSpec = FilterSpec()
    chosen: Filter | None = None


def record(options: RecordOptions) -> int:
    """Record until the time is up, the command has ended, the file is as large as it may, SIGINT or SIGTERM.

    Returns the exit code, that of the command where there is one. Raises EbtopError.
    """
    if options.max_bytes < _MIN_BYTES * options.files:
        raise EbtopError(f"{size(options.max_bytes)} is too little", "", f"give --max-size {options.files}M or more")
    rotation = Rotation(options.output, options.max_bytes, options.files, force=options.force)
    command = Command(options.command) if options.command else None
    try:
        return _record(options, rotation, command)
    finally:
        if command is not None:
            command.give_up()


def _record(options: RecordOptions, rotation: Rotation, command: Command | None) -> int:
    heap = CompactHeap()
    spec = options.filter_spec
    if command is not None:
        spec = spec._replace(pids=frozenset({command.pid}), children=True)
    source = LiveSource(options.probes, options.settings, spec, on_log=_say, drain_s=_DRAIN_S)
    filters = " and ".join(filter(None, (spec.describe(), options.chosen.text if options.chosen else "")))
    collection = source.collection._replace(title=options.title, filters=filters)
    recorder = Recorder(
        rotation, source, source.host, collection, redactor=options.redactor, on_end=lambda _: source.stop()
    )
    ended = ""
    try:
        if options.chosen is not None:
            source.narrow(options.chosen.pushed(), frozenset(options.probes))
        passes = options.chosen.predicate(source.containers) if options.chosen is not None else None

        def take(batch: Batch) -> None:
            recorder.take(batch if passes is None else selected(batch, passes))
            heap.give_back()

        _end_on_signal(source, command)
        source.open()
        failures = source.failures
        if len(failures) == len(options.probes):
            raise EbtopError("nothing can be recorded", "no probe could be attached", "see `ebtop doctor`")
        _say(_what(options, source))
        if options.duration_s is not None:
            timer = threading.Timer(options.duration_s, source.stop)
            timer.daemon = True
            timer.start()
        with _Telling(recorder):
            if command is not None:
                command.go(source.stop)
            source.run(take)
        ended = "the command ended" if command is not None else "asked to"
    finally:
        source.close()
        recorder.close(ended)
    if not options.shown:
        _say(_summary(recorder, source))
    return command.exit_code() if command is not None else 0


def _end_on_signal(source: LiveSource, command: Command | None) -> None:
    """A signal is the command's first: the recording ends with it."""
    on_signal(source.stop if command is None else command.interrupt)


def _what(options: RecordOptions, source: LiveSource) -> str:
    where = options.shown or f"{options.output}"
    most = f"{size(options.max_bytes)}B at most" + (f", in {options.files} files" if options.files > 1 else "")
    until = "until it ends" if options.command else "until SIGINT or SIGTERM"
    if options.duration_s is not None:
        until = f"for {duration(options.duration_s)}"
    masked = "secrets in command lines are masked" if options.redactor is not None else "secrets are NOT masked"
    return clean(f"recording {', '.join(source.loaded)} to {where} {until}; {most}; {masked}")


def _summary(recorder: Recorder, source: LiveSource) -> str:
    progress = recorder.progress
    lost = progress.lost + sum(probe.lost_total for probe in source.health().probes)
    parts = [
        f"{progress.path}: {size(progress.bytes)}B",
        plural(progress.records, "record"),
        f"{count(lost)} lost" if lost else "none lost",
    ]
    if progress.masked:
        parts.append(f"{plural(progress.masked, 'secret')} masked")
    if progress.ended and progress.ended not in ("asked to", "the command ended"):
        parts.append(f"ended because {progress.ended}")
    return clean(", ".join(parts))


class _Telling:
    """A line on a terminal that says how far it is; nothing where there is no terminal, as in a unit."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._done = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="ebtop-progress", daemon=True)

    def __enter__(self) -> None:
        if os.isatty(2):
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _run(self) -> None:
        before = self._recorder.progress.bytes
        while not self._done.wait(_PROGRESS_S):
            progress, passed = self._recorder.progress, time.monotonic() - self._began
            an_hour = (progress.bytes - before) / passed * 3600
            lost = f", {count(progress.lost)} lost" if progress.lost else ""
            line = (
                f"{duration(passed)}  {count(progress.records)} records{lost}  {size(progress.bytes)}B "
                f"({size(an_hour)}B an hour)"
            )
            try:
                sys.stderr.write(f"\r\x1b[K{line}")
                sys.stderr.flush()
            except OSError:
                return


def _say(line: str) -> None:
    """A line for the person."""
    start = "\r\x1b[K" if os.isatty(2) else ""
    print(f"{start}ebtop: {line}", file=sys.stderr, flush=True)
