"""Which keys a user chose: keys.toml in the configuration folder, for example

    "pane.maximise" = "m"
    "time.pause" = ["space", "p"]

The names at the left are those of the commands (ebtop/ui/commands); keys not in the file stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from textual.keys import Keys, _character_to_key

from ebtop.text import clean
from ebtop.ui.commands import COMMANDS, Command, scope_of, where
from ebtop.ui.config import read_toml
from ebtop.ui.folders import config_folder

_ALIASES = {
    "esc": "escape",
    "return": "enter",
    "pgup": "pageup",
    "page_up": "pageup",
    "pgdn": "pagedown",
    "page_down": "pagedown",
    "del": "delete",
    "ins": "insert",
    "spacebar": "space",
}
_MODIFIERS = {"ctrl": "ctrl", "control": "ctrl", "alt": "alt", "meta": "alt", "option": "alt", "shift": "shift"}
_SAME_BYTE = {"ctrl+i": "tab", "ctrl+m": "enter", "ctrl+left_square_bracket": "escape"}
"""Keys that a terminal can't tell apart."""
_SHOWN = {
    "up": "↑", "down": "↓", "left": "←", "right": "→", "pageup": "PgUp", "pagedown": "PgDn", "escape": "Esc",
    "delete": "Del", "insert": "Ins",
}  # fmt: skip
_TOGETHER: tuple[set[str], ...] = ({"cpu", "icicle"}, {"cpu", "table"}, {"lists", "table"})
"""Scopes whose keys work in the same pane."""
_NAMED = frozenset(key.value for key in Keys if "+" not in key.value and "<" not in key.value)
_PRINTED = {_character_to_key(chr(code)): chr(code) for code in range(0x21, 0x7F)}


class Keymap:
    """The keys that differ from the registry's, and how keys are written for people."""

    def __init__(self, chosen: Mapping[str, tuple[str, ...]] = MappingProxyType({})) -> None:
        """`chosen`: id of a command -> Textual's names of its keys."""
        self._chosen = chosen

    def textual(self) -> dict[str, str]:
        """For App.set_keymap."""
        return {command: ",".join(_with_names(keys)) for command, keys in self._chosen.items()}

    def keys(self, command: Command) -> tuple[str, ...]:
        """Textual's names of a command's keys."""
        return self._chosen.get(command.id, command.keys)

    def shown(self, command: Command) -> str:
        """A command's keys as people read them: "?", "Ctrl+P", "PgDn"; several are parted by a blank."""
        return " ".join(map(pretty, self._chosen[command.id])) if command.id in self._chosen else command.shown


def load(folder: Path | None = None) -> tuple[Keymap, tuple[str, ...]]:
    """The keys of keys.toml in `folder`, by default the user's, and what is wrong with it, one line each."""
    path = (folder or config_folder()) / "keys.toml"
    raw, problems = read_toml(path)
    keymap, complaints = choose(raw)
    return keymap, (*problems, *(f"{path}: {complaint}; ignored" for complaint in complaints))


def choose(raw: Mapping[str, object]) -> tuple[Keymap, tuple[str, ...]]:
    """Keys by command as they come from TOML; what can't be is left out and said, one line each."""
    commands = {command.id: command for command in COMMANDS}
    complaints: list[str] = []
    chosen: dict[str, tuple[str, ...]] = {}
    for name, value in _flat(raw):
        if name not in commands:
            complaints.append(f"there is no command {clean(name)!r}")
            continue
        keys, complaint = _keys_of(value)
        if complaint:
            complaints.append(f"{name}: {complaint}")
        else:
            chosen[name] = keys
    while conflict := _conflict(chosen, commands):
        name, key, other = conflict
        complaints.append(f"{name}: {pretty(key)} is {other.title} ({other.id}) {where(scope_of(other))} already")
        del chosen[name]
    return Keymap(MappingProxyType(chosen)), tuple(complaints)


def key_name(text: str) -> str | None:
    """Textual's name of a key written by a person: "?", "Ctrl+P", "^P", "PgDn", "f1"; None = there is no such key."""
    text = text.strip() or text
    if len(text) == 2 and text[0] == "^":
        text = f"ctrl+{text[1]}"
    *before, base = ("+",) if text == "+" else (*text[:-2].split("+"), "+") if text.endswith("++") else text.split("+")
    modifiers = {_MODIFIERS.get(part.strip().lower(), "") for part in before}
    base = _base_name(base.strip() or base, bool(modifiers))
    if not base or "" in modifiers:
        return None
    if modifiers == {"shift"} and len(base) == 1:
        return base.upper() if base.isalpha() else None
    name = "+".join([*sorted(modifiers, key=("alt", "ctrl", "shift").index), base])
    return _SAME_BYTE.get(name, name)


def pretty(key: str) -> str:
    """Textual's name of a key as people read it."""
    *modifiers, base = key.split("+")
    shown = _SHOWN.get(base) or _PRINTED.get(base) or (base if len(base) == 1 else base.capitalize())
    if modifiers and len(shown) == 1:
        shown = shown.upper()
    return "+".join([*(modifier.capitalize() for modifier in modifiers), shown])


def _base_name(text: str, modified: bool) -> str:
    """Of a key without modifiers; "" = there is no such key."""
    if len(text) == 1:
        return _character_to_key(text.lower() if modified else text) if text.isprintable() else ""
    name = text.lower()
    name = _ALIASES.get(name, name)
    if name.startswith("upper_") and len(name) == 7:
        return name[-1].upper()
    return name if name in _NAMED or name in _PRINTED else ""


def _with_names(keys: Iterable[str]) -> list[str]:
    """Capitals also by the other name that Textual has for them."""
    return [name for key in keys for name in ([key, f"upper_{key.lower()}"] if _is_capital(key) else [key])]


def _is_capital(key: str) -> bool:
    return len(key) == 1 and key.isalpha() and key.isupper()


def _flat(raw: Mapping[str, object], before: str = "") -> Iterable[tuple[str, object]]:
    """pane.maximise without quotes is a table in TOML; it means the same here."""
    for key, value in raw.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _keys_of(value: object) -> tuple[tuple[str, ...], str]:
    texts: Sequence[object] = value if isinstance(value, list) else [value]
    if not texts:
        return (), "needs at least one key"
    keys = []
    for text in texts:
        if not isinstance(text, str):
            return (), f"a key is a text in quotes, not {text!r}"
        key = key_name(text)
        if key is None:
            return (), f"there is no key {clean(text)!r}"
        keys.append(key)
    return tuple(dict.fromkeys(keys)), ""


def _conflict(chosen: dict[str, tuple[str, ...]], commands: Mapping[str, Command]) -> tuple[str, str, Command] | None:
    """The last choice that takes a key from another command in reach: its id, the key, the other command."""
    for name in reversed(chosen):
        command = commands[name]
        for key in chosen[name]:
            # Some keys mean one thing in a pane and another elsewhere on purpose.
            if key in command.keys:
                continue
            for other in COMMANDS:
                if other is command or key not in chosen.get(other.id, other.keys):
                    continue
                if _meet(scope_of(command), scope_of(other)):
                    return name, key, other
    return None


def _meet(one: str, other: str) -> bool:
    """Whether the keys of two scopes work at the same place."""
    together = ({"cpu", "icicle"}, {"cpu", "table"}, {"lists", "table"})
    return one == other or "app" in (one, other) or {one, other} in together
