"""How a filter can go on."""

from __future__ import annotations

import random

import pytest

from ebtop.store.filter import complete, parse
from ebtop.store.filter.lexer import MAX_LENGTH
from tests.unit import random_filters

KNOWN = {
    "comm": ("nginx", "a b", "engine", "cron*"),
    "user": ("root", "www-data"),
    "addr": ("10.0.0.1", "fe80::1"),
    "port": ("443", "8080"),
    "container": ("web", "db"),
}


def labels(text: str, cursor: int | None = None) -> list[str]:
    return [found.label for found in complete(text, len(text) if cursor is None else cursor, KNOWN)]


def taken(text: str, label: str, cursor: int | None = None) -> tuple[str, int]:
    (found,) = [c for c in complete(text, len(text) if cursor is None else cursor, KNOWN) if c.label == label]
    return found.text, found.cursor


def test_an_empty_line_offers_every_field_with_its_help() -> None:
    found = complete("", 0, KNOWN)
    assert [c.label for c in found[:2]] == ["pid:", "comm:"]
    assert all(c.help for c in found)
    assert "lat>" in labels("")
    assert "and" not in labels("")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pi", "pid:"),
        ("LA", "lat>"),
        ("late", "latency>"),
        ("pid:1 po", "port:"),
        ("(sta", "state:"),
        ("not res", "result:"),
        ("pid:1 a", "and"),
        ("pid:1 ", "or"),
        ("eng", "comm:engine"),
        ("web", "container:web"),
        ("state:", "established"),
        ("state:syn", "syn_sent"),
        ("state:SYN", "syn_sent"),
        ("state!=cl", "close"),
        ("state:close,es", "established"),
        ("dir:", "in"),
        ("kind:", "offcpu"),
        ("type:", "connect"),
        ("comm:", "nginx"),
        ("comm = ng", "nginx"),
        ("parent:", "nginx"),
        ("daddr:", "fe80::1"),
        ("dport:4", "443"),
        ("user:www", "www-data"),
        ("lat > ", "100ms"),
        ("bytes>", "1M"),
        ("runtime:", "podman"),
    ],
)
def test_offers(text: str, expected: str) -> None:
    assert expected in labels(text)


def test_what_begins_with_what_was_typed_comes_first() -> None:
    assert labels("comm:n") == ["nginx", "engine", "cron*"]


def test_what_is_taken_replaces_what_was_typed() -> None:
    assert taken("pid:1 po", "port:") == ("pid:1 port:", 11)
    assert taken("comm:a", "a b") == ('comm:"a b"', 10)
    assert taken('comm:"a', "a b") == ('comm:"a b"', 10)
    assert taken("state:close,es", "established") == ("state:close,established", 23)
    assert taken("lat > ", "100ms") == ("lat > 100ms", 11)
    assert taken("po pid:1", "port:", 2) == ("port: pid:1", 5)
    assert taken("pid:1 o", "or") == ("pid:1 or ", 9)
    assert taken("comm:cr", "cron*") == ('comm:"cron\\*"', 13)


def test_nothing_is_offered_where_nothing_is_known() -> None:
    assert labels('"pi') == []
    assert labels("arg:") == []
    assert labels("zzzz") == []
    assert labels("x" * (MAX_LENGTH + 1)) == []


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_typed_completing_makes_no_mistake(seed: int) -> None:
    """At every place of an expression; and what is taken whole can be read."""
    rng = random.Random(seed)
    text = random_filters.typed(rng, random_filters.node(rng))
    for cursor in range(len(text) + 1):
        for found in complete(text, cursor, KNOWN):
            assert 0 <= found.cursor <= len(found.text)
            assert found.text.endswith(text[cursor:])
    for found in complete("comm:", 5, KNOWN):
        parse(found.text)
