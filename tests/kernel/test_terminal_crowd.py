"""Ten thousand processes on the running kernel: seen all, shown in time, and gone when they are gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab.cgroup import ChildCgroup
from tests.lab.execs import LEAF_COMM, Crowd
from tests.lab.tracing import EBTOP
from tests.tmux.tmux import Tmux

pytestmark = pytest.mark.usefixtures("root")

COUNT = 10_000


def test_ten_thousand_processes(child_cgroup: ChildCgroup, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    with Tmux([EBTOP, "live", "--cgroup", child_cgroup.path], 200, 50, home) as terminal:
        terminal.wait_for("LIVE", "probes 5/5")
        terminal.press("2", "z", "t")
        with Crowd(COUNT, child_cgroup.enter) as crowd:
            terminal.wait_until(lambda screen: figures(screen) == [COUNT, COUNT, 0, 0], "all of them, running")
            terminal.press("enter")
            terminal.wait_for("overview ›", "run")
            terminal.press("escape")
            terminal.wait_until(lambda screen: "overview ›" not in screen and len(figures(screen)) == 4, "the totals")
            crowd.end()
        screen = terminal.wait_until(lambda screen: figures(screen)[1:2] == [0], "none of them running")
        started, _, killed, unseen = figures(screen)
        assert (started, killed + unseen) == (COUNT, COUNT), screen
        # The machine may be too busy to read all ends in time. Then it is said, and of no more than were lost.
        assert unseen <= lost(screen), screen
        terminal.press("q")
        assert terminal.wait() == 0


def figures(screen: str) -> list[int]:
    """How many members were started, run, were killed, and ended unseen, as the table of totals says it."""
    columns = rf"^ {LEAF_COMM} +(\S+) +\S+ +(\S+) +\S+ +\S+ +(\S+) +\S+ +\S+ +(\S+) "
    found = re.search(columns, screen, re.MULTILINE)
    return [number(text) for text in found.groups()] if found else []


def lost(screen: str) -> int:
    """Records that the pane says were lost."""
    found = re.search(r"([\d,]+) lost", screen)
    assert found, screen
    return number(found[1])


def number(text: str) -> int:
    return 0 if text == "·" else int(text.replace(",", ""))
