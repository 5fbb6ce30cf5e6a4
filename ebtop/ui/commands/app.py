"""Keys of the scope `app`."""

from __future__ import annotations

from ebtop.ui.commands.command import Command

COMMANDS = (
    Command("pane.cpu", ("1",), "1", "CPU", "Go to the CPU pane.", "go('cpu')"),
    Command("pane.exec", ("2",), "2", "Exec", "Go to the exec pane.", "go('exec')"),
    Command("pane.tcp", ("3",), "3", "TCP", "Go to the TCP connections pane.", "go('tcp')"),
    Command("pane.retransmits", ("4",), "4", "Retransmits", "Go to the retransmits pane.", "go('retransmits')"),
    Command("pane.connects", ("5",), "5", "Connects", "Go to the slow connects pane.", "go('connects')"),
    Command("pane.next", ("tab",), "Tab", "Next pane", "Go to the next pane.", "step(1)"),
    Command("pane.previous", ("shift+tab",), "Shift+Tab", "Previous pane", "Go to the pane before.", "step(-1)"),
    Command("pane.maximise", ("m",), "m", "Maximise", "Only this pane, or all of them again.", "maximise"),
    Command("view.pause", ("space",), "Space", "Pause", "Freeze what is shown; collection goes on.", "pause"),
    Command(
        "probe.toggle",
        ("u",),
        "u",
        "Unload",
        "Unload this pane's probe and show the proof, or load it again.",
        "toggle_probe",
    ),
    Command(
        "probe.toggle_all",
        ("U", "upper_u"),
        "U",
        "Unload all",
        "Unload every probe and show the proof, or load them again.",
        "toggle_all",
    ),
    Command("log.toggle", ("L", "upper_l"), "L", "Log", "What the loader, the verifier and libraries printed.", "log"),
    Command("help", ("question_mark", "f1"), "?", "Help", "This help.", "help"),
    Command("quit", ("q",), "q", "Quit", "Unload everything and leave.", "quit"),
    Command("quit.at_once", ("ctrl+c",), "Ctrl+C", "Quit", "The same, from anywhere.", "quit"),
    Command(
        "suspend",
        ("ctrl+z",),
        "Ctrl+Z",
        "Suspend",
        "Back to the shell; events that find the buffers full are counted as lost.",
        "suspend_process",
    ),
)
