"""The exec probe against workloads that know what they exec'd, and how it ended."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ebtop.kernel.btf import Btf
from ebtop.kernel.ring import Ring
from ebtop.probes.exec import ExecProbe
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import ExecRecord, ExitRecord
from ebtop.text import printable
from tests.lab import cpu, execs
from tests.lab.cgroup import ChildCgroup
from tests.lab.collect import Collector, R

pytestmark = pytest.mark.usefixtures("root")

ARGS_LEN = 1024
FAILED_ARG_LEN = 127
HOSTILE_COMM = "\\x1b[31m\\xff[b]x"
NOBODY = 65534
STORM = 20_000


def as_read(args: tuple[bytes, ...], size: int) -> tuple[tuple[str, ...], int]:
    """What of an argv of `size` bytes comes back: printable arguments, bytes cut. `args` are the first of them."""
    block = b"".join(arg + b"\0" for arg in args)[:ARGS_LEN]
    return tuple(map(printable, block.removesuffix(b"\0").split(b"\0"))), max(0, size - ARGS_LEN)


def run_python(script: str, cwd: Path) -> tuple[int, ...]:
    """Run a script that prints numbers as a JSON list."""
    done = subprocess.run([sys.executable, "-c", script], cwd=cwd, stdout=subprocess.PIPE, check=True)
    return tuple(json.loads(done.stdout))


class Cases:
    """Every one of execs.CASES, with the records of its process."""

    def __init__(self) -> None:
        with Collector(["exec"]) as collected:
            self.truth = {name: execs.exec_case(name) for name in execs.CASES}
        self.collected = collected

    def execs(self, name: str) -> list[ExecRecord]:
        return sorted(self.collected.of(ExecRecord, [self.truth[name].pid]))

    def exits(self, name: str) -> list[ExitRecord]:
        return self.collected.of(ExitRecord, [self.truth[name].pid])


@pytest.fixture(scope="module")
def cases() -> Cases:
    return Cases()


@pytest.fixture
def collected(root: None) -> Iterator[Collector]:
    with Collector(["exec"]) as collector:
        yield collector


@pytest.mark.parametrize("name", execs.CASES)
def test_attempts_come_in_order_with_their_results(cases: Cases, name: str) -> None:
    truth = cases.truth[name]
    expected = [(printable(f.filename), -f.errno) for f in truth.failures]
    if truth.args:
        expected.append((printable(truth.filename), 0))
    records = cases.execs(name)
    assert [(r.filename, r.ret) for r in records] == expected
    assert {r.ppid for r in records} <= {truth.ppid}
    assert {r.parent_comm for r in records} <= {"ebt-exec-cases"}


@pytest.mark.parametrize("name", ["path-search", "empty-path", "shebang", "hostile-name", "empty-argv", "thread-exec"])
def test_argv_is_exact(cases: Cases, name: str) -> None:
    truth = cases.truth[name]
    found = [(r.args, r.args_truncated) for r in cases.execs(name) if r.ret == 0]
    assert found == [as_read(truth.args, truth.args_bytes)]


def test_long_argv_is_cut_and_measured(cases: Cases) -> None:
    truth = cases.truth["huge-argv"]
    (record,) = cases.execs("huge-argv")
    program, code = map(printable, truth.args[:2])
    assert record.args == (program, code, "a" * (ARGS_LEN - len(program) - len(code) - 2))
    assert record.args_truncated == truth.args_bytes - ARGS_LEN > 299_000


def test_argv_of_a_failure(cases: Cases) -> None:
    (record,) = cases.execs("enoent")
    assert (record.args, record.args_truncated) == (("missing", "-x", "two words"), 0)
    assert [r.args for r in cases.execs("path-search")] == [(execs.LEAF_COMM, "3")] * 6


@pytest.mark.parametrize("name", execs.CASES)
def test_every_process_ends_once(cases: Cases, name: str) -> None:
    truth = cases.truth[name]
    ends = [(r.exit_code, r.signal, r.core_dumped, r.ppid) for r in cases.exits(name)]
    assert ends == [(truth.exit_code, truth.signal, truth.core_dumped, truth.ppid)]


def test_arguments_too_long_to_start_are_a_beginning(cases: Cases) -> None:
    """The kernel gives up before it has read them all, so that some may not even be in memory."""
    (record,) = cases.execs("e2big")
    whole = (str(execs.Leaf.BARE.path), "0", "y" * FAILED_ARG_LEN)
    assert record.args == whole[: len(record.args)] != ()
    assert record.args_truncated >= 1


def test_names_are_made_printable(cases: Cases) -> None:
    (record,) = cases.execs("hostile-name")
    assert record.comm == HOSTILE_COMM
    assert record.filename.endswith(f"/{HOSTILE_COMM}")
    assert record.args == ("\\x1b]0;owned\\x07", "9", "[red]\\xff")
    assert [r.comm for r in cases.exits("hostile-name")] == [HOSTILE_COMM]


def test_failed_arguments_that_just_fit_are_whole(collected: Collector) -> None:
    program = f"/nonexistent/ebt-{os.getpid()}"
    arguments = ["fits", "a" * FAILED_ARG_LEN, "b" * (FAILED_ARG_LEN + 1), ""]
    with pytest.raises(FileNotFoundError):
        subprocess.run([*arguments], executable=program)
    with pytest.raises(FileNotFoundError):
        subprocess.run(arguments[:2], executable=program)
    collected.source.close()
    found = {r.args: r.args_truncated for r in collected.of(ExecRecord) if r.filename == program}
    assert found == {
        ("fits", "a" * FAILED_ARG_LEN, "b" * FAILED_ARG_LEN, ""): 1,
        ("fits", "a" * FAILED_ARG_LEN): 0,
    }


def test_more_failed_arguments_than_are_read(collected: Collector) -> None:
    program = f"/nonexistent/ebt-{os.getpid()}"
    for count in (12, 13):
        with pytest.raises(FileNotFoundError):
            subprocess.run(["x"] * count, executable=program)
    collected.source.close()
    found = [(len(r.args), r.args_truncated) for r in collected.of(ExecRecord) if r.filename == program]
    assert found == [(12, 0), (12, 1)]


def test_identity_of_who_execs(child_cgroup: ChildCgroup, collected: Collector) -> None:
    def enter() -> None:
        child_cgroup.enter()
        os.setuid(NOBODY)

    subprocess.run(["/bin/sh", "-c", "exit 7"], check=False, preexec_fn=enter)
    collected.source.close()
    (record,) = [r for r in collected.of(ExecRecord) if r.cgroup == child_cgroup.path]
    (end,) = [r for r in collected.of(ExitRecord) if r.cgroup == child_cgroup.path]
    assert (record.uid, record.comm, record.ppid) == (NOBODY, "sh", os.getpid())
    assert (end.uid, end.comm, end.ppid, end.pid) == (NOBODY, "sh", os.getpid(), record.pid)
    assert (end.exit_code, end.signal) == (7, 0)
    assert record.parent_comm == printable(Path("/proc/self/comm").read_bytes().removesuffix(b"\n"))


def test_core_dump_is_reported(collected: Collector, tmp_path: Path) -> None:
    script = """
