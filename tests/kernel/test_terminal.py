"""The real program in a real terminal: sizes, hang-ups, job control, and what processes are called."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebtop.demo.launch import Demo
from tests.lab import bpf_objects, hostile
from tests.lab.cgroup import ChildCgroup
from tests.lab.process import TIMEOUT_S
from tests.lab.tracing import EBTOP
from tests.tmux.tmux import Tmux, wait_gone

pytestmark = pytest.mark.usefixtures("root")

LOOKS = {"1": "ipty", "2": "tys", "3": "ty", "4": "ty", "5": "ty"}
"""The keys of each pane that show names in another way."""
PANES = ("CPU", "EXEC", "TCP", "RETRANSMITS", "SLOW CONNECTS")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """One workload for all: what is filtered on is its own."""
    with Demo() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """No settings of the user's, and files in a folder of the test's."""
    return {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}


def live(demo: Demo, home: dict[str, str], columns: int = 120, lines: int = 40) -> Tmux:
    return Tmux([EBTOP, "live", "--cgroup", demo.cgroup], columns, lines, home)


def sizes(count: int) -> Iterator[tuple[int, int]]:
    """Made-up ones from tiny to huge, the same in every run."""
    value = 1
    for _ in range(count):
        value = value * 1103515245 + 12345 & 0x7FFFFFFF
        yield 20 + value % 230, 5 + value // 256 % 70


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40), (200, 50)])
def test_the_screen_is_right_after_a_storm_of_sizes(demo: Demo, home: dict[str, str], columns: int, lines: int) -> None:
    with live(demo, home, columns, lines) as terminal:
        terminal.wait_for("LIVE", "img-service")
        for size in sizes(60):
            terminal.resize(*size)
        terminal.resize(columns, lines)
        # Standing still, what is on screen must be what a complete redraw draws.
        terminal.press("space")
        terminal.wait_until(
            lambda text: "PAUSED" in text and all(pane in text for pane in PANES) and "probes 5/5" in text,
            "a whole paused screen",
        )
        screen = standing_still(terminal)
        assert len(screen) == lines
        assert max(map(len, screen)) <= columns
        terminal.press("ctrl+l")
        terminal.wait_until(lambda text: body(text.split("\n")) == body(screen), f"\n{screen}")
        terminal.press("q")
        assert terminal.wait() == 0


def standing_still(terminal: Tmux) -> list[str]:
    """The screen once nothing of its body changes any more: a frame may be on its way yet."""
    before, screen = [""], terminal.screen()
    deadline = time.monotonic() + TIMEOUT_S
    while body(screen) != body(before):
        assert time.monotonic() < deadline, "it does not stand still"
        time.sleep(1.0)
        before, screen = screen, terminal.screen()
    return screen


def body(screen: list[str]) -> list[str]:
    """Without what goes on counting on a paused screen: first and last lines, and what probes cost."""
    return [" ".join(re.sub(r"bpf \S+ %|bpf \?", "bpf", line).split()) for line in screen[1:-2]]


@pytest.mark.parametrize("hang_ups", ["taken", "ignored"])
def test_a_lost_terminal_ends_the_program_and_its_probes(demo: Demo, home: dict[str, str], hang_ups: str) -> None:
    before = "trap '' HUP; " if hang_ups == "ignored" else ""
    script = f'{before}exec "$@"'
    command = ["sh", "-c", script, "sh", EBTOP, "live", "--cgroup", demo.cgroup]
    with Tmux(command, environment=home) as terminal:
        terminal.wait_for("LIVE", "img-service", "probes 5/5")
        loaded = bpf_objects.held_by(terminal.pid)
        assert loaded.programs
        terminal.close()
        wait_gone(terminal.pid)
    bpf_objects.assert_gone(loaded)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_ctrl_z_and_fg(demo: Demo, home: dict[str, str]) -> None:
    with Tmux(["sh", "-i"], environment={**home, "PS1": "prompt> ", "ENV": ""}) as terminal:
        terminal.wait_for("prompt>")
        terminal.type(f"{EBTOP} live --cgroup {demo.cgroup}; echo ended with $?\n")
        terminal.wait_for("LIVE", "img-service", "probes 5/5")
        (pid,) = (int(p) for p in Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split())
        for _ in range(3):
            terminal.press("ctrl+z")
            terminal.wait_until(lambda text: "LIVE" not in text and "Stopped" in text, "the shell")
            assert state(pid) == "T"
            terminal.type("fg\n")
            terminal.wait_for("LIVE", "img-service", "probes 5/5")
        terminal.press("q")
        terminal.wait_until(lambda text: "0 left" in text and "LIVE" not in text, "the shell")


@pytest.fixture
def hostile_cgroup(child_cgroup: ChildCgroup) -> Iterator[ChildCgroup]:
    """One with a cgroup for each of the hostile processes below it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lab.hostile", str(child_cgroup.directory)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield child_cgroup
    process.stdin.close()
    process.wait(TIMEOUT_S)
    process.stdout.close()
    for directory in map(os.fsencode, child_cgroup.directory.iterdir()):
        if os.path.isdir(directory):
            remove(directory)


