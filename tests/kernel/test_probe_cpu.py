"""The CPU sampler against programs that know where they spent their time."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from ebtop.errors import EbtopError
from ebtop.kernel import attach, syscall
from ebtop.kernel.cpus import online_cpus
from ebtop.kernel.module import Attachment
from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import StackRecord
from ebtop.unwind import FramePointers
from tests.lab import build, cpu
from tests.lab.cgroup import ChildCgroup
from tests.lab.collect import Collector
from tests.lab.process import Workload

pytestmark = pytest.mark.usefixtures("root")

FAST_HZ = 997
"""Prime, to keep out of step with the workload."""
NOBODY = 65534
MAIN = ("main", "run_shares", "burn_shares")
THREAD = ("burn_in_thread", "burn_shares")


def total(records: Iterable[StackRecord]) -> int:
    return sum(record.samples for record in records)


def names(record: StackRecord) -> tuple[str, ...]:
    return tuple(frame.name for frame in record.frames)


def samples_in(records: Iterable[StackRecord], function: str) -> int:
    """Samples with `function` anywhere in the stack."""
    return total(r for r in records if function in names(r))


def check_shares(records: Sequence[StackRecord], truth: Sequence[cpu.ThreadTime]) -> None:
    """Five standard deviations of a thousand samples and more."""
    all_samples, all_s = total(records), sum(t.cpu_s for t in truth)
    for function in cpu.SHARES:
        share = sum(t.functions[function] for t in truth) / all_s
        assert samples_in(records, function) / all_samples == pytest.approx(share, abs=0.08)


def check_whole(records: Iterable[StackRecord], callers: tuple[str, ...]) -> None:
    """What is called complete has every caller of the hot function.

    But for a sample in a hundred: at a function's first and last instructions its frame is not there.
    """
    whole = missing = 0
    for record in records:
        found = names(record)
        hot = next((i for i, name in enumerate(found) if name in cpu.SHARES), None)
        if record.complete and hot is not None:
            whole += record.samples
            missing += record.samples * (found[:hot][-len(callers) :] != callers)
    assert missing <= 0.01 * whole


def burn(collected: Collector, hot: cpu.Hot, samples: int) -> tuple[cpu.ThreadTime, ...]:
    """Let it run until that many of its samples have come in with names, then end it."""
    collected.wait_until(lambda c: total(c.of(StackRecord, [hot.pid])) > samples)
    return hot.truth(early=True)


@pytest.mark.parametrize("threads", [0, 2], ids=["process", "threads"])
def test_hot_functions_have_their_shares(threads: int) -> None:
    with Collector(["cpu"], Settings(hertz=FAST_HZ)) as collected, cpu.Hot(60, threads) as hot:
        truth = burn(collected, hot, 1500)
    records = [r for r in collected.of(StackRecord, [hot.pid]) if r.comm == cpu.COMM]
    assert total(records) == pytest.approx(FAST_HZ * sum(t.cpu_s for t in truth), rel=0.08)
    check_shares(records, truth)
    assert total(r for r in records if r.complete) > 0.97 * total(records)
    check_whole(records, THREAD if threads else MAIN)
    hot_threads = {r.thread for r in records if {*names(r)} & {*cpu.SHARES}}
    assert hot_threads == ({f"{cpu.THREAD_COMM_PREFIX}{i}" for i in range(threads)} or {""})
    assert collected.probe("cpu").lost == {}


def test_default_rate_counts_cpu_time() -> None:
    with Collector(["cpu"]) as collected, cpu.Hot(60) as hot:
        truth = burn(collected, hot, 120)
    records = collected.of(StackRecord, [hot.pid])
    assert total(records) == pytest.approx(49 * truth[0].cpu_s, rel=0.08)
    assert samples_in(records, "hot_a") > samples_in(records, "hot_b") > samples_in(records, "hot_c") > 0


def test_threads_have_their_own_time_under_the_name_of_their_process() -> None:
    with Collector(["cpu"], Settings(hertz=FAST_HZ)) as collected, cpu.Hot(60, threads=3) as hot:
        truth = burn(collected, hot, 1500)
    records = collected.of(StackRecord, [hot.pid])
    assert {r.comm for r in records if r.thread} == {cpu.COMM}
    for number, thread in enumerate(truth):
        of_thread = total(r for r in records if r.thread == f"{cpu.THREAD_COMM_PREFIX}{number}")
        assert of_thread / FAST_HZ == pytest.approx(thread.cpu_s, rel=0.15)


@pytest.mark.parametrize("threads", [0, 2], ids=["process", "threads"])
def test_complete_is_honest_without_frame_pointers(threads: int) -> None:
    """The leaf is right all the same."""
    settings = Settings(hertz=FAST_HZ, user_stacks=FramePointers())
    with Collector(["cpu"], settings) as collected, cpu.Hot(60, threads, frame_pointers=False) as hot:
        truth = burn(collected, hot, 1000)
    records = collected.of(StackRecord, [hot.pid])
    check_shares(records, truth)
    assert not [r for r in records if r.complete and {*names(r)} & {*cpu.SHARES}]


def test_kernel_functions_in_system_mode() -> None:
    with Collector(["cpu"], Settings(hertz=FAST_HZ)) as collected, cpu.System(60) as system:
        collected.wait_until(lambda c: total(c.of(StackRecord, [system.pid])) > 1000)
        truth = system.truth(early=True)
    records = collected.of(StackRecord, [system.pid])
    in_kernel = [r for r in records if any(frame.kind == "kernel" for frame in r.frames)]
    all_s = truth.user_s + truth.system_s
    assert total(records) == pytest.approx(FAST_HZ * all_s, rel=0.08)
    assert total(in_kernel) / total(records) == pytest.approx(truth.system_s / all_s, abs=0.1)
    assert total(r for r in records if {*names(r)} & {*cpu.SYSTEM_FUNCTIONS}) > 0.5 * total(records)
    assert {"main" in names(r) for r in in_kernel if "read" in names(r)} == {True}


def test_identity_of_what_runs(child_cgroup: ChildCgroup) -> None:
    def enter() -> None:
        child_cgroup.enter()
        os.setuid(NOBODY)

    with Collector(["cpu"], Settings(hertz=FAST_HZ)) as collected:
        process = subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"], preexec_fn=enter)
        try:
            collected.wait_until(lambda c: total(c.of(StackRecord, [process.pid])) > 20)
        finally:
            process.kill()
            process.wait()
    found = {(r.uid, r.cgroup) for r in collected.of(StackRecord, [process.pid]) if r.comm == "sh"}
    assert found == {(NOBODY, child_cgroup.path)}


def test_names_of_a_process_that_is_gone() -> None:
    """Its last samples are read after its end."""
    with Collector(["cpu"]) as collected, cpu.Hot(60) as hot:
        collected.wait_until(lambda c: total(c.of(StackRecord, [hot.pid])) > 10)
        alive = total(collected.of(StackRecord, [hot.pid]))
        time.sleep(0.25)  # it burns on, and ends before anybody has read that
        hot.truth(early=True)
    records = collected.of(StackRecord, [hot.pid])
    assert total(records) > alive
    assert sum(samples_in(records, function) for function in cpu.SHARES) >= 0.9 * total(records)


def test_reloaded_sampler_samples() -> None:
    with Collector(["cpu"], Settings(hertz=FAST_HZ)) as collected:
        for _ in range(2):
            proof = collected.source.unload("cpu")
            # One program samples; those that walk stacks come a moment later.
            assert proof.programs >= 3
            assert proof.remaining_ids == ()
            collected.source.load("cpu")
            with cpu.Hot(60) as hot:
                truth = burn(collected, hot, 400)
    assert total(collected.of(StackRecord, [hot.pid])) == pytest.approx(FAST_HZ * truth[0].cpu_s, rel=0.1)


def estimated_s(records: Iterable[StackRecord]) -> float:
    return sum(record.samples * record.period_ns for record in records) / 1e9


def sampler_id(collected: Collector) -> int:
    return next(program.id for program in collected.probe("cpu").programs if program.name == "on_sample")


def test_rate_changes_at_run_time() -> None:
    """Without a reload, and whatever was sampled at which rate, the CPU time comes out right."""
    with Collector(["cpu"], Settings(hertz=FAST_HZ)) as collected:
        loaded = sampler_id(collected)
        parts: list[tuple[int, int, float]] = []
        for hertz, enough in ((FAST_HZ, 1000), (97, 100), (FAST_HZ, 1000)):
            collected.source.set_rate(hertz)
            with cpu.Hot(60) as hot:
                parts.append((hertz, hot.pid, sum(t.cpu_s for t in burn(collected, hot, enough))))
            assert collected.source.hertz == hertz
        assert sampler_id(collected) == loaded
    for hertz, pid, cpu_s in parts:
        part = collected.of(StackRecord, [pid])
        assert {r.period_ns for r in part} == {10**9 // hertz}
        assert estimated_s(part) == pytest.approx(cpu_s, rel=0.15)
    assert collected.probe("cpu").lost == {}


def test_one_process_over_a_change_of_rate() -> None:
    with Collector(["cpu"], Settings(hertz=FAST_HZ)) as collected, cpu.Hot(60) as hot:
        collected.wait_until(lambda c: total(c.of(StackRecord, [hot.pid])) > 500)
        collected.source.set_rate(101)
        collected.wait_until(lambda c: total(r for r in c.of(StackRecord, [hot.pid]) if r.period_ns > 5_000_000) > 100)
        truth = hot.truth(early=True)
    records = collected.of(StackRecord, [hot.pid])
    assert {r.period_ns for r in records} == {10**9 // FAST_HZ, 10**9 // 101}
    assert estimated_s(records) == pytest.approx(truth[0].cpu_s, rel=0.1)


def test_a_rate_that_the_kernel_refuses_changes_nothing() -> None:
    with Collector(["cpu"], Settings(hertz=FAST_HZ)) as collected, cpu.Hot(60) as hot:
        for impossible in (0, attach.max_sample_rate() + 1):
            with pytest.raises(EbtopError):
                collected.source.set_rate(impossible)
        truth = burn(collected, hot, 500)
    assert collected.source.hertz == FAST_HZ
    assert total(collected.of(StackRecord, [hot.pid])) == pytest.approx(FAST_HZ * truth[0].cpu_s, rel=0.1)


def test_a_rate_lasts_over_a_reload() -> None:
    with Collector(["cpu"]) as collected:
        collected.source.unload("cpu")
        collected.source.set_rate(FAST_HZ)
        collected.source.load("cpu")
        with cpu.Hot(60) as hot:
            truth = burn(collected, hot, 500)
    assert total(collected.of(StackRecord, [hot.pid])) == pytest.approx(FAST_HZ * truth[0].cpu_s, rel=0.1)


@pytest.fixture
def every_page_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples page faults, each one: an event that a workload can cause a known number of times."""
    software, page_faults, disabled, enable, set_program = 1, 2, 1, 0x2400, 0x40042408

    def events(program: int, hook: attach.Sampler) -> list[int]:
        attr = bytes(syscall.attr("=IIQQQQQ", software, 112, page_faults, 1, 0, 0, disabled, size=112))
        found = []
        for number in online_cpus():
            event = syscall.perf_event_open(bytearray(attr), -1, number)
            fcntl.ioctl(event, set_program, program)
            fcntl.ioctl(event, enable, 0)
            found.append(event)
        return found

    monkeypatch.setattr(attach, "sampler", events)


