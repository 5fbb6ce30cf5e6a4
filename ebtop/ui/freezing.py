"""Freezes the kept minutes into a file and a bundle, in a thread and a process of their own."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from ebtop.errors import EbtopError
from ebtop.store.file.frozen import Frozen, FrozenFacts, Job
from ebtop.ui.folders import state_folder
from ebtop.units import plural

if TYPE_CHECKING:
    from ebtop.store.redact import Rules
    from ebtop.store.source import Source
    from ebtop.store.timeline import Timeline

_START = "import sys; sys.path[:] = sys.argv[1:]; from ebtop.freeze import main; sys.exit(main())"
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")
_TRIES = 100


class Done(NamedTuple):
    """A snapshot was written."""

    file: Path
    folder: Path
    text: str
    """For people."""
    whole: bool
    """Nothing of the bundle is missing."""


class Freezer:
    """One snapshot at a time."""

    def __init__(self, source: Source, timeline: Timeline, rules: Rules | None) -> None:
        """`rules`: what the user adds to what is masked; None = nothing is masked."""
        self._source, self._timeline, self._rules = source, timeline, rules
        self._busy = threading.Lock()

    @property
    def busy(self) -> bool:
        return self._busy.locked()

    def freeze(self, title: str, screen: str, tell: Callable[[str], None]) -> Done:
        """Write the kept minutes. Blocking, for a thread; others go on meanwhile. `tell` is called with how far it is.

        Raises EbtopError.
        """
        if not self._busy.acquire(blocking=False):
            raise EbtopError("a snapshot is being written already", "", "wait for it")
        try:
            return self._write(title, screen, tell)
        finally:
            self._busy.release()

    def _write(self, title: str, screen: str, tell: Callable[[str], None]) -> Done:
        frozen = self._frozen(title)
        if not frozen.chapters:
            raise EbtopError("there is nothing to freeze yet", "", "wait a second")
        job = Job(str(_free_path(self._source.host.name)), self._rules, screen)
        try:
            child = subprocess.Popen(
                [sys.executable, "-c", _START, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise EbtopError("the snapshot can't be written", error.strerror or str(error), "") from None
        assert child.stdin is not None
        assert child.stdout is not None
        feeder = threading.Thread(target=_feed, args=(child.stdin, job, frozen), name="ebtop-freeze", daemon=True)
        feeder.start()
        last: dict[str, Any] = {}
        for line in child.stdout:
            last = json.loads(line)
            if "what" in last:
                tell(f"{last['what']}: {100 * last['done'] // max(1, last['of'])} %")
        feeder.join()
        if child.wait() != 0 or "file" not in last:
            raise EbtopError(str(last.get("error") or "the snapshot could not be written"))
        return _done(last)

    def _frozen(self, title: str) -> Frozen:
        timeline, source = self._timeline, self._source
        chapters, narrowings = timeline.freeze()
        ticks = timeline.ticks()
        began_ns = chapters[0].start_ns if chapters else time.time_ns()
        snapshot = timeline.at(timeline.kept.newest_ns)
        cgroups = {row.cgroup for row in snapshot.execs} | {row.cgroup for row in snapshot.tcp}
        cgroups |= {row.cgroup for row in snapshot.retransmits} | {row.cgroup for row in snapshot.connects}
        found = [(cgroup, source.containers(cgroup)) for cgroup in cgroups if cgroup is not None]
        facts = FrozenFacts(
            source.host, source.collection._replace(title=title, hertz=source.hertz), began_ns,
            tuple(note for note in timeline.notes() if note.time_ns >= began_ns), narrowings, timeline.modules(),
            tuple((cgroup, container) for cgroup, container in found if container is not None), len(chapters),
            len(ticks),
        )  # fmt: skip
        return Frozen(facts, chapters, ticks)


def _feed(stdin: IO[bytes], job: Job, frozen: Frozen) -> None:
    """Hand everything over; a child that ends early says why itself."""
    try:
        with stdin:
            pickle.dump(job, stdin)
            for piece in frozen.pieces():
                pickle.dump(piece, stdin)
    except OSError:
        return


def _free_path(host: str) -> Path:
    """A file that does not exist, in the working directory, or where that can't be written to among this user's own."""
    folder = Path.cwd()
    if not os.access(folder, os.W_OK | os.X_OK):
        folder = state_folder()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror or ""
            raise EbtopError(f"can't write to {folder}", why, "start ebtop in another folder") from None
    name = f"ebtop_{_UNSAFE.sub('-', host) or 'node'}_{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for number in range(1, _TRIES):
        path = folder / f"{name}{f'-{number}' if number > 1 else ''}.ebtop"
        if not os.path.lexists(path) and not os.path.lexists(path.with_suffix("")):
            return path
    raise EbtopError(f"{folder} has too many snapshots of this second", "", "wait a second")


def _done(said: dict[str, Any]) -> Done:
    file, folder = Path(said["file"]), Path(said["folder"])
    masked, problems = said.get("masked"), said.get("problems") or []
    parts = [f"frozen: {file} and its bundle in {folder.name}/"]
    if masked:
        parts.append(f"{plural(masked, 'secret')} masked")
    if masked is None:
        parts.append("secrets are NOT masked")
    return Done(file, folder, "; ".join((*parts, *problems)), not problems)
