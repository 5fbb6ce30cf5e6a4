"""Samples of processes that live for some milliseconds: gone before anybody can look at them in /proc."""

from __future__ import annotations

import os
import subprocess

import pytest

from ebtop.kernel.side_band import ENDED, EXECUTED, FORKED, MAPPED, SideBand, mapped
from ebtop.probes.base import Settings
from ebtop.store.records import StackRecord
from ebtop.store.unnamed import ENDED as GONE
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
    gone = sum(r.samples for r in user if GONE in r.frames)
    named = sum(r.samples for r in user if "short_lived_work" in [frame.name for frame in r.frames])
    assert gone < 0.02 * total
    # The rest is the kernel's work of starting and ending them, and the dynamic linker's.
    assert named > 0.6 * total
    of_program = [r for r in user if any(frame.module == COMM for frame in r.frames)]
    without = sum(
        r.samples for r in of_program for frame in r.frames if frame.module == COMM and frame.kind != "native"
    )
    assert without < 0.02 * total


def test_what_one_did_is_told_to_who_asks_later() -> None:
    path = build.binary("short_lived", COMM, build.NO_FRAME_POINTERS)
    band = SideBand()
    try:
        child = subprocess.Popen([path])
        child.wait()
        assert all(event[2] == os.getpid() for event in band.read((os.getpid(),)))
        events = band.recent(child.pid)
        assert band.lost == 0
    finally:
        band.close()
    assert [event[0] for event in events] == sorted(event[0] for event in events)
    assert {event[2] for event in events} == {child.pid}
    kinds = [event[1] for event in events]
    assert (kinds[0], kinds.index(EXECUTED) > 0, kinds[-1]) == (FORKED, True, ENDED)
    assert events[0][3] == os.getpid()
    found = [m for _, kind, _, _, record in events if kind == MAPPED and (m := mapped(record)) is not None]
    assert {path.name, "libc.so.6"} <= {os.path.basename(os.fsdecode(m.path)) for m in found}
    assert next(m for m in found if m.path.endswith(COMM.encode())).inode == path.stat().st_ino