def remove(directory: bytes) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return os.rmdir(directory)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_names_of_processes_do_no_harm(hostile_cgroup: ChildCgroup, home: dict[str, str], tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    command = [EBTOP, "live", "--cgroup", hostile_cgroup.path, "--min-latency", "0", "--rate", "199"]
    with Tmux(command, 200, 60, home) as terminal:
        terminal.record(raw)
        title = terminal.title
        seen = terminal.wait_for("LIVE", "probes 5/5", "ESTAB", "refused", "fast")
        for pane, keys in LOOKS.items():
            terminal.press(pane, "z")
            seen += glance(terminal)
            for key in keys:
                terminal.press(key)
                seen += glance(terminal)
            terminal.press("j", "d")
            seen += look(terminal)
            back(terminal)
        for page in ("O", "H", "L", "question_mark", "colon"):
            terminal.press(page)
            seen += glance(terminal)
            back(terminal)
        terminal.press("f")
        terminal.type("comm:a[/foo]b")
        look(terminal)
        terminal.press("enter")
        terminal.wait_for("a[/foo]b")
        assert terminal.title == title
        terminal.press("ctrl+c")
        assert terminal.wait() == 0
    written = raw.read_bytes()
    assert len(written) > 10_000
    assert [sequence for sequence in hostile.RAW if sequence in written] == []
    assert [name for name in hostile.SHOWN if name not in seen] == []


def glance(terminal: Tmux) -> str:
    """The screen that a key has led to; the program must still run."""
    time.sleep(0.3)
    assert terminal.running, terminal.said()
    return terminal.text()


def look(terminal: Tmux) -> str:
    """The screen after the next second's drawing; the program must still run."""
    clock = re.compile(r"\d\d:\d\d:\d\d")
    before = clock.findall(terminal.screen()[0])
    deadline = time.monotonic() + 3.0
    while clock.findall(terminal.screen()[0]) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert terminal.running, terminal.said()
    return terminal.text()


def back(terminal: Tmux) -> None:
    for _ in range(3):
        terminal.press("escape")
        time.sleep(0.1)


def policies(pid: int) -> dict[int, int]:
    """The scheduling policy of each thread, without the flag that its children do not inherit it."""
    return {
        int(thread): os.sched_getscheduler(int(thread)) & ~os.SCHED_RESET_ON_FORK
        for thread in os.listdir(f"/proc/{pid}/task")
    }


@pytest.mark.parametrize("wanted", [True, False])
def test_the_screens_thread_and_no_other_comes_first(demo: Demo, home: dict[str, str], wanted: bool) -> None:
    settings = Path(home["XDG_CONFIG_HOME"]) / "ebtop"
    settings.mkdir()
    if not wanted:
        (settings / "config.toml").write_text("priority = false\n")
    with live(demo, home) as terminal:
        terminal.wait_for("LIVE", "img-service")
        found = policies(terminal.pid)
        terminal.press("q")
        assert terminal.wait() == 0
    assert found.pop(terminal.pid) == (os.SCHED_RR if wanted else os.SCHED_OTHER)
    assert len(found) > 3
    assert set(found.values()) == {os.SCHED_OTHER}


def test_a_screen_that_never_rests_does_not_come_first_for_long() -> None:
    program = """
import os, time
from ebtop.ui.priority import come_first
come_first(print)
assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
while os.sched_getscheduler(0) != os.SCHED_OTHER:
    assert time.thread_time() < 20
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "has no precedence on the node's CPUs any more" in done.stdout
