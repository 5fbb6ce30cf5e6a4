"""Functions whose names the kernel read: whole, or one end of them, and what is no text."""

from __future__ import annotations

import pytest

from ebtop.cpython import told
from ebtop.cpython.code_object import Text
from ebtop.cpython.told import Told, ToldFunctions

FILE = Text(b"/srv/app.py", 1, 11)
MANY = 50


def text(characters: str, codec: str = "latin-1", kind: int = 1) -> Text:
    return Text(characters.encode(codec), kind, len(characters))


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        (text("Class.method"), "Class.method"),
        (text("café"), "café"),
        (text("名前", "utf-16-le", 2), "名前"),
        (text("🐍", "utf-32-le", 4), "🐍"),
        (text("a\x1b[31mb"), "a\\x1b[31mb"),
        (Text(b"", 1, 0), "?"),
        (Text(b"n" * 240, 1, 240), "n" * 200 + "…"),
        (Text(b"n" * 150, 1, 4000), "n" * 150 + "…"),
    ],
)
def test_a_name(name: Text, printed: str) -> None:
    functions = ToldFunctions()
    functions.put(Told(16, 1, 3, name, FILE))
    for _ in range(2):
        assert functions.get(1, 16) == (printed, "/srv/app.py", 3)


def test_of_a_long_path_the_end_is_there() -> None:
    functions = ToldFunctions()
    functions.put(Told(16, 1, -1, text("f"), Text(b"deep/down/app.py", 1, 300)))
    assert functions.get(1, 16) == ("f", "…deep/down/app.py", 0)


@pytest.mark.parametrize("name", [Text(b"abc", 3, 1), Text(b"abc", 2, 2), Text(b"", 0, 5)])
def test_what_is_no_text(name: Text) -> None:
    functions = ToldFunctions()
    with pytest.raises(ValueError, match=r"str|decode"):
        functions.put(Told(16, 1, 1, name, FILE))
    assert functions.get(1, 16) is None


def test_of_those_that_say_the_same_there_is_one() -> None:
    functions = ToldFunctions()
    for pid in (1, 2):
        functions.put(Told(16 * pid, pid, 3, text("f"), FILE))
    assert functions.get(1, 16) is functions.get(2, 32)


def test_each_process_has_its_own_and_the_latest_counts() -> None:
    functions = ToldFunctions()
    functions.put(Told(16, 1, 1, text("old"), FILE))
    functions.put(Told(16, 1, 1, text("new"), FILE))
    found = functions.get(1, 16)
    assert found is not None
    assert found.name == "new"
    assert functions.get(2, 16) is None
    assert functions.get(1, 32) is None


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "_KEPT_MAX", MANY)
    monkeypatch.setattr(told, "_DIFFERENT_MAX", MANY)
    functions = ToldFunctions()
    for word in range(0, 160 * MANY, 16):
        functions.put(Told(word, 1, word, text("f"), FILE))
    assert functions.nbytes <= MANY * 1500
    assert functions.get(1, 16) is None
    assert functions.get(1, 160 * MANY - 16) is not None
