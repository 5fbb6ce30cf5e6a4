"""Masks secrets in what is written to files: command lines hold passwords and tokens.

What is masked: values of flags, variables and fields whose name says it (--password X, --token=X, PGPASSWORD=X,
"secret": "X"), of well-known programs' own flags (mysql -pX, curl -u user:X), credentials in URLs, headers that
authorise, and keys by their shape (AWS, GitHub, JWT, private keys, ...). ebtop/store/redact_rules.py lists them all.
No list is whole: a secret that is named like nothing here, as a bare argument, stays.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ebtop.errors import EbtopError
from ebtop.store import redact_rules as rules
from ebtop.store.records import EventRecord, ExecRecord, Record

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MASK = "***"
_REMEMBERED = 8_000
"""Commands, and words, whose masked form is kept: two MB of each at most."""
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\\.|[^\s"'])+|["']""")
_SPACE = re.compile(r"\s")
_QUOTES = re.compile(r"""["']""")
_SEPARATORS = re.compile(r"[-_.\s]+|(?<=[a-z0-9])(?=[A-Z])")
_FLAG = re.compile(r"--?[A-Za-z][\w.-]*")
_NAME = r"[A-Za-z_][\w.-]*"
_FIELD = re.compile(
    rf"""(?P<name>{_NAME})(?P<between>["']?\s*=\s*|["']\s*:\s*|:\s+)(?P<value>"[^"]*"|'[^']*'|[^\s;,&"'|<>(){{}}]+)"""
)
"""NAME=value, "name": "value", name: value."""

Kept = TypeVar("Kept", str, tuple[str, ...])


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
        self._always = bool(extra.patterns)
        self._tools = {program: _Flags(flags) for program, flags in rules.TOOLS.items()}
        for program, more in extra.flags:
            self._tools[program] = _Flags({**self._tools.get(program, {}), **dict.fromkeys(more, rules.VALUE)})
        self._known: dict[tuple[str, ...] | str, tuple[Any, int]] = {}
        self._shaped: dict[str, tuple[str, int]] = {}
        self._names: dict[str, bool] = {}

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
        """An argv."""
        return self._remembered(self._known, args, self._args)

    def text(self, text: str) -> str:
        """A command line as one text, a log line, a note."""
        return self._remembered(self._known, text, self._text)

    def by_shape(self, text: str) -> str:
        """What is secret wherever it stands: fields, headers, URLs, keys."""
        return self._remembered(self._shaped, text, self._by_shape)

    def _remembered(self, known: dict[Any, tuple[Any, int]], key: Kept, mask: Callable[[Kept], Kept]) -> Kept:
        """The same few commands, and words, come again and again."""
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

    def _may_hold(self, words: Iterable[str]) -> bool:
        if self._always:
            return True
        low = " ".join(words).lower()
        for hint in self._hints:
            if hint in low:
                return True
        return any(word.rpartition("/")[2].strip("\"'();") in self._tools for word in low.split())

    def _args(self, args: tuple[str, ...]) -> tuple[str, ...]:
        if not self._may_hold(args):
            return args
        words = _Words(self)
        return tuple([words.mask(arg) for arg in args])

    def _text(self, text: str) -> str:
        return self._line(text) if self._may_hold(text.split()) else text

    def _line(self, text: str) -> str:
        """What has words in it: a whole command line, perhaps the one given to a shell."""
        words = _Words(self)
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

    def tool(self, word: str) -> _Flags | None:
        """The flags of a program that is known by name."""
        return self._tools.get(word.rpartition("/")[2])


class _Flags(dict[str, str]):
    """How each of a program's flags carries a secret; that of "" is its argument."""

    @cached_property
    def glued(self) -> tuple[tuple[str, str], ...]:
        """Those that a value may follow without a space, and how that carries it."""
        return tuple(
            (flag, rules.VALUE if how == rules.ATTACHED else how)
            for flag, how in self.items()
            if flag and (how == rules.ATTACHED or (len(flag) == 2 and flag[0] == "-" and flag[1] != "-"))
        )


_NO_FLAGS = _Flags()


class _Words:
    """Goes through the words of one command and knows what the next one is."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._program = ""
        self._tool = _NO_FLAGS
        self._due = ""
        """How the next word carries a secret; "" = it does not."""

    def mask_quoted(self, word: str) -> str:
        """A word of a command line, with its quotes; they may change where something is masked."""
        if not _QUOTES.search(word):
            return self.mask(word)
        try:
            bare = "".join(shlex.split(word))
        except ValueError:
            bare = _QUOTES.sub("", word)
        masked = self.mask(bare)
        return word if masked == bare else f"'{masked}'"

    def mask(self, word: str) -> str:
        due, self._due = self._due, ""
        if due and not (due == rules.VALUE and word.startswith("-") and len(word) > 1):
            return self._value(due, word)
        if word.startswith(("-", "/p:")) or word in self._tool:
            flag = self._flag(word)
            if flag is not None:
                return flag
        elif (tool := self._redactor.tool(word)) is not None:
            self._program, self._tool = word.rpartition("/")[2], tool
            return word
        elif (command := self._redactor.tool(f"{self._program} {word}")) is not None:
            self._tool = command
            return word
        elif "" in self._tool:
            return self._value(self._tool[""], word)
        if _SPACE.search(word):
            return self._redactor._line(word)
        return self._redactor.by_shape(word)

    def _flag(self, word: str) -> str | None:
        """A flag with its value masked, or None where it has none; then the next word may be it."""
        name, equals, value = word.partition("=")
        how = self._tool.get(name, "")
        if not how and _FLAG.fullmatch(name) and self._redactor.is_secret(name):
            how = rules.VALUE
        if how and equals:
            return f"{name}={self._value(how, value)}"
        if how:
            self._due = "" if how == rules.ATTACHED else how
            return word
        for flag, how in self._tool.glued:
            if word.startswith(flag) and len(word) > len(flag):
                return flag + self._value(how, word[len(flag) :])
        return None

    def _value(self, how: str, word: str) -> str:
        redactor = self._redactor
        if how == rules.VALUE:
            return redactor.hide(word)
        if how == rules.HEADER:
            return redactor.by_shape(word)
        mark = {rules.CREDENTIALS: ":", rules.PERCENT: "%", rules.SLASH: "/"}.get(how)
        if how == rules.PASS_COLON:
            return f"pass:{redactor.hide(word[5:])}" if word.startswith("pass:") else word
        if mark is None or mark not in word:
            return redactor.by_shape(word)
        name, _, secret = word.partition(mark)
        # sqlplus user/SECRET@database
        secret, at, place = secret.partition("@") if how == rules.SLASH else (secret, "", "")
        return f"{name}{mark}{redactor.hide(secret)}{at}{place}"


def _texts(value: Any, name: str, path: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise EbtopError(f"{name} in {path} is not a list of texts", "", f'write {name} = ["..."]')
    return tuple(value)
