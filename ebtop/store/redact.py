"""Masks secrets in what is written to files: command lines hold passwords and tokens.

What is masked: values of flags, variables and fields whose name says it (--password X, --token=X, PGPASSWORD=X,
"secret": "X"), of well-known programs' own flags (mysql -pX, curl -u user:X), credentials in URLs, headers that
authorise, and keys by their shape (AWS, GitHub, JWT, private keys, ...). ebtop/store/redact_rules.py lists them all.
No list is whole: a secret that is named like nothing here, as a bare argument, stays.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ebtop.errors import EbtopError
from ebtop.store import redact_rules as rules
from ebtop.store.records import EventRecord, ExecRecord, Record
from ebtop.store.redact_words import SPACE, Flags, Place, Step, Words

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MASK = "***"
_REMEMBERED = 8_000
"""Texts, and words, whose masked form is kept: two MB of each at most."""
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\\.|[^\s"'])+|["']""")
_SEPARATORS = re.compile(r"[-_.\s]+|(?<=[a-z0-9])(?=[A-Z])")
_NAME = r"[A-Za-z_][\w.-]*"
_FIELD = re.compile(
    rf"""(?P<name>{_NAME})(?P<between>["']?\s*=\s*|["']\s*:\s*|:\s+)(?P<value>"[^"]*"|'[^']*'|[^\s;,&"'|<>(){{}}]+)"""
)
"""NAME=value, "name": "value", name: value."""


