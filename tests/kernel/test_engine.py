"""What becomes of bpf/*.c on the way into the kernel."""

from __future__ import annotations

import errno
import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebtop.kernel import accounting, map_budget
from ebtop.kernel.artifact import Artifact, MapSpec
from ebtop.kernel.attach import RawTracepoint, Tracepoint
from ebtop.kernel.compiler import Compiler, compile_source
from ebtop.kernel.cpus import possible_cpus
from ebtop.kernel.environment import Environment
from ebtop.kernel.maps import Map, MapType
from ebtop.kernel.module import Attachment, LoadError, Module
from ebtop.probes.base import Settings
from ebtop.session.probe_set import ProbeSet
from ebtop.store.source import MapUse
from tests.lab import bpf_objects, execs
from tests.lab.artifacts import NAMES, artifact
from tests.lab.bpf_objects import BpfObjects
from tests.lab.collect import Collector
from tests.lab.tracing import EBTOP

pytestmark = pytest.mark.usefixtures("no_bpf_left")

ALL = ("cpu", "exec", "tcp", "retransmits", "connects")
MIB = 1 << 20


def held_map_bytes() -> int:
    """Kernel memory of every map this process holds. Source: fdinfo, not ebtop."""
    held = [info for info in bpf_objects.descriptors(os.getpid()) if "map_id" in info]
    # Iterators over a map have its number, too.
    return sum({info["map_id"]: int(info["memlock"]) for info in held if "memlock" in info}.values())


BUILD_ALL = """
import os, sys
from pathlib import Path
from ebtop.kernel.compiler import Compiler
from tests.lab.artifacts import NAMES
out = Path(sys.argv[1])
for name in NAMES:
    (out / name).write_bytes(Compiler(cache=out / "cache").artifact(name).dump())
print(os.uname().release, os.path.exists("/sys/kernel/btf/vmlinux"), os.path.exists("/proc/kallsyms"))
"""


def test_artifacts_are_the_same_whatever_kernel_they_are_built_on(tmp_path: Path) -> None:
    """Built where the kernel says it is a 2.6 and has neither BTF, nor modules, nor symbols, nor headers."""
    hide = "for at in /sys/kernel /boot /lib/modules /usr/src; do [ ! -d $at ] || mount -t tmpfs none $at; done"
    hide += "; mount --bind /dev/null /proc/version; mount --bind /dev/null /proc/kallsyms"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{hide}; exec setarch --uname-2.6 "$@"', "sh", sys.executable, "-c",
         BUILD_ALL, str(tmp_path)],
        cwd=EBTOP.parent.parent, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    release, btf, _ = done.stdout.split()
    assert release.startswith("2.6.")
    assert btf == "False"
    for name in NAMES:
        assert (tmp_path / name).read_bytes() == artifact(name).dump(), name


BROKEN = """
int on_event(void *ctx)
{
	u64 above_the_stack;

	asm volatile("%0 = *(u64 *)(r10 + 8)" : "=r"(above_the_stack));
	return above_the_stack;
}
"""


@pytest.fixture
def environment() -> Iterator[Environment]:
    kernel = Environment({})
    yield kernel
    kernel.close()


def test_what_the_verifier_refuses_is_named_with_its_reason(environment: Environment) -> None:
    broken = compile_source("broken", BROKEN)
    with pytest.raises(LoadError) as caught:
        Module(broken, [Attachment("on_event", RawTracepoint("sched_process_exec"))], environment)
    assert caught.value.line() == "the kernel refused the program on_event of bpf/broken.c: EACCES, Permission denied"
    assert "invalid read from stack" in caught.value.log
    assert len(caught.value.log.splitlines()) <= 6


def test_a_tracepoint_that_is_not_there_is_named(environment: Environment) -> None:
    works = compile_source("works", "int on_event(void *ctx) { return 0; }\n")
    for hook, words in (
        (RawTracepoint("no_such_thing"), "raw tracepoint no_such_thing: No such file"),
        (Tracepoint("sched:no_such_thing"), "tracepoint sched:no_such_thing: No such file"),
    ):
        with pytest.raises(LoadError, match=rf"^can't attach bpf/works\.c to {words}"):
            Module(works, [Attachment("on_event", hook)], environment)


