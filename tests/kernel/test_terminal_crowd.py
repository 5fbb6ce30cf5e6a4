"""Ten thousand processes on the running kernel: seen all, shown in time, and gone when they are gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab import build
from tests.lab.cgroup import ChildCgroup
from tests.lab.execs import LEAF_COMM, Leaf
from tests.lab.process import Workload
from tests.lab.tracing import EBTOP
from tests.tmux.tmux import Tmux

pytestmark = pytest.mark.usefixtures("root")

COUNT = 10_000


def test_ten_thousand_processes(child_cgroup: ChildCgroup, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    crowd, leaf = build.binary("crowd", "ebt-crowd"), Leaf.BARE.path
    with Tmux([EBTOP, "live", "--cgroup", child_cgroup.path], 200, 50, home) as terminal:
        terminal.wait_for("LIVE", "probes 5/5")
        terminal.press("2", "z", "t")
        with Workload([crowd, str(COUNT), leaf], child_cgroup.enter) as members:
            assert members.read() is True
            terminal.wait_until(lambda screen: figures(screen) == ["10,000", "10,000", "·"], "all of them, running")
            terminal.press("enter")
            terminal.wait_for("overview ›", "run")
            terminal.press("escape")
            terminal.wait_until(lambda screen: "overview ›" not in screen and len(figures(screen)) == 3, "the totals")
            end(members)
        terminal.wait_until(lambda screen: figures(screen) == ["10,000", "·", "10,000"], "all of them, ended")
        assert "0 lost" in terminal.text()
        terminal.press("q")
        assert terminal.wait() == 0


def end(members: Workload) -> None:
    """By the process that started them, which knows their pids."""
    assert members._process.stdin is not None
    members._process.stdin.close()
    assert members._process.wait(60) == 0


def figures(screen: str) -> list[str]:
    """How many members were started, run, and were killed, as the table of totals says it."""
    found = re.search(rf"^ {LEAF_COMM} +(\S+) +\S+ +(\S+) +\S+ +\S+ +(\S+) ", screen, re.MULTILINE)
    return list(found.groups()) if found else []