@pytest.mark.usefixtures("every_page_fault")
def test_every_stack_of_a_known_number_is_counted() -> None:
    """At over 100,000 samples a second, the halves being swapped all the while."""
    with cpu.Stacks(10, 64) as stacks:
        with Collector(["cpu"], Settings(hertz=5000), FilterSpec(frozenset([stacks.pid]))) as collected:
            truth = stacks.go()
        assert truth.minor_faults == truth.stacks * truth.times
        found = Counter[tuple[str, ...]]()
        for record in collected.of(StackRecord, [stacks.pid]):
            if "touch_bottom" in names(record):
                assert record.complete
                # What calls main is known by tables only, which are loaded a moment after the first samples.
                way = names(record)
                found[way[way.index("main") :]] += record.samples
    assert len(found) == truth.stacks
    assert set(found.values()) == {truth.times}
    assert collected.probe("cpu").lost == {}


DISTINCT = 50_000


def test_many_distinct_stacks_lose_nothing() -> None:
    with cpu.Stacks(20, 1, touch=False) as one, cpu.Stacks(20, 1, touch=False) as two:
        pids = frozenset([one.pid, two.pid])
        with Collector(["cpu"], Settings(hertz=2503), FilterSpec(pids)) as collected:
            one.start()
            two.start()
            collected.wait_until(lambda c: c.probe("cpu").events > 1.05 * DISTINCT)
            one.stop()
            two.stop()
    records = collected.of(StackRecord, pids)
    health = collected.probe("cpu")
    assert health.lost == {}
    assert total(collected.of(StackRecord)) == health.events
    assert len({(r.pid, r.frames) for r in records}) > DISTINCT
    assert total(r for r in records if "walk_stacks" in names(r)) > 0.97 * total(records)


