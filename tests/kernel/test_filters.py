"""Filters inside the kernel: what passes is what was asked for, from the first event on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

from ebtop.errors import EbtopError
from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.store.records import ConnectRecord, ExecRecord, ExitRecord, StackRecord, TcpRecord
from tests.lab import build, cgroup, cpu, execs
from tests.lab.actor import Actor, connect
from tests.lab.cgroup import ChildCgroup
from tests.lab.collect import Collector
from tests.lab.process import Workload

pytestmark = pytest.mark.usefixtures("root")

LEAF = str(execs.Leaf.BARE.path)
TRUE = "/bin/true"


class Shell:
    """A shell that runs what it is told, each program in a child; with `nested`, it is a child itself."""

    def __init__(self, nested: bool = False, enter: Callable[[], None] | None = None) -> None:
        arguments = ["/bin/sh", "-c", "/bin/sh; :"] if nested else ["/bin/sh"]
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, preexec_fn=enter
        )
        self.pid = self._process.pid
        self.do(":")

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def do(self, command: str) -> None:
        """Run a command to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}; echo\n")
        assert self._process.stdout.readline() == "\n"

    def become(self, program: str) -> None:
        """Run a program in its own place and end with it."""
        self._process.communicate(f"exec {program}\n")


def collecting(spec: FilterSpec) -> Collector:
    return Collector(["exec"], filter_spec=spec)


def tags(collected: Collector) -> set[str]:
    """The first argument of every program that ran and was seen, not those of other tests on this machine."""
    found = {r.args[1] for r in collected.of(ExecRecord) if r.ret == 0 and r.args[0] in (TRUE, LEAF)}
    return {tag.removeprefix(_stem()) for tag in found if tag.startswith(_stem())}


def true(tag: str) -> str:
    return f"{TRUE} {_stem()}{tag}"


def leaf(tag: str) -> str:
    """The leaf exits with the number it reads in its first argument, whatever that is."""
    return f"{LEAF} {_stem()}{tag}"


def _stem() -> str:
    return f"ebt-{os.getpid()}-"


def test_one_process_and_nobody_else() -> None:
    with Shell() as wanted, Shell() as other, collecting(FilterSpec(frozenset([wanted.pid]))) as collected:
        other.do(true("other"))
        wanted.do(true("child"))
        wanted.become(true("itself"))
    assert tags(collected) == {"itself"}
    assert {r.pid for r in collected.of(ExecRecord)} == {r.pid for r in collected.of(ExitRecord)} == {wanted.pid}


def test_children_and_theirs() -> None:
    """The nested shell is a child from before; the others are forked later."""
    with Shell(nested=True) as wanted, Shell() as other:
        spec = FilterSpec(frozenset([wanted.pid]), children=True)
        with collecting(spec) as collected:
            other.do(true("other"))
            wanted.do(true("grandchild"))
            wanted.do(f"/bin/sh -c '{true('deep')}; /bin/sh -c \"{true('deeper')}; :\"; :'")
    assert tags(collected) == {"grandchild", "deep", "deeper"}
    assert {r.pid for r in collected.of(ExecRecord)} <= {r.pid for r in collected.of(ExitRecord)}


def test_nothing_slips_through_while_probes_attach() -> None:
    storm = build.binary("exec_storm", execs.STORM_COMM)
    with Workload([storm, "1000000", "2", "0", LEAF]):
        for _ in range(3):
            with Collector(["exec", "cpu"], filter_spec=FilterSpec(frozenset([os.getpid()]))) as collected:
                pass
            assert collected.of(ExecRecord) == collected.of(ExitRecord) == []
            assert {r.pid for r in collected.of(StackRecord)} <= {os.getpid()}


def test_changes_at_run_time_without_a_reload(child_cgroup: ChildCgroup) -> None:
    with Shell() as one, Shell(enter=child_cgroup.enter) as two, Collector(["exec"]) as collected:

        def ids() -> dict[str, int]:
            return {p.name: p.id for p in collected.probe("exec").programs}

        def both(tag: str) -> None:
            one.do(true(f"one-{tag}"))
            two.do(leaf(f"two-{tag}"))

        loaded = ids()
        both("all")
        for tag, spec in {
            "pid": FilterSpec(frozenset([one.pid]), children=True),
            "comm": FilterSpec(comms=frozenset([execs.LEAF_COMM])),
            "cgroup": FilterSpec(cgroups=(child_cgroup.path,)),
            "all-again": FilterSpec(),
        }.items():
            collected.source.set_filter(spec)
            both(tag)
            assert ids() == loaded
    assert tags(collected) == {
        "one-all",
        "two-all",
        "one-pid",
        "two-comm",
        "two-cgroup",
        "one-all-again",
        "two-all-again",
    }


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        ({"true"}, {"true"}),
        ({execs.LEAF_COMM}, {"leaf"}),
        ({"true", execs.LEAF_COMM}, {"true", "leaf"}),
        ({"tru"}, set()),
    ],
)
def test_names(names: set[str], seen: set[str]) -> None:
    with Shell() as shell, collecting(FilterSpec(comms=frozenset(names))) as collected:
        shell.do(true("true"))
        shell.do(leaf("leaf"))
    assert tags(collected) == seen
    assert {r.comm for r in (*collected.of(ExecRecord), *collected.of(ExitRecord))} <= names


