"""Single probes narrowed at run time on top of the filter for all: what passes is in both, and others do not notice."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterable

import pytest

from ebtop.errors import EbtopError
from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import Batch, ExecRecord, ExitRecord, StackRecord, TcpRecord
from ebtop.store.selection import Pushed
from tests.lab import build, cpu, execs
from tests.lab.actor import Actor, Pair, connect
from tests.lab.cgroup import ChildCgroup
from tests.lab.collect import Collector
from tests.lab.process import Workload

pytestmark = pytest.mark.usefixtures("root")

EXEC, TCP, CPU = frozenset(["exec"]), frozenset(["tcp"]), frozenset(["cpu"])


def pids(*pids: int) -> Pushed:
    return Pushed(frozenset(pids))


def run_true(collected: Collector, cgroup: ChildCgroup | None = None) -> int:
    """Run a program to its end, in a process of its own; its pid."""
    child = subprocess.Popen(["/bin/true"], preexec_fn=cgroup.enter if cgroup else None)
    child.wait()
    return child.pid


class Stepper:
    """A shell that replaces itself, on command, by a shell: one exec a time in one and the same process."""

    LOOP = 'read line && exec /bin/sh -c "$0" "$0"'

    def __init__(self, cgroup: ChildCgroup | None = None) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f"echo; {self.LOOP}", f"echo; {self.LOOP}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            preexec_fn=cgroup.enter if cgroup else None,
        )
        self.pid = self._process.pid
        self._await()

    def __enter__(self) -> Stepper:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def step(self) -> None:
        """One exec."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._await()

    def _await(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "\n"


def execs_of(collected: Collector, *steppers: Stepper) -> list[int]:
    """How many execs of each were seen."""
    seen = [r.pid for r in collected.of(ExecRecord) if r.ret == 0]
    return [seen.count(stepper.pid) for stepper in steppers]


def step_all(*steppers: Stepper) -> None:
    for stepper in steppers:
        stepper.step()


def test_one_probe_narrowed_and_the_others_not(child_cgroup: ChildCgroup) -> None:
    """The base is a cgroup; narrowing exec to one pid in it leaves tcp all of the cgroup, and nothing outside."""
    spec = FilterSpec(cgroups=(child_cgroup.path,))
    with (
        Stepper(child_cgroup) as one,
        Stepper(child_cgroup) as two,
        Stepper() as outside,
        Actor("ebt-client", enter=child_cgroup.enter) as client,
        Actor("ebt-server", enter=child_cgroup.enter) as server,
        Actor("ebt-other") as other,
        Collector(["exec", "tcp"], filter_spec=spec) as collected,
    ):
        step_all(one, two, outside)
        collected.source.narrow(pids(one.pid, outside.pid), EXEC)
        health = collected.health
        step_all(one, two, outside)
        close(client, server, connect(client, server, "127.0.0.1"))
        close(other, server, connect(other, server, "127.0.0.1"))
        collected.source.narrow(None, EXEC)
        step_all(one, two, outside)
    assert execs_of(collected, one, two, outside) == [3, 2, 0]
    assert (health.narrowed, health.narrowed_probes) == (f"pid {one.pid},{outside.pid}", ("exec",))
    assert collected.health.narrowed == ""
    closed = [r.pid for r in collected.of(TcpRecord, [client.pid, server.pid, other.pid]) if r.event == "close"]
    assert sorted(closed) == sorted([client.pid, server.pid, server.pid])


def close(client: Actor, server: Actor, pair: Pair) -> None:
    client.close(pair.client)
    server.close(pair.server)


def test_tcp_narrowed_in_events_and_in_scans(client: Actor, server: Actor) -> None:
    with Actor("ebt-other") as other, Collector(["tcp", "exec"]) as collected:
        kept, closed = connect(client, server, "127.0.0.1"), connect(other, server, "127.0.0.1")
        collected.source.narrow(pids(client.pid), TCP)
        began = len(collected.batches)
        collected.wait_until(lambda c: len(scans(c.batches[began:])) >= 2)
        open_pids = {r.pid for scan in scans(collected.batches[began:])[1:] for r in scan}
        close(other, server, closed)
        close(client, server, kept)
        run = run_true(collected)
    assert open_pids == {client.pid}
    ends = [r for r in collected.of(TcpRecord, [client.pid, server.pid, other.pid]) if r.event == "close"]
    assert [r.pid for r in ends] == [client.pid]
    assert run in {r.pid for r in collected.of(ExecRecord)}


def scans(batches: Iterable[Batch]) -> list[tuple[TcpRecord, ...]]:
    return [batch.tcp_scan.connections for batch in batches if batch.tcp_scan is not None]


def test_every_kind_and_their_combination(child_cgroup: ChildCgroup) -> None:
    inside_sh = Pushed(comms=frozenset(["sh"]), cgroups=(child_cgroup.path,))
    with Stepper(child_cgroup) as inside, Stepper() as outside, Collector(["exec"]) as collected:
        for pushed in (
            Pushed(comms=frozenset(["sh", "nobody"])),
            Pushed(comms=frozenset(["nobody"])),
            Pushed(cgroups=(child_cgroup.path,)),
            inside_sh,
            inside_sh._replace(pids=frozenset([outside.pid])),
        ):
            collected.source.narrow(pushed, EXEC)
            step_all(inside, outside)
    assert execs_of(collected, inside, outside) == [3, 1]


def test_a_narrowed_pid_does_not_grow_to_its_children() -> None:
    with Collector(["exec"], filter_spec=FilterSpec(frozenset([os.getpid()]), children=True)) as collected:
        before = run_true(collected)
        collected.source.narrow(pids(os.getpid()), EXEC)
        narrowed = run_true(collected)
        collected.source.narrow(None, frozenset())
        after = run_true(collected)
    assert {before, narrowed, after} & {r.pid for r in collected.of(ExecRecord)} == {before, after}


def test_cgroups_that_are_made_below_a_narrowed_one(child_cgroup: ChildCgroup) -> None:
    """They pass at once, and the filter for all has nothing to do with cgroups."""
    with Collector(["exec"]) as collected:
        collected.source.narrow(Pushed(cgroups=(child_cgroup.path,)), EXEC)
        assert "(children)" in {p.name for p in collected.health.probes}
        with ChildCgroup(parent=child_cgroup) as sub, ChildCgroup(parent=sub) as below:
            inside = [run_true(collected, cgroup) for cgroup in (child_cgroup, sub, below)]
        outside = run_true(collected)
        collected.source.narrow(None, frozenset())
        assert "(children)" not in {p.name for p in collected.health.probes}
    assert {r.pid for r in collected.of(ExecRecord)} & {*inside, outside} == {*inside}


def test_stays_over_unloading_and_a_new_filter(child_cgroup: ChildCgroup) -> None:
    with Stepper(child_cgroup) as one, Stepper() as two, Collector(["exec", "cpu"]) as collected:
        collected.source.narrow(pids(one.pid), EXEC)
        collected.source.unload("exec")
        collected.source.load("exec")
        step_all(one, two)
        collected.wait_until(lambda c: execs_of(c, one) == [1])
        for name in ("exec", "cpu"):  # the maps go with the last one
            collected.source.unload(name)
        collected.source.load("exec")
        step_all(one, two)
        collected.source.set_filter(FilterSpec(cgroups=(child_cgroup.path,)))
        step_all(one, two)
        collected.source.set_filter(FilterSpec(frozenset([two.pid])))
        step_all(one, two)
        collected.source.set_filter(FilterSpec())
        step_all(one, two)
        collected.source.narrow(None, EXEC)
        step_all(one, two)
    assert execs_of(collected, one, two) == [5, 1]


def test_a_cgroup_that_went_while_nothing_was_loaded_is_said_and_forgotten() -> None:
    with ChildCgroup() as gone, Stepper() as one, Collector(["exec"]) as collected:
        collected.source.narrow(Pushed(cgroups=(gone.path,)), EXEC)
        collected.source.unload("exec")
        gone.close()
        collected.source.load("exec")
        one.step()
        health = collected.health
        gone.directory.mkdir()
    assert execs_of(collected, one) == [1]
    assert (health.narrowed, health.narrowed_probes) == ("", ())
    assert any(gone.path in line for line in health.log)


@pytest.mark.parametrize(
    "impossible", [Pushed(cgroups=("/ebt/nowhere",)), Pushed(frozenset(range(1, 5000)))], ids=["cgroup", "room"]
)
def test_what_can_not_be_changes_nothing(impossible: Pushed) -> None:
    with Stepper() as one, Stepper() as two, Collector(["exec"]) as collected:
        collected.source.narrow(pids(one.pid), EXEC)
        with pytest.raises(EbtopError):
            collected.source.narrow(impossible, EXEC | CPU)
        step_all(one, two)
        health = collected.health
        collected.source.narrow(pids(two.pid), EXEC)  # there is room for it
        step_all(one, two)
    assert execs_of(collected, one, two) == [1, 1]
    assert (health.narrowed, health.narrowed_probes) == (f"pid {one.pid}", ("exec",))


def test_a_probe_that_does_not_exist_is_an_error() -> None:
    with Collector(["exec"]) as collected, pytest.raises(EbtopError):
        collected.source.narrow(pids(1), frozenset(["nonsense"]))


def test_a_name_of_other_bytes_than_it_is_written_with_is_not_pushed() -> None:
    with Stepper() as one, Collector(["exec"]) as collected:
        collected.source.narrow(Pushed(comms=frozenset(["a\\x01"])), EXEC)
        health = collected.health
        one.step()
    assert execs_of(collected, one) == [1]
    assert health.narrowed == ""


def test_nothing_wanted_is_lost_while_it_changes() -> None:
    """A storm goes on while the filter changes between values that all let it through."""
    storm = build.binary("exec_storm", execs.STORM_COMM)
    leaf = str(execs.Leaf.BARE.path)
    changes = [
        Pushed(comms=frozenset([execs.LEAF_COMM, "true"])),
        None,
        Pushed(comms=frozenset([execs.LEAF_COMM])),
        Pushed(comms=frozenset([execs.LEAF_COMM, "x"])),
    ]
    with Collector(["exec"]) as collected:
        done = threading.Event()
        with Workload([storm, "3000", "1", "0", leaf]) as workload:
            waiter = threading.Thread(target=lambda: (workload.read(), done.set()))
            waiter.start()
            rounds = 0
            while not done.is_set():
                for pushed in changes:
                    collected.source.narrow(pushed, EXEC)
                rounds += 1
            waiter.join()
    assert rounds > 5
    assert len([r for r in collected.of(ExecRecord) if r.comm == execs.LEAF_COMM]) == 3000
    assert collected.probe("exec").lost == {}


def test_names_of_processes_let_all_their_threads_be_sampled() -> None:
    """And the name of a thread lets that one be."""
    thread = f"{cpu.THREAD_COMM_PREFIX}1"
    with Collector(["cpu"], Settings(hertz=997)) as collected, cpu.Hot(60, threads=2) as hot:
        collected.source.narrow(Pushed(comms=frozenset([cpu.COMM])), CPU)
        collected.wait_until(lambda c: len({r.thread for r in c.of(StackRecord, [hot.pid])} - {""}) == 2)
        collected.source.narrow(Pushed(comms=frozenset([thread])), CPU)
        began = len(collected.batches)
        collected.wait_until(lambda c: sum(bool(stacks(b, hot.pid)) for b in c.batches[began:]) > 3)
        hot.truth(early=True)
        latest = next(found for batch in reversed(collected.batches) if (found := stacks(batch, hot.pid)))
    assert {r.thread for r in latest} == {thread}
    assert {r.comm for r in latest} == {cpu.COMM}


def stacks(batch: Batch, pid: int) -> list[StackRecord]:
    return [r for r in batch.records if isinstance(r, StackRecord) and r.pid == pid]


def test_exits_too(child_cgroup: ChildCgroup) -> None:
    with Collector(["exec"]) as collected:
        collected.source.narrow(Pushed(cgroups=(child_cgroup.path,)), EXEC)
        inside, outside = run_true(collected, child_cgroup), run_true(collected)
    assert {inside, outside} & {r.pid for r in collected.of(ExitRecord)} == {inside}
