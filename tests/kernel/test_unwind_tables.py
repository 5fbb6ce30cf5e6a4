"""Whole stacks without frame pointers, walked by tables made from .eh_frame."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.probes.stacks import RawSample
from ebtop.process.mappings import read_mappings
from ebtop.process.places import Files, has_addresses
from ebtop.store.records import StackRecord
from ebtop.unwind import UnwindTables
from ebtop.unwind.ends import End
from tests.lab import unwind
from tests.lab.collect import Collector
from tests.lab.process import Workload

pytestmark = pytest.mark.usefixtures("root")

FAST_HZ = 997
"""Prime, to keep out of step with the workload."""
WARM = 250
"""Complete samples of a program, after which all that its stacks need is there."""
ROOTS = {"_start", "clone3", "__clone3", "clone", "start_thread"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are built in the first of these tests, and read in those after."""
    monkeypatch.setattr(
        "ebtop.unwind.table_cache.cache_directory", lambda: tmp_path_factory.getbasetemp() / "tables" / "bpf"
    )


def tables(pids: frozenset[int] = frozenset(), *, children: bool = False, hertz: int = FAST_HZ) -> Collector:
    settings = Settings(hertz=hertz, user_stacks=UnwindTables())
    return Collector(["cpu"], settings, FilterSpec(pids, children) if pids else None)


def warm(collected: Collector, pids: list[int]) -> int:
    """Wait until stacks of all these processes are whole; returns the time from then on, of records."""
    for pid in pids:
        collected.wait_until(
            lambda c, pid=pid: unwind.samples(r for r in c.of(StackRecord, [pid]) if r.complete) > WARM
        )
    return time.time_ns()


def since(collected: Collector, pid: int, time_ns: int, enough: int) -> list[StackRecord]:
    """Wait for so many samples of a process since a moment."""

    def found(c: Collector) -> list[StackRecord]:
        return [r for r in c.of(StackRecord, [pid]) if r.time_ns > time_ns]

    collected.wait_until(lambda c: unwind.samples(found(c)) > enough)
    return found(collected)


@pytest.mark.parametrize("threads", [0, 3], ids=["process", "threads"])
def test_every_shape_of_frame_is_walked(threads: int) -> None:
    with unwind.Shapes(60, threads) as shapes, tables(frozenset([shapes.pid])) as collected:
        records = since(collected, shapes.pid, warm(collected, [shapes.pid]), 2500)
        shares = shapes.shares()
    assert unwind.complete(records) >= 0.99, unwind.cut_by(records)
    every = unwind.samples(records)
    for function, share in shares.items():
        sampled = unwind.samples(r for r in records if function in {f.name for f in r.frames})
        assert sampled / every == pytest.approx(share, abs=0.03)
    whole = [r for r in records if r.complete and r.frames]
    assert {"burn_in_thread" if threads else "main"} <= {f.name for r in whole for f in r.frames}
    assert unwind.samples(r for r in whole if r.frames[0].name not in ROOTS) <= 0.01 * every
    assert collected.probe("cpu").lost == {}


PROGRAMS = {
    "python": [
        "/usr/bin/python3", "-c",
        "import json, re, zlib\n"
        "while True:\n"
        "    text = json.dumps([{'a': i, 'b': 'x' * i} for i in range(90)])\n"
        "    json.loads(text), re.findall('x+', text), zlib.compress(text.encode()), sorted(range(999), key=hash)\n",
    ],
    "xz": ["xz", "-T1", "-6", "-c", "/dev/zero"],
    "openssl": ["openssl", "speed", "-seconds", "1", "sha256", "md5", "rsa2048", "ecdsap256"],
}  # fmt: skip


