"""The keys named in the last line: those of the focused pane among those that work anywhere."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.ui.commands import in_scope
from ebtop.ui.keymap import Keymap


def hint_keys(scopes: Sequence[str], keymap: Keymap, *, drilled: bool) -> list[tuple[str, str]]:
    """(key, word), the most useful ones first; `drilled`: Esc leads back somewhere."""
    app = [command for command in in_scope("app") if command.hint and (drilled or command.id != "back")]
    own = [command for scope in scopes for command in in_scope(scope) if command.hint]
    first = [command for command in app if command.id in ("help", "quit", "back", "drill")]
    ordered = [*first, *own, *(command for command in app if command not in first)]
    words = {keymap.shown(command).split()[0]: command.hint for command in ordered if command not in own}
    words |= {keymap.shown(command).split()[0]: command.hint for command in own}  # a pane's own meaning of a key
    shown = dict.fromkeys(keymap.shown(command).split()[0] for command in ordered)
    return [(key, words[key]) for key in shown]