def test_name_longer_than_the_kernel_keeps(tmp_path: Path) -> None:
    program = tmp_path / "ebt-name-of-more-than-15-bytes"
    program.symlink_to(LEAF)
    with collecting(FilterSpec(comms=frozenset([program.name]))) as collected:
        subprocess.run([program], check=False)
    assert str(program) in {r.filename for r in collected.of(ExecRecord)}


def test_kinds_are_combined_with_and(child_cgroup: ChildCgroup) -> None:
    with Shell(enter=child_cgroup.enter) as inside, Shell() as outside:
        spec = FilterSpec(
            frozenset([inside.pid, outside.pid]), True, frozenset([execs.LEAF_COMM]), (child_cgroup.path,)
        )
        with Shell(enter=child_cgroup.enter) as stranger, collecting(spec) as collected:
            inside.do(true("inside, other name"))
            inside.do(leaf("inside"))
            outside.do(leaf("outside"))
            stranger.do(leaf("stranger"))
    assert tags(collected) == {"inside"}


def test_cgroups_that_are_made_later(child_cgroup: ChildCgroup) -> None:
    """Made and used before user space had the time to look."""
    with collecting(FilterSpec(cgroups=(child_cgroup.path,))) as collected:
        looked = len(collected.batches)
        collected.wait_until(lambda c: len(c.batches) > looked)
        with (
            ChildCgroup(parent=child_cgroup) as sub,
            ChildCgroup(parent=sub) as below,
            Shell(enter=child_cgroup.enter) as shell,
            Shell(enter=sub.enter) as sub_shell,
            Shell(enter=below.enter) as below_shell,
            Shell() as outside,
        ):
            for user, tag in ((shell, "itself"), (sub_shell, "sub"), (below_shell, "below"), (outside, "outside")):
                user.do(true(tag))
    assert tags(collected) == {"itself", "sub", "below"}


def test_cgroups_elsewhere_do_not_count(child_cgroup: ChildCgroup) -> None:
    with collecting(FilterSpec(cgroups=(child_cgroup.path,))) as collected:
        with ChildCgroup(parent=child_cgroup) as inside, Shell(enter=inside.enter) as shell:
            shell.do(true("inside"))
        for version in cgroup.hierarchies():
            with ChildCgroup(version) as elsewhere, Shell(enter=elsewhere.enter) as shell:
                shell.do(true(f"elsewhere-v{version}"))
    assert tags(collected) == {"inside"}


def test_a_cgroup_that_goes_away_does_not_end_the_collecting() -> None:
    with ChildCgroup() as gone, Shell() as shell:
        with collecting(FilterSpec(cgroups=(gone.path,))) as collected:
            gone.close()
            polls = len(collected.batches)
            collected.wait_until(lambda c: len(c.batches) > polls + 1)
            collected.source.set_filter(FilterSpec())
            shell.do(true("later"))
        gone.directory.mkdir()
    assert tags(collected) == {"later"}


def test_a_filter_that_can_not_be_changes_nothing() -> None:
    with Shell() as wanted, Shell() as other, collecting(FilterSpec(frozenset([wanted.pid]))) as collected:
        for impossible in (FilterSpec(cgroups=("/ebt/nowhere",)), FilterSpec(frozenset(range(1, 5000)))):
            with pytest.raises(EbtopError):
                collected.source.set_filter(impossible)
        other.do(true("other"))
        wanted.become(true("wanted"))
    assert tags(collected) == {"wanted"}


def test_samples_of_one_process() -> None:
    with cpu.Hot(60) as wanted, cpu.Hot(60):
        spec = FilterSpec(frozenset([wanted.pid]))
        with Collector(["cpu"], Settings(hertz=997), spec) as collected:
            collected.wait_until(lambda c: sum(r.samples for r in c.of(StackRecord)) > 100)
    assert {r.pid for r in collected.of(StackRecord)} == {wanted.pid}


def test_samples_of_one_cgroup(child_cgroup: ChildCgroup) -> None:
    with cpu.Hot(60, enter=child_cgroup.enter) as wanted, cpu.Hot(60):
        spec = FilterSpec(cgroups=(child_cgroup.path,))
        with Collector(["cpu"], Settings(hertz=997), spec) as collected:
            collected.wait_until(lambda c: sum(r.samples for r in c.of(StackRecord)) > 100)
    assert {(r.pid, r.cgroup) for r in collected.of(StackRecord)} == {(wanted.pid, child_cgroup.path)}


def test_connections_of_one_process(client: Actor, server: Actor) -> None:
    spec, settings = FilterSpec(frozenset([client.pid])), Settings(min_latency_ms=0)
    with Actor("ebt-other") as other, Collector(["tcp", "connects"], settings, spec) as collected:
        ours, theirs = connect(client, server, "127.0.0.1"), connect(other, server, "127.0.0.1")
        for actor, pair in ((client, ours), (other, theirs)):
            actor.close(pair.client)
            server.close(pair.server)
    assert [(r.pid, r.dport) for r in collected.of(ConnectRecord)] == [(client.pid, ours.listener.port)]
    assert [(r.event, r.pid) for r in collected.of(TcpRecord)] == [("connect", client.pid), ("close", client.pid)]
