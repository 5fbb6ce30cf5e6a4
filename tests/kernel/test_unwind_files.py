"""Stacks of processes whose mappings nobody told the kernel: the walk asks it which file is mapped where."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ebtop.probes.base import Settings
from ebtop.probes.stacks import RawSample
from ebtop.process.places import PLACE_IN_FILE, Files, has_addresses
from ebtop.store.records import StackRecord
from ebtop.unwind import CONSTANTS, UnwindTables
from ebtop.unwind.ends import End
from ebtop.unwind.raw_stacks import RawStack
from ebtop.unwind.walks import Walks
from tests.lab import build, unwind
from tests.lab.collect import Collector

pytestmark = pytest.mark.usefixtures("root")

COMM = "ebt-short"
HERTZ = 997
PROCESSES = 150
WORK = "short_lived_work"


@pytest.fixture
def raws(monkeypatch: pytest.MonkeyPatch) -> list[RawStack]:
    """Every stack that the kernel left to user space."""
    found: list[RawStack] = []
    walk = Walks.walk

    def listen(self: Walks, raw: RawStack, *, may_wait: bool = True) -> None:
        found.append(raw)
        walk(self, raw, may_wait=may_wait)

    monkeypatch.setattr(Walks, "walk", listen)
    return found


def tables(probe: str = "cpu", hertz: int = HERTZ) -> Collector:
    return Collector([probe], Settings(hertz=hertz, user_stacks=UnwindTables()))


def warm(collected: Collector) -> None:
    """Wait until whole stacks come."""
    with unwind.Shapes(60) as shapes:
        collected.wait_until(lambda c: any(r.complete and len(r.frames) > 1 for r in c.of(StackRecord, [shapes.pid])))


def run(path: Path, times: int, collected: Collector) -> list[StackRecord]:
    """Run a program one time after the other; its samples with user frames."""
    warm(collected)
    before = len(collected.of(StackRecord))
    for _ in range(times):
        subprocess.run([path], check=True)
    ran = len(collected.batches)
    collected.wait_until(lambda c: len(c.batches) > ran + 1)
    records = collected.of(StackRecord)[before:]
    return [r for r in records if r.comm == path.name and any(frame.kind != "kernel" for frame in r.frames)]


def short_lived(directory: Path, *flags: str) -> Path:
    """A copy of its own, which no test has sampled so far."""
    return Path(shutil.copy(build.binary("short_lived", COMM, (*build.NO_FRAME_POINTERS, *flags)), directory / COMM))


def in_work(records: list[StackRecord], work: str = WORK) -> float:
    """The share of samples in which this function is."""
    named = unwind.samples(r for r in records if work in [frame.name for frame in r.frames])
    return named / unwind.samples(records)


def test_programs_that_end_at_once_need_nobody_who_follows_them(
    walked: list[RawSample], raws: list[RawStack], tmp_path: Path
) -> None:
    with tables() as collected:
        records = run(short_lived(tmp_path), PROCESSES, collected)
    assert unwind.complete(records) >= 0.95, unwind.cut_by(records)
    assert in_work(records) > 0.6
    own = [s for s in walked if s.comm == COMM and s.user]
    by_place = [s for s in own if not has_addresses(s.user)]
    assert len({s.pid for s in own}) > PROCESSES * 0.8
    assert len(by_place) > 0.9 * len(own)
    pids = {s.pid for s in own}
    # One each for the program, the linker, libc and the vdso.
    assert len([raw for raw in raws if raw.pid in pids]) < 0.1 * len(own)
    # The loop has three or four places where a sample may find it, and each run puts them at other addresses.
    leaves = [s.user[0] for s in by_place if len(s.user) > 3]
    assert len(set(leaves)) < 0.5 * len({(s.pid, s.user[0]) for s in by_place if len(s.user) > 3})
    assert collected.probe("cpu").lost == {}


def test_without_that_they_are_handed_over_and_are_whole_as_well(
    walked: list[RawSample], raws: list[RawStack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on kernels before 6.1. A few hundred are handed over in a second, so this asks for fewer."""
    monkeypatch.setitem(CONSTANTS, "unwind.ask_for_files", 0)
    with tables(hertz=99) as collected:
        records = run(short_lived(tmp_path), PROCESSES, collected)
    assert unwind.complete(records) >= 0.95, unwind.cut_by(records)
    assert in_work(records) > 0.6
    # By frame pointers anything may be taken for an address.
    assert not any(at >= PLACE_IN_FILE for s in walked if s.cut == End.WHOLE for at in s.user)
    assert len(raws) > PROCESSES * 0.5


