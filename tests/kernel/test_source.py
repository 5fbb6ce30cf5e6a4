"""What the live source says beside its records: containers, processes, the node, the doctor's answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebtop.session import LiveSource
from ebtop.store.containers import Container
from tests.lab.cgroup import ChildCgroup
from tests.lab.collect import Collector
from tests.lab.tracing import Trace, ebtop

pytestmark = pytest.mark.usefixtures("root")


class Guest:
    """A shell in a cgroup as LXC makes it, below one of the test's own."""

    def __init__(self, above: ChildCgroup) -> None:
        self.name = f"guest-{os.getpid()}"
        self.directory = above.directory / f"lxc.payload.{self.name}"
        self.cgroup = f"{above.path}/{self.directory.name}"
        self.directory.mkdir()
        self._shell = subprocess.Popen(
            ["/bin/sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=self._enter
        )
        self.pid = self._shell.pid

    def run(self, command: str) -> None:
        """A program in a child, to its end."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{command}; echo\n")
        self._shell.stdin.flush()
        assert self._shell.stdout.readline() == "\n"

    def close(self) -> None:
        self._shell.communicate()
        while True:
            try:
                self.directory.rmdir()
            except OSError:
                time.sleep(0.005)  # the kernel lets go a moment after the end
            else:
                return

    def _enter(self) -> None:
        Path(self.directory, "cgroup.procs").write_text("0")


@pytest.fixture
def guest() -> Iterator[Guest]:
    with ChildCgroup() as above:
        inside = Guest(above)
        try:
            yield inside
        finally:
            inside.close()


def test_lines_name_the_container(guest: Guest) -> None:
    with Trace("exec") as trace:
        guest.run("/bin/true inside")
        subprocess.run(["/bin/true", "outside"], check=True)
        ended = trace.end(signal.SIGINT)
    containers = {
        line["args"][1]: line["container"]
        for line in ended.objects
        if line["type"] == "exec" and line["args"][:1] == ["/bin/true"]
    }
    assert containers["inside"] == guest.name
    assert containers["outside"] != guest.name


def test_a_container_by_name_is_a_filter(guest: Guest) -> None:
    with Trace("exec", "--container", guest.name) as trace:
        subprocess.run(["/bin/true", "outside"], check=True)
        guest.run("/bin/true inside")
        ended = trace.end(signal.SIGINT)
    assert {tuple(line["args"]) for line in ended.objects if line["type"] == "exec"} == {("/bin/true", "inside")}


def test_a_name_that_is_none(guest: Guest) -> None:
    ended = ebtop("trace", "exec", "--container", guest.name[:-1])
    assert ended.code == 1
    assert ended.said[-1].startswith(f"ebtop: no container or pod is called {guest.name[:-1]}: there is ")
    assert guest.name in ended.said[-1]


def test_who_a_process_is(guest: Guest) -> None:
    source = LiveSource(["exec"])
    facts = source.process(guest.pid)
    assert facts is not None
    assert (facts.args, facts.parents[0][0], facts.cgroup) == (("/bin/sh",), os.getpid(), guest.cgroup)
    assert source.containers(facts.cgroup) == Container("lxc", guest.name, guest.name, None, None)
    assert source.process(2**22 - 1) is None
    source.close()


def test_the_nodes_load_comes_with_the_health() -> None:
    with Collector(["exec"]) as collected:
        collected.wait_until(lambda c: c.health.node is not None and c.health.node.cpu_percent is not None)
        node = collected.health.node
    assert node is not None
    assert node.cpu_percent is not None
    assert 0 <= node.cpu_percent <= 100
    assert 0 < node.memory_used < node.memory_total


def test_the_doctors_answer() -> None:
    """In a process of its own: the doctor looks at file descriptors of the terminal and such."""
    code = "from ebtop.session import LiveSource; print([c.name for c in LiveSource(['exec']).diagnose()])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'kernel'" in said
    assert "'btf'" in said.lower()
