"""Samples of processes that live for some milliseconds: gone before anybody can look at them in /proc."""

from __future__ import annotations

import subprocess

import pytest

from ebtop.probes.base import Settings
from ebtop.store.records import StackRecord
from ebtop.store.unnamed import ENDED
from ebtop.unwind import UnwindTables
from tests.lab import build
from tests.lab.collect import Collector

pytestmark = pytest.mark.usefixtures("root")

COMM = "ebt-short"
PROCESSES = 150
HERTZ = 997


def test_they_have_names_all_the_same() -> None:
    path = build.binary("short_lived", COMM, build.NO_FRAME_POINTERS)
    with Collector(["cpu"], Settings(hertz=HERTZ, user_stacks=UnwindTables())) as collected:
        for _ in range(PROCESSES):
            subprocess.run([path], check=True)
        ran = len(collected.batches)
        collected.wait_until(lambda c: len(c.batches) > ran + 1)
    records = [r for r in collected.of(StackRecord) if r.comm == COMM]
    user = [r for r in records if any(frame.kind != "kernel" for frame in r.frames)]
    assert len({r.pid for r in user}) > PROCESSES * 0.8
    total = sum(r.samples for r in user)
    gone = sum(r.samples for r in user if ENDED in r.frames)
    named = sum(r.samples for r in user if "short_lived_work" in [frame.name for frame in r.frames])
    assert gone < 0.02 * total
    # The rest is the kernel's work of starting and ending them, and the dynamic linker's.
    assert named > 0.6 * total
    of_program = [r for r in user if any(frame.module == COMM for frame in r.frames)]
    without = sum(
        r.samples for r in of_program for frame in r.frames if frame.module == COMM and frame.kind != "native"
    )
    assert without < 0.02 * total
