"""Every key of the program, pressed in a real terminal on the running kernel."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from ebtop.demo.launch import Demo
from ebtop.ui.commands import COMMANDS, Command, scope_of
from tests.lab.process import TIMEOUT_S
from tests.lab.tracing import EBTOP
from tests.tmux.tmux import Tmux

pytestmark = pytest.mark.usefixtures("root")

ENDING = {"quit", "quit.at_once"}
"""Tested in test_demo.py."""
SUSPENDING = {"suspend"}
"""Tested in test_terminal.py."""
WAYS: dict[str, tuple[str, ...]] = {
    "app": ("1",),
    "cpu": ("1",),
    "icicle": ("1",),
    "table": ("2",),
    "lists": ("3",),
    "text": ("question_mark",),
}
"""The keys that lead from the overview to where the keys of a scope work."""
PANES = ("1  CPU", "2  EXEC", "3  TCP", "4  RETRANSMITS", "5  SLOW CONNECTS")
PROMPTS = ("search  ", "filter  ", "go to  ", "note  ", "snapshot  ")
"""How a line to type into begins."""
APART_S = 0.04
"""Between two keys of somebody who types fast."""
ACT_S = 0.15
"""For Escape to act and be drawn before the next is pressed: Escape and a key at once would be Alt and that key."""
SETTLED_S = 2.0


def test_the_keys_that_end_the_program_are_still_called_so() -> None:
    assert {command.id for command in COMMANDS} >= ENDING | SUSPENDING


def test_every_key(tmp_path: Path) -> None:
    """The program still runs, something is on screen, and Escape leads back to the overview."""
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    with Demo() as demo, Tmux([EBTOP, "live", "--cgroup", demo.cgroup], environment=home) as terminal:
        terminal.wait_for("LIVE", "probes 5/5", "img-service", "ESTAB")
        for command in COMMANDS:
            if command.id not in ENDING | SUSPENDING:
                for key in command.keys:
                    press(terminal, *WAYS[scope_of(command)], *[key] * times(command))
                    assert terminal.running, f"{key} ({command.id}) ended it: {terminal.said()}"
                    assert terminal.text().strip(), f"nothing is on screen after {key} ({command.id})"
                    go_home(terminal, command)
        press(terminal, "q")
        assert terminal.wait() == 0
        assert "0 left" in terminal.said()


def times(command: Command) -> int:
    """Keys that change the load on the node want to be pressed twice; they are shown so."""
    shown = command.shown.split()
    return 2 if len(shown) == 2 and shown[0] == shown[1] else 1


def press(terminal: Tmux, *keys: str) -> None:
    for key in keys:
        terminal.press(key)
        time.sleep(ACT_S if key == "escape" else APART_S)


def go_home(terminal: Tmux, command: Command) -> None:
    """Back to the overview, live, with all probes on."""
    deadline = time.monotonic() + TIMEOUT_S
    # A line to type into may be open below the panes; in the overview Escape does nothing.
    press(terminal, "escape")
    while (wanted := way_home(terminal.text())) is not None:
        assert time.monotonic() < deadline, f"{command.id}: {wanted} does not lead back; on screen:\n{terminal.text()}"
        assert terminal.running, f"{command.id}: {terminal.said()}"
        if wanted == "upper_u":
            # Unloading takes a while; the key means the opposite for those that have gone already.
            on = settled_probes(terminal)
            if on == 5:
                continue
            press(terminal, wanted)
            goal = 0 if on else 5
            terminal.wait_until(lambda screen, goal=goal: probes_on(screen) == goal, f"{goal} probes")
        else:
            press(terminal, wanted)


def settled_probes(terminal: Tmux) -> int:
    """How many are on, when that has not changed for some seconds."""
    while True:
        on = probes_on(terminal.text())
        time.sleep(SETTLED_S)
        if probes_on(terminal.text()) == on:
            return on


def way_home(screen: str) -> str | None:
    """The key that leads closer to the overview; None = this is it."""
    first = screen.split("\n")[0]
    typing = screen.rstrip().split("\n")[-1].strip().startswith(PROMPTS)
    if typing or "ebtop" not in first or "overview ›" in screen or not all(pane in screen for pane in PANES[1:]):
        return "escape"
    if "LIVE" not in first:
        return "space"
    if "1  CPU" not in screen:  # other stacks in their place
        return "o"
    return None if probes_on(screen) == 5 else "upper_u"


def probes_on(screen: str) -> int:
    """Of the five; -1 where the screen does not say."""
    found = re.search(r"probes (\d)/5", screen)
    return int(found[1]) if found else -1