def test_programs_as_distributions_build_them() -> None:
    running = {
        name: subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name, command in PROGRAMS.items()
    }
    try:
        with tables(frozenset(p.pid for p in running.values())) as collected:
            start = warm(collected, [p.pid for p in running.values()])
            records = {name: since(collected, p.pid, start, 700) for name, p in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    for name, found in records.items():
        assert unwind.complete(found) >= 0.99, (name, unwind.cut_by(found))
        depth = sum(len(r.frames) * r.samples for r in found) / unwind.samples(found)
        assert depth > 5


def test_callers_have_called(walked: list[RawSample], numbered: Files) -> None:
    """Not only some way to the root: every return address is one, by whichever way it was found."""
    with unwind.Shapes(60) as first, unwind.Shapes(60) as shapes:
        os.kill(shapes.pid, signal.SIGSTOP)
        with tables(frozenset([first.pid, shapes.pid])) as collected:
            since(collected, first.pid, warm(collected, [first.pid]), 1000)
            # Of this one nobody knows anything so far.
            walked.clear()
            os.kill(first.pid, signal.SIGSTOP)
            os.kill(shapes.pid, signal.SIGCONT)
            since(collected, shapes.pid, warm(collected, [shapes.pid]), 1000)
            mappings = read_mappings(shapes.pid)
        with open(f"/proc/{shapes.pid}/mem", "rb", 0) as memory:

            def read(address: int, length: int) -> bytes:
                return os.pread(memory.fileno(), length, address)

            whole = [s for s in walked if s.pid == shapes.pid and s.cut == End.WHOLE and s.user]
            frames = sum(len(s.user) - 1 for s in whole)
            by_place = [s for s in whole if not has_addresses(s.user)]
            stacks = [unwind.in_process(s.user, numbered, mappings) for s in whole]
            wrong = [address for stack in stacks for address in unwind.without_call(stack, read)]
    assert frames > 2000
    assert len(by_place) > 10
    assert not wrong


BUILD = """
while :; do
    for n in 1 2 3; do
        printf 'int f%d(int x) { return x * %d; }\\n' $n $n > $0/f$n.c
        gcc -O2 -c $0/f$n.c -o $0/f$n.o
    done
    ar rc $0/lib.a $0/f1.o $0/f2.o $0/f3.o
    nm $0/lib.a | sort | uniq -c > /dev/null
    gzip -c $0/lib.a | xz -0 > /dev/null
done
"""


def test_a_build_of_many_short_processes(tmp_path: Path) -> None:
    build = subprocess.Popen(["/bin/sh", "-c", BUILD, str(tmp_path)], start_new_session=True)
    try:
        with tables(frozenset([build.pid]), children=True, hertz=199) as collected:
            collected.wait_until(lambda c: unwind.samples(r for r in c.of(StackRecord) if r.complete) > 500)
            start = time.time_ns()
            collected.wait_until(lambda c: unwind.samples(r for r in c.of(StackRecord) if r.time_ns > start) > 500)
    finally:
        os.killpg(build.pid, 9)
        build.wait()
    records = [r for r in collected.of(StackRecord) if r.time_ns > start]
    assert len({r.pid for r in records}) > 20
    assert unwind.complete(records) >= 0.95, unwind.cut_by(records)


@pytest.fixture
def libraries(tmp_path: Path) -> list[Path]:
    copies = [tmp_path / f"hop{n}.so" for n in range(300)]
    for copy in copies:
        shutil.copyfile(unwind.chain_library(), copy)
    return copies


def test_a_stack_through_many_libraries(libraries: list[Path]) -> None:
    arguments = [unwind.chain_program(), "60", "100", *libraries]
    with Workload(arguments) as chain:
        chain.read()
        with tables(frozenset([chain.pid])) as collected:
            records = since(collected, chain.pid, warm(collected, [chain.pid]), 500)
    assert unwind.complete(records) >= 0.99, unwind.cut_by(records)
    through = [r for r in records if r.complete and sum(f.name == "hop" for f in r.frames) == 100]
    assert unwind.samples(through) >= 0.95 * unwind.samples(records)


def test_a_binary_replaced_while_it_runs(tmp_path: Path) -> None:
    """What is mapped is walked, not what lies at its path now."""
    program = tmp_path / unwind.COMM
    shutil.copy(unwind.shapes_program(), program)
    with unwind.Shapes(60, program=program) as shapes:
        program.unlink()
        shutil.copy("/bin/true", program)
        with tables(frozenset([shapes.pid])) as collected:
            records = since(collected, shapes.pid, warm(collected, [shapes.pid]), 500)
    assert unwind.complete(records) >= 0.99, unwind.cut_by(records)


def test_a_stack_larger_than_what_is_copied_of_it() -> None:
    """What it misses lies beyond the copy: only the kernel knows which table that is."""
    with unwind.Shapes("large", 60) as shapes, tables(frozenset([shapes.pid])) as collected:
        records = since(collected, shapes.pid, warm(collected, [shapes.pid]), 500)
    assert unwind.complete(records) >= 0.99, unwind.cut_by(records)
    assert {r.frames[0].name for r in records if r.complete} == {"_start"}


def test_code_that_nothing_describes_is_said_to_be_cut() -> None:
    why = "code without unwind information"
    with unwind.Shapes("made", 60) as shapes, tables(frozenset([shapes.pid])) as collected:
        collected.wait_until(lambda c: unwind.cut_by(c.of(StackRecord, [shapes.pid])).get(why, 0) > 50)
        records = since(collected, shapes.pid, time.time_ns(), 300)
    assert unwind.complete(records) < 0.02
    assert unwind.cut_by(records)[why] > 0.95 * unwind.samples(records)


def test_two_thousand_processes() -> None:
    with unwind.Shapes("family", 2000) as family:
        assert family.children() == 2000
        with tables(frozenset([family.pid]), children=True) as collected:
            collected.wait_until(lambda c: len({r.pid for r in c.of(StackRecord) if r.complete}) > 600)
            start = time.time_ns()
            collected.wait_until(lambda c: unwind.samples(r for r in c.of(StackRecord) if r.time_ns > start) > 500)
    assert collected.probe("cpu").lost == {}