class Rules(NamedTuple):
    """What a user adds to the list: ~/.config/ebtop/redact.toml."""

    words: tuple[str, ...] = ()
    """Names of flags, variables and fields whose value is secret, as they end."""
    patterns: tuple[re.Pattern[str], ...] = ()
    """What is secret by its shape."""
    flags: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(program, its flags whose value is secret)."""


def load_rules(path: Path) -> Rules:
    """`words`, `patterns` (regular expressions) and a table `flags` of program to flags; nothing for a missing file.

    Raises EbtopError for a file that is not like that.
    """
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except FileNotFoundError:
        return Rules()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EbtopError(f"can't read {path}", str(error), "mend it, or move it away") from None
    unknown = sorted(set(data).difference(("words", "patterns", "flags")))
    if unknown:
        raise EbtopError(f"{path} has an unknown key {unknown[0]!r}", "", "it may have words, patterns and flags")
    flags = data.get("flags", {})
    if not isinstance(flags, dict):
        raise EbtopError(f"flags in {path} is not a table", "", 'write [flags] and below it mytool = ["-k"]')
    patterns = []
    for text in _texts(data.get("patterns", []), "patterns", path):
        try:
            patterns.append(re.compile(text))
        except re.error as error:
            raise EbtopError(f"{text!r} in {path} is no regular expression", str(error), "mend it") from None
    return Rules(
        _texts(data.get("words", []), "words", path),
        tuple(patterns),
        tuple((program, _texts(given, f"flags.{program}", path)) for program, given in flags.items()),
    )


class Redactor:
    """Masks, and counts what it masked. What is masked already is left alone and not counted again."""

    def __init__(self, extra: Rules = Rules()) -> None:  # noqa: B008  (immutable)
        self.masked = 0
        """Secrets masked so far, each time they came up."""
        self._words = tuple(sorted({*rules.WORDS, *map(str.lower, extra.words)}))
        self._patterns = (rules.SHAPES, *extra.patterns)
        self._hints = (*rules.HINTS, *map(str.lower, extra.words))
        # A hint that is more than a word can't be looked for in words.
        self._always = bool(extra.patterns) or any(map(SPACE.search, self._hints))
        self._tools = {program: Flags(flags) for program, flags in rules.TOOLS.items()}
        for program, more in extra.flags:
            self._tools[program] = Flags({**self._tools.get(program, {}), **dict.fromkeys(more, rules.VALUE)})
        self._known: dict[str, tuple[str | None, int]] = {}
        self._shaped: dict[str, tuple[str | None, int]] = {}
        self._names: dict[str, bool] = {}
        self._hinted: dict[str, bool] = {}
        """Whether a word may hold something, or be a program that is known."""
        self._places: dict[tuple[str, str, str], Place] = {}
        self._steps = 0
        """Kept in all places."""

    def record(self, record: Record) -> Record:
        """A record without secrets; the same one where it has none."""
        if type(record) is ExecRecord:
            args, filename = self.args(record.args), self.text(record.filename)
            if args is record.args and filename is record.filename:
                return record
            return record._replace(args=args, filename=filename)
        if type(record) is EventRecord:
            fields = tuple([(n, self._field(n, v) if isinstance(v, str) else v) for n, v in record.fields])
            return record if fields == record.fields else record._replace(fields=fields)
        return record

    def args(self, args: tuple[str, ...]) -> tuple[str, ...]:
        """An argv; the very same where nothing is masked."""
        if not self._may_hold(args):
            return args
        words = Words(self)
        masked = tuple(map(words.mask, args))
        return args if masked == args else masked

    def text(self, text: str) -> str:
        """A command line as one text, a log line, a note."""
        return self._remembered(self._known, text, self._text)

    def by_shape(self, text: str) -> str:
        """What is secret wherever it stands: fields, headers, URLs, keys."""
        return self._remembered(self._shaped, text, self._by_shape)

    def _remembered(self, known: dict[str, tuple[str | None, int]], key: str, mask: Callable[[str], str]) -> str:
        """The same few texts, and words, come again and again."""
        found = known.get(key)
        if found is None:
            before = self.masked
            masked = mask(key)
            if len(known) >= _REMEMBERED:
                known.clear()
            found = known[key] = (None if masked == key else masked), self.masked - before
            self.masked = before
        instead, count = found
        self.masked += count
        # The very same where nothing is masked: whoever asks can tell by that.
        return key if instead is None else instead

    def _may_hold(self, words: Sequence[str]) -> bool:
        if self._always:
            return True
        found = list(map(self._hinted.get, words))
        if None in found:
            unknown = [word for word, hinted in zip(words, found, strict=True) if hinted is None]
            if len(self._hinted) + len(unknown) > _REMEMBERED:
                self._hinted.clear()
            # Mostly there is nothing in any of them.
            if not self._is_hinted(unknown):
                self._hinted.update(dict.fromkeys(unknown, False))
            else:
                self._hinted.update([(word, self._is_hinted((word,))) for word in unknown])
                return True
        return True in found

    def _is_hinted(self, words: Iterable[str]) -> bool:
        low = " ".join(words).lower()
        for hint in self._hints:
            if hint in low:
                return True
        return any(word.rpartition("/")[2].strip("\"'();") in self._tools for word in low.split())

    def _text(self, text: str) -> str:
        return self.line(text) if self._may_hold(text.split()) else text

    def line(self, text: str) -> str:
        """What has words in it: a whole command line, perhaps the one given to a shell."""
        words = Words(self)
        return _WORD.sub(lambda match: words.mask_quoted(match[0]), self.by_shape(text))

    def _field(self, name: str, value: str) -> str:
        return self.hide(value) if self.is_secret(name) else self.text(value)

    def hide(self, value: str) -> str:
        """A value that is secret as a whole."""
        if not value or value == MASK:
            return value
        self.masked += 1
        return MASK

    def _by_shape(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(lambda match: self.hide(match[0]), text)
        text = rules.HEADERS.sub(lambda m: f"{m[1]}{m[2]}{m[3] or ''}{self.hide(m[4])}", text)
        text = rules.BEARER.sub(lambda m: m[1] + self.hide(m[2]), text)
        text = rules.URL.sub(lambda m: m[1] + self.hide(m[2]) + m[3], text)
        text = rules.QUERY.sub(lambda m: m[1] + self.hide(m[2]), text)
        return _FIELD.sub(self._mask_field, text)

    def _mask_field(self, match: re.Match[str]) -> str:
        value = match["value"]
        if not self.is_secret(match["name"]):
            # What is assigned may itself be an assignment: -o PasswordAuthentication=no, --set=db.password=x.
            return match["name"] + match["between"] + _FIELD.sub(self._mask_field, value)
        quote = value[0] if value[0] in "\"'" else ""
        inner = value[1:-1] if quote else value
        return f"{match['name']}{match['between']}{quote}{self.hide(inner)}{quote}"

    def is_secret(self, name: str) -> bool:
        """Whether a flag, variable or field of that name holds a secret."""
        found = self._names.get(name)
        if found is None:
            if len(self._names) >= _REMEMBERED:
                self._names.clear()
            found = self._names[name] = self._ends_secret(name.lstrip("-"))
        return found

    def _ends_secret(self, name: str) -> bool:
        low = name.lower()
        if low in rules.INNOCENT:
            return False
        parts = [part.lower() for part in _SEPARATORS.split(name) if part]
        if not parts or parts[0] == "no":
            return False
        last, pair = parts[-1], "".join(parts[-2:])
        return last in self._words or pair in self._words or last.endswith(rules.INSIDE)

    def tool(self, name: str) -> Flags | None:
        """The flags of a program, or of a program's command, that is known by that name."""
        return self._tools.get(name)

    def place(self, program: str, tool: str, due: str) -> Place:
        """The only one of its kind."""
        found = self._places.get((program, tool, due))
        if found is None:
            found = self._places[program, tool, due] = Place(program, tool, due)
        return found

    def keep(self, place: Place, word: str, step: Step) -> None:
        """Remember it, at the cost of all others where there are too many."""
        if self._steps >= _REMEMBERED:
            for each in self._places.values():
                each.steps.clear()
            self._steps = 0
        place.steps[word] = step
        self._steps += 1


def _texts(value: Any, name: str, path: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise EbtopError(f"{name} in {path} is not a list of texts", "", f'write {name} = ["..."]')
    return tuple(value)