class KnownStack:
    """Stands in for whoever walks user stacks; says the same of every process."""

    name = "known"
    hands_over = False
    no_stack = 0

    def __init__(self, header: Path, addresses: Sequence[int]) -> None:
        stores = "".join(f"\tstack->address[{i}] = {address:#x};\n" for i, address in enumerate(addresses))
        header.write_text(
            '#include "stack.h"\n'
            "inlined void walk_user_stack(void *ctx, struct stack *stack)\n"
            f"{{\n{stores}\tstack->depth = {len(addresses)};\n\tstack->cut = 0;\n}}\n"
            "inlined u64 hand_over_stack(void *ctx, struct stack *stack)\n{\n\treturn 0;\n}\n"
        )
        self.header = str(header)

    def chain(self, stores: str, prog_type: int) -> Sequence[Attachment]:
        return ()


def test_who_fills_the_user_stack_is_exchangeable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = build.binary("cpu_hot", cpu.COMM, (*build.FRAME_POINTERS, "-no-pie"))
    symbols = subprocess.run(["nm", program], stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")
    address = {line.split()[2]: int(line.split()[0], 16) for line in symbols if line[:1] == "0"}
    frames = ("_start", "main", "hot_c")
    settings = Settings(
        hertz=FAST_HZ, user_stacks=KnownStack(tmp_path / "known.h", [address[name] + 1 for name in reversed(frames)])
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Collector(["cpu"], settings) as collected, Workload([program, "shares", "60"]) as workload:
        collected.wait_until(lambda c: total(c.of(StackRecord, [workload.pid])) > 200)
        records = [r for r in collected.of(StackRecord, [workload.pid]) if r.comm == cpu.COMM]
    assert {names(r)[:3] for r in records} == {frames}
    assert {r.complete for r in records} == {True}
