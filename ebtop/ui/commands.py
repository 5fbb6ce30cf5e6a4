"""Every key of the program, in one place: bindings, help and documentation are made from it."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(frozen=True)
class Command:
    """Something a key does."""

    id: str
    keys: tuple[str, ...]
    """Textual's names of the keys."""
    shown: str
    """The keys as people read them."""
    title: str
    help: str
    action: str
    scope: str
    """app, table, icicle or text: where the keys work."""


COMMANDS = (
    Command("pane.cpu", ("1",), "1", "CPU", "Go to the CPU pane.", "go('cpu')", "app"),
    Command("pane.exec", ("2",), "2", "Exec", "Go to the exec pane.", "go('exec')", "app"),
    Command("pane.tcp", ("3",), "3", "TCP", "Go to the TCP connections pane.", "go('tcp')", "app"),
    Command("pane.retransmits", ("4",), "4", "Retransmits", "Go to the retransmits pane.", "go('retransmits')", "app"),
    Command("pane.connects", ("5",), "5", "Connects", "Go to the slow connects pane.", "go('connects')", "app"),
    Command("pane.next", ("tab",), "Tab", "Next pane", "Go to the next pane.", "step(1)", "app"),
    Command("pane.previous", ("shift+tab",), "Shift+Tab", "Previous pane", "Go to the pane before.", "step(-1)", "app"),
    Command("pane.maximise", ("m",), "m", "Maximise", "Only this pane, or all of them again.", "maximise", "app"),
    Command("view.pause", ("space",), "Space", "Pause", "Freeze what is shown; collection goes on.", "pause", "app"),
    Command(
        "probe.toggle",
        ("u",),
        "u",
        "Unload",
        "Unload this pane's probe and show the proof, or load it again.",
        "toggle_probe",
        "app",
    ),
    Command(
        "probe.toggle_all",
        ("U", "upper_u"),
        "U",
        "Unload all",
        "Unload every probe and show the proof, or load them again.",
        "toggle_all",
        "app",
    ),
    Command(
        "log.toggle", ("L", "upper_l"), "L", "Log", "What the loader, the verifier and libraries printed.", "log", "app"
    ),
    Command("help", ("question_mark", "f1"), "?", "Help", "This help.", "help", "app"),
    Command("quit", ("q",), "q", "Quit", "Unload everything and leave.", "quit", "app"),
    Command("quit.at_once", ("ctrl+c",), "Ctrl+C", "Quit", "The same, from anywhere.", "quit", "app"),
    Command(
        "suspend",
        ("ctrl+z",),
        "Ctrl+Z",
        "Suspend",
        "Back to the shell; events that find the buffers full are counted as lost.",
        "suspend_process",
        "app",
    ),
    Command("table.down", ("down", "j"), "↓ j", "Down", "One row down.", "move(1)", "table"),
    Command("table.up", ("up", "k"), "↑ k", "Up", "One row up.", "move(-1)", "table"),
    Command("table.page_down", ("pagedown", "ctrl+f"), "PgDn", "Page down", "One page down.", "page(1)", "table"),
    Command("table.page_up", ("pageup", "ctrl+b"), "PgUp", "Page up", "One page up.", "page(-1)", "table"),
    Command("table.top", ("g", "home"), "g Home", "Top", "To the top, and stay there.", "top", "table"),
    Command("table.bottom", ("G", "upper_g", "end"), "G End", "Bottom", "To the last row.", "bottom", "table"),
    Command("table.sort", ("s", "right", "l"), "s → l", "Sort", "Sort by the next column.", "sort(1)", "table"),
    Command("table.sort_back", ("left", "h"), "← h", "Sort back", "Sort by the column before.", "sort(-1)", "table"),
    Command("table.unsort", ("escape",), "Esc", "Unsort", "Back to the order rows come in.", "unsort", "table"),
    Command("table.reverse", ("S", "upper_s"), "S", "Reverse", "Turn the order round.", "reverse", "table"),
    Command("icicle.down", ("down", "j"), "↓ j", "Callee", "To the heaviest frame called from here.", "down", "icicle"),
    Command("icicle.up", ("up", "k"), "↑ k", "Caller", "To the caller.", "up", "icicle"),
    Command("icicle.left", ("left", "h"), "← h", "Left", "To the frame on the left.", "side(-1)", "icicle"),
    Command("icicle.right", ("right", "l"), "→ l", "Right", "To the frame on the right.", "side(1)", "icicle"),
    Command("icicle.page_down", ("pagedown", "ctrl+f"), "PgDn", "Deeper", "Eight frames deeper.", "page(1)", "icicle"),
    Command("icicle.page_up", ("pageup", "ctrl+b"), "PgUp", "Shallower", "Eight frames up.", "page(-1)", "icicle"),
    Command("icicle.top", ("g", "home"), "g Home", "Root", "To the frame on top.", "top", "icicle"),
    Command("icicle.bottom", ("G", "upper_g", "end"), "G End", "Leaf", "Down the heaviest path.", "bottom", "icicle"),
    Command("icicle.zoom_in", ("enter",), "Enter", "Zoom", "Make this frame the top row.", "zoom_in", "icicle"),
    Command("icicle.zoom_out", ("escape", "backspace"), "Esc", "Zoom out", "One zoom back.", "zoom_out", "icicle"),
    Command("text.down", ("down", "j"), "↓ j", "Down", "One line down.", "scroll(1)", "text"),
    Command("text.up", ("up", "k"), "↑ k", "Up", "One line up.", "scroll(-1)", "text"),
    Command("text.page_down", ("pagedown", "ctrl+f"), "PgDn", "Page down", "One page down.", "page(1)", "text"),
    Command("text.page_up", ("pageup", "ctrl+b"), "PgUp", "Page up", "One page up.", "page(-1)", "text"),
    Command("text.top", ("g", "home"), "g Home", "Top", "To the first line.", "top", "text"),
    Command(
        "text.bottom", ("G", "upper_g", "end"), "G End", "Bottom", "To the last line, and stay there.", "bottom", "text"
    ),
)


def in_scope(scope: str) -> list[Command]:
    """The commands of one scope, in order."""
    return [command for command in COMMANDS if command.scope == scope]


def bindings(scope: str) -> list[BindingType]:
    """Textual's bindings for one scope."""
    return [
        Binding(",".join(c.keys), c.action, c.title, tooltip=c.help, id=c.id, priority=c.id == "quit.at_once")
        for c in in_scope(scope)
    ]


_SCOPES = {"app": "anywhere", "table": "in a table", "icicle": "in the icicle", "text": "in the log and the help"}


def key_table() -> str:
    """All keys as the Markdown table of the README."""
    rows = ["| key | where | what it does |", "|---|---|---|"]
    for scope, where in _SCOPES.items():
        rows += [f"| `{command.shown}` | {where} | {command.help} |" for command in in_scope(scope)]
    return "\n".join(rows)
