"""Keys of the scope `cpu`: what the CPU pane shows, as an icicle or as a table."""

from __future__ import annotations

from ebtop.ui.commands.command import Command

COMMANDS = (
    Command(
        "cpu.kind",
        ("o",),
        "o",
        "On, off, faults",
        "Stacks on the CPU, off the CPU, or of page faults; the last two are loaded with u u.",
        "kind",
        "off-CPU",
    ),
    Command("cpu.window", ("m",), "m", "Window", "The last 10 s, 60 s, or all that is kept.", "window", "window"),
    Command(
        "cpu.callers",
        ("i",),
        "i",
        "Callers",
        "Turn the stacks round: functions by their own time on top, below each who called it.",
        "callers",
        "callers",
    ),
    Command(
        "cpu.split",
        ("p",),
        "p",
        "Split",
        "All processes of one name together, each apart, or each thread; off the CPU also by who woke them.",
        "split",
    ),
    Command(
        "cpu.functions",
        ("t",),
        "t",
        "Functions",
        "A table of the top functions, wherever they were called from, and back.",
        "functions",
        "functions",
    ),
    Command(
        "cpu.completeness",
        ("percent_sign",),
        "%",
        "Whole?",
        "How whole the stacks are, by process and binary, why they are cut, and what would mend it.",
        "completeness",
    ),
    Command(
        "cpu.glue",
        ("e",),
        "e",
        "Interpreter frames",
        "CPython's own frames between Python functions, which are hidden at first, and back.",
        "glue",
    ),
    Command(
        "cpu.search_name",
        ("number_sign",),
        "#",
        "Same function",
        "Mark every frame of the name under the cursor.",
        "search_name",
    ),
    Command(
        "cpu.show_function",
        ("enter",),
        "Enter",
        "Find",
        "In the table of functions: find this one in the icicle.",
        "show_function",
    ),
)