import json, os, resource, signal
pid = os.fork()
if not pid:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    os.kill(os.getpid(), signal.SIGQUIT)
status = os.waitpid(pid, 0)[1]
print(json.dumps([pid, os.WTERMSIG(status), os.WCOREDUMP(status)]))
"""
    pid, number, dumped = run_python(script, tmp_path)
    collected.source.close()
    (end,) = collected.of(ExitRecord, [pid])
    assert (end.signal, end.core_dumped) == (number, dumped)


def test_exit_code_when_each_thread_ends_alone(collected: Collector, tmp_path: Path) -> None:
    script = """
import ctypes, json, os, sys, threading, time
libc, exit_thread = ctypes.CDLL(None), {"x86_64": 60, "aarch64": 93}[os.uname().machine]
def outlive(pid):
    while open(f"/proc/{pid}/task/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.001)
    libc.syscall(exit_thread, 3)
pid = os.fork()
if not pid:
    threading.Thread(target=outlive, args=[os.getpid()]).start()
    libc.syscall(exit_thread, 7)
print(json.dumps([pid, os.WEXITSTATUS(os.waitpid(pid, 0)[1])]))
"""
    pid, code = run_python(script, tmp_path)
    collected.source.close()
    assert code in (3, 7)  # of the last thread; before Linux 5.19, of the leader
    assert [(r.exit_code, r.signal) for r in collected.of(ExitRecord, [pid])] == [(code, 0)]


def test_killed_group_of_threads_ends_once(collected: Collector) -> None:
    with cpu.Hot(60, threads=32) as hot:
        os.kill(hot.pid, signal.SIGKILL)
    collected.source.close()
    assert [(r.exit_code, r.signal) for r in collected.of(ExitRecord, [hot.pid])] == [(0, signal.SIGKILL)]


def test_duration_is_since_the_fork(collected: Collector) -> None:
    before = time.monotonic()
    process = subprocess.Popen(["sleep", "0.2"])
    process.wait()
    most = time.monotonic() - before
    collected.source.close()
    (record,) = [r for r in collected.of(ExecRecord, [process.pid]) if r.ret == 0]
    (end,) = collected.of(ExitRecord, [process.pid])
    assert 0.2 <= end.duration_s <= most
    assert 0.2e9 <= end.time_ns - record.time_ns <= most * 1e9


def check_storm(collected: Collector, storm: execs.ExecStorm) -> None:
    """Every exec and every end of a storm was seen, and nothing else of its processes."""
    workers = {e.ppid for e in storm.execs}
    found = [r for r in collected.of(ExecRecord) if r.ppid in workers]
    ends = [r for r in collected.of(ExitRecord) if r.ppid in workers]
    sizes = [sum(map(len, e.args)) + len(e.args) for e in storm.execs]
    expected = [(e.pid, *as_read(e.args, size)) for e, size in zip(storm.execs, sizes, strict=True)]
    assert Counter((r.pid, r.args, r.args_truncated) for r in found) == Counter(expected)
    assert Counter((r.pid, r.exit_code, r.signal) for r in ends) == Counter(
        (e.pid, e.exit_code, e.signal) for e in storm.execs
    )
    assert {(r.ret, r.filename, r.comm, r.parent_comm) for r in found} == {
        (0, str(execs.Leaf.BARE.path), execs.LEAF_COMM, execs.STORM_COMM)
    }
    assert all(0 < r.duration_s < storm.elapsed_s for r in ends)
    assert collected.probe("exec").lost == {}


def test_storm_is_seen_whole() -> None:
    with Collector(["exec"]) as collected:
        storm = execs.exec_storm(STORM, processes=2)
    check_storm(collected, storm)


class Dam:
    """While it is shut, nothing leaves the kernel's ring buffers."""

    shut = False


@pytest.fixture
def dam(monkeypatch: pytest.MonkeyPatch) -> Dam:
    """With a ring buffer for ends that holds one page of them: 64 at most."""
    made, pull = Dam(), Ring.pull
    monkeypatch.setattr(ExecProbe, "sizes", lambda settings: {"exit_events": mmap.PAGESIZE})
    monkeypatch.setattr(Ring, "pull", lambda ring: 0.0 if made.shut else pull(ring))
    return made


@pytest.mark.parametrize(
    "spec",
    [
        FilterSpec(),
        FilterSpec(comms=frozenset({execs.LEAF_COMM})),
        FilterSpec(pids=frozenset({os.getpid()}), children=True),
    ],
    ids=["all", "comm", "children"],
)
def test_ends_that_are_lost_are_found_by_looking(dam: Dam, spec: FilterSpec) -> None:
    count = 300
    with Collector(["exec"], filter_spec=spec) as collected, execs.Crowd(count) as crowd:
        collected.wait_until(lambda c: len(members(c, crowd.pid, ExecRecord)) == count)
        dam.shut = True
        crowd.end()
        dam.shut = False
        collected.wait_until(lambda c: len(members(c, crowd.pid, ExitRecord)) >= count)
        # A look that finds nobody any more, and what would be told twice.
        looks = len(collected.batches)
        collected.wait_until(lambda c: len(c.batches) >= looks + 4)
    started = {r.pid: r for r in members(collected, crowd.pid, ExecRecord)}
    ends = {r.pid: r for r in members(collected, crowd.pid, ExitRecord)}
    assert len(members(collected, crowd.pid, ExitRecord)) == len(ends) == len(started) == count
    unseen = [r for r in ends.values() if r.exit_code is None]
    seen = [r for r in ends.values() if r.exit_code is not None]
    per_page = mmap.PAGESIZE // 64
    assert 0 < len(seen) <= per_page
    assert {(r.exit_code, r.signal) for r in seen} == {(0, signal.SIGKILL)}
    assert {(r.signal, r.core_dumped, r.duration_s) for r in unseen} == {(None, None, None)}
    assert [r[1:6] for r in unseen] == [started[r.pid][1:6] for r in unseen]
    assert all(started[r.pid].time_ns < r.time_ns for r in unseen)
    assert collected.probe("exec").lost["ring buffer full"] >= len(unseen)


def members(collected: Collector, crowd: int, kind: type[R]) -> list[R]:
    """Records of those that a crowd started; of ends that were not seen, too."""
    return [r for r in collected.of(kind) if r.comm == execs.LEAF_COMM and r.ppid == crowd]


@pytest.fixture
def without_group_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """As before Linux 6.16, whose sched_process_exit does not say whether the process ends."""
    arguments = Btf.raw_tracepoint_args
    monkeypatch.setattr(
        Btf, "raw_tracepoint_args", lambda btf, name: 1 if name == "sched_process_exit" else arguments(btf, name)
    )


@pytest.fixture
def without_task_pt_regs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As before Linux 5.15, where a failure's arguments have to be remembered from the call."""
    values = Btf.enum_values

    def older(btf: Btf, name: str) -> Mapping[str, int] | None:
        found = values(btf, name)
        return found and {key: value for key, value in found.items() if key != "BPF_FUNC_task_pt_regs"}

    monkeypatch.setattr(Btf, "enum_values", older)


@pytest.mark.usefixtures("without_group_dead")
def test_ends_on_older_kernels() -> None:
    observed = Cases()
    for name, truth in observed.truth.items():
        assert [(r.exit_code, r.signal) for r in observed.exits(name)] == [(truth.exit_code, truth.signal)]


@pytest.mark.usefixtures("without_task_pt_regs")
def test_failures_on_older_kernels() -> None:
    observed = Cases()
    assert {p.name for p in observed.collected.probe("exec").programs} >= {"on_execve_enter", "on_execveat_enter"}
    for name, truth in observed.truth.items():
        failures = [(r.filename, r.ret) for r in observed.execs(name) if r.ret]
        assert failures == [(printable(f.filename), -f.errno) for f in truth.failures]
    assert observed.execs("enoent")[0].args == ("missing", "-x", "two words")


def test_storm_on_older_kernels(without_group_dead: None, without_task_pt_regs: None) -> None:
    with Collector(["exec"]) as collected:
        storm = execs.exec_storm(2000, processes=2)
    check_storm(collected, storm)
