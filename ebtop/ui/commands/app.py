"""Keys that work wherever the focus is. Capitals, or a second press, for what changes the load on the node."""

from __future__ import annotations

from ebtop.ui.commands.command import Command

COMMANDS = (
    Command(
        "help", ("question_mark", "f1"), "? F1", "Help", "Explain the focused pane, and every key.", "help", "help"
    ),
    Command(
        "quit", ("q",), "q", "Quit", "Close what is on top; from the overview unload all and leave.", "quit", "quit"
    ),
    Command("quit.at_once", ("ctrl+c",), "Ctrl+C", "Quit at once", "Unload all and leave, from anywhere.", "leave"),
    Command(
        "back",
        ("escape", "backspace"),
        "Esc",
        "Back",
        "Back one step: end a search, zoom out, leave a drill-down. Never quits.",
        "back",
        "back",
    ),
    Command(
        "drill", ("enter", "d"), "Enter d", "Details", "Go into the row or frame under the cursor.", "drill", "details"
    ),
    Command("pane.cpu", ("1",), "1", "CPU", "Go to the CPU pane.", "go('cpu')"),
    Command("pane.exec", ("2",), "2", "Exec", "Go to the exec pane.", "go('exec')"),
    Command("pane.tcp", ("3",), "3", "TCP", "Go to the TCP connections pane.", "go('tcp')"),
    Command("pane.retransmits", ("4",), "4", "Retransmits", "Go to the retransmits pane.", "go('retransmits')"),
    Command("pane.connects", ("5",), "5", "Connects", "Go to the slow connects pane.", "go('connects')"),
    Command("pane.next", ("tab",), "Tab", "Next pane", "Go to the next pane.", "step(1)", "next pane"),
    Command("pane.previous", ("shift+tab",), "Shift+Tab", "Previous pane", "Go to the pane before.", "step(-1)"),
    Command(
        "pane.maximise",
        ("M", "upper_m", "z"),
        "M z",
        "Maximise",
        "Only this pane, or all of them again.",
        "maximise",
        "big",
    ),
    Command("search", ("slash",), "/", "Search", "Search in this pane.", "search", "search"),
    Command("search.next", ("n",), "n", "Next match", "To the next match.", "search_next(1)"),
    Command("search.previous", ("N", "upper_n"), "N", "Previous match", "To the match before.", "search_next(-1)"),
    Command("filter", ("f",), "f", "Filter", "Show and collect only what matches; see Filters.", "filter", "filter"),
    Command(
        "filter.clear", ("F", "upper_f"), "F", "Clear filter", "Show and collect everything again.", "clear_filter"
    ),
    Command(
        "time.pause",
        ("space",),
        "Space",
        "Pause",
        "Freeze every pane, or go on; collection never stops. In a recording: play, or stop.",
        "pause",
        "pause",
    ),
    Command(
        "time.back",
        ("left_square_bracket",),
        "[",
        "Second back",
        "Every pane one second earlier.",
        "travel(-1)",
        "back in time",
    ),
    Command("time.forward", ("right_square_bracket",), "]", "Second on", "Every pane one second later.", "travel(1)"),
    Command(
        "time.minute_back", ("left_curly_bracket",), "{", "Minute back", "Every pane one minute earlier.", "travel(-60)"
    ),
    Command("time.minute_on", ("right_curly_bracket",), "}", "Minute on", "Every pane one minute later.", "travel(60)"),
    Command("time.go", ("at",), "@", "Go to time", "Every pane as it was at a time: 14:03, 14:03:20, -5m.", "ask_time"),
    Command(
        "time.note_before",
        ("left_parenthesis",),
        "(",
        "Note before",
        "To the moment of the note before.",
        "mark('note', -1)",
    ),
    Command(
        "time.note_after",
        ("right_parenthesis",),
        ")",
        "Note after",
        "To the moment of the next note.",
        "mark('note', 1)",
    ),
    Command(
        "time.spike_before",
        ("comma",),
        ",",
        "Spike before",
        "To where something suddenly happened far more often, before this moment.",
        "mark('spike', -1)",
    ),
    Command("time.spike_after", ("full_stop",), ".", "Spike after", "The same after this moment.", "mark('spike', 1)"),
    Command(
        "note", ("a",), "a", "Note", "Write down what you see; it is kept with its time. Also `:note TEXT`.", "note"
    ),
    Command(
        "freeze",
        ("x",),
        "x",
        "Snapshot",
        "Freeze the last ten minutes into a file and a bundle; all runs on.",
        "freeze",
        "snapshot",
    ),
    Command("baseline", ("b",), "b", "Baseline", "Mark this moment, to compare later ones with it.", "baseline"),
    Command(
        "baseline.saved",
        ("B", "upper_b"),
        "B",
        "Saved baseline",
        "Compare with a healthy time that `ebtop baseline save` keeps.",
        "saved_baseline",
    ),
    Command(
        "difference",
        ("D", "upper_d"),
        "D",
        "Difference",
        "What takes more or less of the time than at the baseline, who is new, who is gone.",
        "difference",
    ),
    Command("copy", ("y",), "y", "Copy", "Copy the row, stack or command to the clipboard and a file.", "copy", "copy"),
    Command(
        "probe.toggle",
        ("u",),
        "u u",
        "Unload",
        "Unload this pane's probe, with proof, or load it again; press twice.",
        "toggle_probe",
        "unload",
    ),
    Command(
        "probe.toggle_all",
        ("U", "upper_u"),
        "U",
        "Unload all",
        "Unload every probe and show the proof, or load them again.",
        "toggle_all",
    ),
    Command(
        "rate.lower",
        ("less_than_sign",),
        "<",
        "Sample less",
        "Fewer CPU samples a second; in a recording: slower.",
        "sample(-1)",
    ),
    Command(
        "rate.higher",
        ("greater_than_sign",),
        "> >",
        "Sample more",
        "More CPU samples a second; press twice. In a recording: faster, at once.",
        "sample(1)",
    ),
    Command("refresh.slower", ("minus",), "-", "Refresh less", "Redraw less often.", "refresh_rate(-1)"),
    Command("refresh.faster", ("plus",), "+", "Refresh more", "Redraw more often.", "refresh_rate(1)"),
    Command(
        "overhead", ("O", "upper_o"), "O", "Overhead", "What each BPF program and map costs.", "overhead", "overhead"
    ),
    Command("history", ("H", "upper_h"), "H", "History", "Charts of the last ten minutes.", "history", "history"),
    Command("log", ("L", "upper_l"), "L", "Log", "What the loader, the verifier and libraries printed.", "log"),
    Command(
        "doctor", ("exclamation_mark",), "!", "Doctor", "What this node can do, and how to mend the rest.", "doctor"
    ),
    Command("palette", ("colon", "ctrl+p"), ": ^P", "Commands", "Every command by name.", "palette", "commands"),
    Command("theme", ("ctrl+t",), "Ctrl+T", "Theme", "Choose the colours.", "choose_theme"),
    Command(
        "mouse",
        ("T", "upper_t"),
        "T",
        "Mouse",
        "Leave the mouse to the terminal, to select text, or take it back.",
        "mouse",
    ),
    Command("redraw", ("ctrl+l",), "Ctrl+L", "Redraw", "Draw the whole screen anew.", "redraw"),
    Command(
        "suspend",
        ("ctrl+z",),
        "Ctrl+Z",
        "Suspend",
        "Back to the shell; events that find the buffers full are counted as lost.",
        "suspend_process",
    ),
)