def test_a_map_the_kernel_refuses_is_named(environment: Environment) -> None:
    works = compile_source("works", "BPF_ARRAY(numbers, u64, 1);\nint on_event(void *ctx) { return 0; }\n")
    specs = [works.maps[0]._replace(flags=1 << 31)]
    with pytest.raises(LoadError, match=r"^the kernel refused the map numbers of bpf/works\.c \(1 entries\): Invalid"):
        Module(works, [], environment, maps=specs)


def test_one_probe_that_is_refused_leaves_the_others_running(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Compiler.artifact

    def with_a_bad_exec(self: Compiler, name: str, *rest: object) -> Artifact:
        """on_exec reads 4 KiB past its context."""
        made = good(self, name, *rest)  # type: ignore[arg-type]
        if name != "exec":
            return made
        bad = bytes.fromhex("79100010000000009500000000000000")
        return made._replace(programs=tuple(p._replace(code=bad) if p.name == "on_exec" else p for p in made.programs))

    monkeypatch.setattr(Compiler, "artifact", with_a_bad_exec)
    from ebtop.session import LiveSource

    source = LiveSource(["exec", "connects"])
    source.open()
    try:
        health = source.health()
        states = {probe.name: probe.state for probe in health.probes}
        assert (states["exec"], states["connects"]) == ("failed", "on")
        failed = next(probe for probe in health.probes if probe.name == "exec")
        assert failed.error == "the kernel refused the program on_exec of bpf/exec.c: EACCES, Permission denied"
        verifier = [line for line in health.log if line.startswith("exec: verifier: ")]
        assert any("invalid" in line for line in verifier)
        assert health.log[-1].startswith("exec: the kernel refused the program on_exec")
        assert bpf_objects.held_by(os.getpid()).programs == {
            program.id for probe in health.probes for program in probe.programs
        }
    finally:
        source.close()


def test_default_maps_take_at_most_20_and_a_half_mib_and_what_is_reported_is_what_they_take() -> None:
    with Collector(ALL) as collected:
        collected.wait_until(lambda c: len(c.batches) > 1)
        # Not all of it is read in one moment, and a table has a descriptor while it is put in its place.
        collected.wait_until(reports_what_is_held)
        held = held_map_bytes()
    assert 0 < held <= 20.5 * MIB


def reports_what_is_held(collected: Collector) -> bool:
    reported = sum(probe.map_bytes for probe in collected.health.probes)
    tables = sum(m.bytes for m in maps_of(collected) if not m.id)  # stand in a map, without descriptors
    ids = {m.id for m in maps_of(collected) if m.id}
    return ids == bpf_objects.held_by(os.getpid()).maps and reported == held_map_bytes() + tables


def maps_of(collected: Collector) -> list[MapUse]:
    return [m for probe in collected.health.probes for m in probe.maps]


def taken(log: list[str], **options: int) -> int:
    """Kernel memory of all maps when every probe is loaded."""
    probes = ProbeSet(Settings(), log.append, **options)
    try:
        for name in ALL:
            probes.load(name)
        return held_map_bytes()
    finally:
        probes.close()


@pytest.mark.parametrize("fits", [True, False])
def test_a_cap_makes_maps_smaller_and_is_kept_or_said_not_to_be(fits: bool) -> None:
    log: list[str] = []
    usual = taken(log)
    assert not [line for line in log if "smaller maps" in line]
    cap_mib = usual // MIB - 3 if fits else 1
    smaller = taken(log, map_cap=cap_mib * MIB)
    assert any(f"smaller maps, for a cap of {cap_mib} MiB" in line for line in log)
    assert smaller < usual
    assert (smaller <= cap_mib * MIB) == fits
    assert any("still do not fit" in line for line in log) != fits


def test_no_map_takes_more_than_the_budget_expects() -> None:
    for name in NAMES:
        for spec in artifact(name).maps:
            made = Map(spec)
            try:
                _, taken = accounting.map_use(made.fd)
            finally:
                made.close()
            # A few pages for the map itself, and rings are rounded up to pages.
            assert taken <= map_budget.bytes_at_most(spec) + 64 * 1024, spec


@pytest.fixture
def table() -> Iterator[Map]:
    made = Map(MapSpec("table", MapType.HASH, 8, 16, 5000, 0))
    yield made
    made.close()


def fill(table: Map, count: int) -> dict[bytes, bytes]:
    draw = random.Random(count)
    truth = {draw.randbytes(8): draw.randbytes(16) for _ in range(count)}
    for key, value in truth.items():
        table.update(key, value)
    return truth


def read(table: Map, *, delete: bool = False) -> list[tuple[bytes, bytes]]:
    return [
        (keys[i * 8 : i * 8 + 8], values[i * 16 : i * 16 + 16])
        for keys, values in table.batches(delete=delete)
        for i in range(len(keys) // 8)
    ]


@pytest.mark.parametrize("chunk", [1, 2, 7, 1024, 5000])
@pytest.mark.parametrize("count", [0, 1, 1024, 4999])
def test_batches_bring_every_element_once(table: Map, count: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a bucket holds more than a chunk takes, and the kernel asks for more room (ENOSPC)."""
    monkeypatch.setattr("ebtop.kernel.maps._BATCH_CHUNK", chunk)
    truth = fill(table, count)
    found = read(table)
    assert len(found) == count
    assert dict(found) == truth
    assert dict(read(table, delete=True)) == truth
    assert read(table) == []


def test_chunks_did_have_to_grow(table: Map, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the test above proves less than it says."""
    from ebtop.kernel import syscall

    refusals = []
    original = syscall.bpf

    def watch(command: syscall.Cmd, attribute: bytearray) -> int:
        try:
            return original(command, attribute)
        except OSError as error:
            refusals.append(error.errno)
            raise

    fill(table, 4999)
    monkeypatch.setattr("ebtop.kernel.maps._BATCH_CHUNK", 1)
    monkeypatch.setattr(syscall, "bpf", watch)
    assert len(read(table)) == 4999
    assert errno.ENOSPC in refusals


def test_elements_one_at_a_time(table: Map) -> None:
    key = b"12345678"
    assert table.lookup(key) is None
    assert table.update(key, b"a" * 16, only_new=True)
    assert not table.update(key, b"b" * 16, only_new=True)
    assert table.lookup(key) == b"a" * 16
    assert table.update(key, b"b" * 16)
    assert table.lookup(key) == b"b" * 16
    table.delete(key)
    table.delete(key)
    assert table.lookup(key) is None


def test_per_cpu_values_are_summed() -> None:
    made = Map(MapSpec("sums", MapType.PERCPU_ARRAY, 4, 8, 3, 0))
    try:
        truth = []
        for index in range(3):
            values = [1000 * index + cpu + (1 << 40) for cpu in range(possible_cpus())]
            truth.append(sum(values))
            made.update(struct.pack("=I", index), struct.pack(f"={len(values)}Q", *values))
        assert made.percpu_u64() == truth
    finally:
        made.close()


def test_events_counted_in_the_kernel_are_the_records_that_came() -> None:
    with Collector(["exec"]) as collected:
        execs.exec_storm(200)
    records = sum(len(batch.records) for batch in collected.batches)
    assert collected.probe("exec").events == records >= 400
    assert collected.probe("exec").lost == {}


def test_without_the_right_to_ask_ids_are_named_as_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("ebtop.kernel.syscall.bpf", refuse)
    assert accounting.wait_until_gone([7], [8], 1.0) == ("prog 7 (not known)", "map 8 (not known)")


def test_ids_that_are_there_and_ids_that_are_gone(table: Map) -> None:
    there = accounting.map_id(table.fd)
    assert accounting.still_there([], [there]) == (f"map {there}",)
    assert accounting.wait_until_gone([], [there], 0.05) == (f"map {there}",)
    table.close()
    assert accounting.wait_until_gone([], [there], 5.0) == ()
    bpf_objects.assert_gone(BpfObjects(maps={there}))
