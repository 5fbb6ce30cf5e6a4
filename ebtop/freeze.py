"""A process of its own that writes frozen minutes to a file, and the bundle beside it, while the screen goes on.

Started by ebtop.ui.freezing. Standard input: pickles of a `Job`, then of the pieces of `Frozen`, from the process that
started it and nobody else. Standard output: JSON lines, {"done": 3, "of": 20, "what": TEXT} while it works, and at last
{"file": PATH, "folder": PATH, "masked": N, "problems": [LINE...]} or {"error": LINE}.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from ebtop.errors import EbtopError
from ebtop.store.check import ready
from ebtop.store.file.frozen import FrozenFacts, FrozenWriter, Job
from ebtop.store.file.making import give_away, remove
from ebtop.store.file.writer import FileWriter
from ebtop.store.history.frozen import FrozenChapter, FrozenSegment
from ebtop.store.redact import Redactor

_AT_HAND = 500_000
"""Its memory is its own, and soon given back."""


def main() -> int:
    """Returns the exit code."""
    gc.disable()  # nothing here refers to itself, and it ends soon
    # The terminal's keys are the screen's; it is told to end by its standard input.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    source = sys.stdin.buffer
    job: Job = pickle.load(source)
    try:
        told = _freeze(job, source)
    except EbtopError as error:
        told = {"error": error.line()}
    except EOFError:
        remove(Path(job.path))
        return 1
    _tell(told)
    return 0 if "error" not in told else 1


def _freeze(job: Job, source: BinaryIO) -> dict[str, Any]:
    from ebtop.kernel import doctor
    from ebtop.kernel.containers import ContainerNames
    from ebtop.store.user_names import UserNames

    facts: FrozenFacts = pickle.load(source)
    path = Path(job.path)
    redactor = Redactor(job.rules) if job.rules is not None else None
    file = FileWriter(path, facts.host, facts.collection, facts.began_ns, at_hand=_AT_HAND)
    try:
        writer = FrozenWriter(file, facts, redactor)
        for number in range(facts.chapters):
            _tell({"done": number, "of": facts.chapters, "what": f"writing {path.name}"})
            writer.chapter(_chapter(source), last=number == facts.chapters - 1)
        left = facts.ticks
        while left > 0:
            ticks = pickle.load(source)
            left -= len(ticks)
            writer.ticks(ticks)
        checks = doctor.run_checks()
        writer.end(ContainerNames(), UserNames().name, checks)
    except EOFError:
        file.close()
        raise
    _tell({"done": facts.chapters, "of": facts.chapters, "what": "writing the bundle"})
    folder = path.with_suffix("")
    problems = _bundle(path, folder, job.screen)
    return {
        "file": str(path), "folder": str(folder), "masked": redactor.masked if redactor is not None else None,
        "problems": problems,
    }  # fmt: skip


def _bundle(path: Path, folder: Path, screen: str) -> list[str]:
    """What a postmortem wants, beside the file; returns what could not be written, a line each."""
    from ebtop.export.extract import Extract
    from ebtop.export.formats import FORMATS
    from ebtop.store.file.reader import SnapshotFile

    folder.mkdir(mode=0o700)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    give_away(directory)
    os.close(directory)
    file = SnapshotFile(path)
    checks = [check._asdict() for check in file.checks()]
    extract = Extract(file)
    parts: dict[str, Callable[[], Iterable[bytes]]] = {
        "summary.md": lambda: FORMATS["md"].write(extract),
        "cpu.svg": lambda: FORMATS["svg"].write(extract),
        "cpu.pb.gz": lambda: FORMATS["pprof"].write(extract),
        "doctor.json": lambda: [json.dumps({"ready": ready(file.checks()), "checks": checks}, indent=1).encode()],
    }
    if screen:
        parts["screen.svg"] = lambda: [screen.encode("utf-8", "backslashreplace")]
    problems = []
    for name, make in parts.items():
        try:
            _write(folder / name, make())
        except EbtopError as error:
            problems.append(error.line())
    with contextlib.suppress(OSError):  # a file system without links: it is beside the folder
        os.link(path, folder / path.name)
    file.close()
    return problems


def _write(path: Path, data: Iterable[bytes]) -> None:
    """A new file, closed to others. Raises EbtopError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            give_away(file.fileno())
            for chunk in data:
                file.write(chunk)
    except OSError as error:
        raise EbtopError(f"can't write {path}", error.strerror or str(error), "") from None


def _chapter(source: BinaryIO) -> FrozenChapter:
    chapter: FrozenChapter = pickle.load(source)
    segments: list[FrozenSegment] = []
    while (segment := pickle.load(source)) is not None:
        segments.append(segment)
    return chapter._replace(segments=tuple(segments))


def _tell(line: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    except OSError:
        # Nobody listens any more; what was begun is finished all the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    sys.exit(main())
