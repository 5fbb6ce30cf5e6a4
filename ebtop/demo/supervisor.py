"""The process that owns the workload: it lives as long as the pipe on its standard input is open.

Its answer is one line of JSON on standard output, {"cgroup": "/ebtop-demo-12", "notes": [...]} once all workers run, or
{"error": [what, why, fix]}. At the end no process, no cgroup and no namespace is left, whoever ended first.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from ebtop.demo import cgroup, network
from ebtop.demo.compiled import compile_service
from ebtop.demo.jobs import Job, jobs
from ebtop.demo.title import name_self
from ebtop.errors import EbtopError
from ebtop.kernel import syscall
from ebtop.kernel.descendants import descendants

_NICE = 5
"""A demo must not take CPU from what matters."""
_NO_COMPILER = "no C compiler here: the image service burns CPU in zlib and SHA-256 instead of functions of its own"
_NO_CGROUP = "no cgroup can be made here: the demo is followed as a process with its children"


def main() -> int:
    """Run the workload until standard input closes, or a signal ends it; returns the exit code."""
    ends = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in ends:
        signal.signal(number, _end)
    group = ""
    try:
        try:
            syscall.adopt_orphans()
            network.make_private()
        except OSError as error:
            what, fix = "can't make a network for the demo's workload", "run it with sudo, outside of containers"
            raise EbtopError(what, str(error.strerror), fix) from None
        name_self("ebtop-demo", "ebtop-demo")
        os.nice(_NICE)
        group = cgroup.make()
        program = compile_service()
        _start_all(jobs(program), group)
        _answer(cgroup=group, notes=[*[_NO_COMPILER] * (program is None), *[_NO_CGROUP] * (not group)])
        while os.read(sys.stdin.fileno(), 1):
            pass
    except EbtopError as error:
        _answer(error=[error.what, error.why, error.fix])
        return 1
    finally:
        for number in ends:
            signal.signal(number, signal.SIG_IGN)
        _end_workers()
        if group:
            cgroup.remove(group)
    return 0


def _start_all(chosen: Sequence[Job], group: str) -> None:
    """Returns when each of them is in its place and has its name."""
    ready, getting_ready = os.pipe()
    for job in chosen:
        _start(job, group, getting_ready)
    os.close(getting_ready)
    os.read(ready, 1)
    os.close(ready)


def _start(job: Job, group: str, getting_ready: int) -> None:
    supervisor = os.getpid()
    if os.fork():
        return
    # Nothing of the supervisor's may run in a worker, whatever happens.
    try:
        syscall.end_with_parent()
        if os.getppid() != supervisor:
            os._exit(1)
        _let_go()
        if group:
            cgroup.enter(group)
        name_self(job.name, job.title)
        os.close(getting_ready)
        job.work()
    finally:
        os._exit(1)


def _let_go() -> None:
    """Have no part in the pipes to ebtop, and none in how the supervisor takes signals."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _end_workers() -> None:
    """And what they have started: orphans become children of this process, so that none is missed."""
    while True:
        for pid in descendants([os.getpid()]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _answer(**answer: object) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(answer), flush=True)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