def test_another_program_under_the_same_name_is_named_as_itself(tmp_path: Path) -> None:
    """Replaced by a new file, and written over in place."""
    path = short_lived(tmp_path)
    with tables() as collected:
        assert in_work(run(path, 40, collected)) > 0.6
        path.unlink()
        short_lived(tmp_path, f"-D{WORK}=second_work")
        second = run(path, 40, collected)
        assert in_work(second, "second_work") > 0.6
        assert in_work(second) == 0
        path.write_bytes(build.binary("short_lived", COMM, (*build.NO_FRAME_POINTERS, f"-D{WORK}=third_")).read_bytes())
        third = run(path, 40, collected)
    assert in_work(third, "third_") > 0.6
    assert in_work(third) == in_work(third, "second_work") == 0


def test_a_program_that_stays_is_told_to_the_kernel(walked: list[RawSample]) -> None:
    with tables() as collected:
        warm(collected)
        with unwind.Shapes(60) as shapes:
            collected.wait_until(lambda c: unwind.samples(c.of(StackRecord, [shapes.pid])) > 1500)
    own = [s for s in walked if s.pid == shapes.pid and s.user]
    assert sum(not has_addresses(s.user) for s in own) > 10
    latest = {s.time_ns for s in own[-1:]}
    assert all(has_addresses(s.user) for s in own if s.time_ns in latest)
    # Whichever way, it is the same function.
    by_name = [{f.name for f in r.frames} for r in collected.of(StackRecord, [shapes.pid]) if r.complete]
    assert sum("main" in names for names in by_name) > 0.95 * len(by_name)


OVERLAY = """
mount -t tmpfs none $1 && mkdir $1/lower $1/upper $1/work $1/merged && cp $2 $1/lower/ &&
mount -t overlay overlay -o lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work $1/merged || exit 1
n=0; while [ $n -lt 100 ]; do $1/merged/ebt-short; n=$((n + 1)); done
"""


def test_of_a_container_as_well(walked: list[RawSample], tmp_path: Path) -> None:
    """An overlay: /proc/PID/maps and stat(2) have other devices and inodes of a file than the kernel's structures."""
    script = ["unshare", "--mount", "--propagation", "private", "sh", "-c", OVERLAY, "sh", tmp_path]
    with tables() as collected:
        warm(collected)
        subprocess.run([*script, build.binary("short_lived", COMM, build.NO_FRAME_POINTERS)], check=True)
        ran = len(collected.batches)
        collected.wait_until(lambda c: len(c.batches) > ran + 1)
    records = [r for r in collected.of(StackRecord) if r.comm == COMM and any(f.kind != "kernel" for f in r.frames)]
    assert unwind.complete(records) >= 0.95, unwind.cut_by(records)
    assert in_work(records) > 0.6
    own = [s for s in walked if s.comm == COMM and s.user]
    assert len([s for s in own if not has_addresses(s.user)]) > 0.9 * len(own)


def test_waits_of_short_programs(walked: list[RawSample], numbered: Files) -> None:
    with tables("offcpu") as collected:
        time.sleep(1)
        for _ in range(50):
            subprocess.run(["/bin/sleep", "0.02"], check=True)
        ran = len(collected.batches)
        collected.wait_until(lambda c: len(c.batches) > ran + 1)
    slept = [r for r in collected.of(StackRecord) if r.comm == "sleep" and "clock_nanosleep" in str(r.frames)]
    assert len(slept) >= 45
    assert unwind.complete(slept) >= 0.95, unwind.cut_by(slept)
    assert sum(not has_addresses(s.user) for s in walked if s.comm == "sleep" and s.user) > 40
