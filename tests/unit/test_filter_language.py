"""What can be written in a filter, how it is read, and what is said of what can't be."""

from __future__ import annotations

import random

import pytest

from ebtop.errors import UsageError
from ebtop.store.filter import Filter, FilterError, parse
from ebtop.store.filter.expression import as_text
from ebtop.store.filter.lexer import MAX_LENGTH
from ebtop.store.filter.parser import MAX_DEPTH
from tests.unit import random_filters


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("pid:12", "pid:12"),
        ("PID = 12", "pid:12"),
        ("pid==12", "pid:12"),
        ("pid: 12", "pid:12"),
        ("pid:1,2,3", "pid:1,2,3"),
        ("pid!=12", "pid!=12"),
        ("not pid:12", "pid!=12"),
        ("not pid!=12", "pid:12"),
        ("!!pid:12", "pid:12"),
        ("lat > 100ms", "lat>100ms"),
        ("latency>100ms", "lat>100ms"),
        ("not lat>1s", "not lat>1s"),
        ("comm~^ng(inx|)$", 'comm~"^ng(inx|)$"'),
        ("(comm~^(a|b) or pid:1)", 'comm~"^(a|b)" or pid:1'),
        ("comm!~x", "comm!~x"),
        ("comm:(sd-pam)", 'comm:"(sd-pam)"'),
        ("comm:'a b'", 'comm:"a b"'),
        ('comm:"a b",c', 'comm:"a b",c'),
        ('comm:"ngin*"', "comm:ngin*"),
        ('comm:"a b*"', 'comm:"a b*"'),
        ('comm:"a\\*"', 'comm:"a\\*"'),
        ('comm:"nginx"', "comm:nginx"),
        ('cmd:"say \\"hi\\" \\x41"', 'cmd:"say \\"hi\\" \\\\x41"'),
        ("pid:1 comm:x or port:80", "(pid:1 comm:x) or port:80"),
        ("pid:1 and (comm:x or port:80)", "pid:1 (comm:x or port:80)"),
        ("pid:1&&comm:x||port:80", "(pid:1 comm:x) or port:80"),
        ("pid:1 (comm:x (port:80 lat>1s))", "pid:1 comm:x port:80 lat>1s"),
        ("not (pid:1 or pid:2)", "not (pid:1 or pid:2)"),
        ("nginx", "nginx"),
        ("nginx worker", "nginx worker"),
        ('"nginx worker"', '"nginx worker"'),
        ('"or"', '"or"'),
        ("10.0.0.1:443", '"10.0.0.1:443"'),
        ("fe80::1", '"fe80::1"'),
        ("std::sort", '"std::sort"'),
        ("--config=/etc/x", '"--config=/etc/x"'),
        ("main(int)", '"main(int)"'),
        ("pid", "pid"),
        ("addr:::1", "addr:::1"),
        ("port:8000..8999", "port:8000..8999"),
        ("a\tb\n c", "a b c"),
        ("  ", ""),
    ],
)
def test_ways_to_write_it(typed: str, canonical: str) -> None:
    found = parse(typed)
    assert found.canonical == canonical
    assert parse(canonical).expression == found.expression
    assert bool(found) == bool(canonical)


def test_the_text_is_what_was_typed() -> None:
    assert parse(" user = root\tor comm:x ").text == "user = root or comm:x"


@pytest.mark.parametrize(
    ("text", "at", "what", "fix"),
    [
        ("pid:x", (4, 5), "x is not a process id", "1234"),
        ("pid:1,x", (6, 7), "x is not a process id", "1234"),
        ("pid:0", (4, 5), "0 is not a process id", "1234"),
        ("pid:1,", (6, 6), "a value is missing after the comma", "pid:1234"),
        ("pid:1, 2", (6, 6), "a value is missing after the comma", "pid:1234"),
        ("comm:a pid:", (11, 11), "pid needs a value", "pid:1234"),
        ("(pid:)", (5, 5), "pid needs a value", "pid:1234"),
        ("port:99999", (5, 10), "99999 is not a port", "443"),
        ("lat>fast", (4, 8), "fast is not a length of time", "100ms"),
        ("lat>100mb", (4, 9), "100mb is not a length of time", "100ms"),
        ("lat:100ms", (4, 9), "nothing takes 100ms exactly", "100ms.."),
        ("lat>1s,2s", (7, 9), "> takes one value", "or"),
        ("bytes>1x", (6, 8), "1x is not a number of bytes", "1M"),
        ("addr:nginx", (5, 10), "nginx is not an address", "10.0.0.5"),
        ("addr:10.0.0.1:443", (5, 17), "10.0.0.1:443 is not an address", "port:"),
        ("addr:10.0.0.0/99", (5, 16), "10.0.0.0/99 is not a network", "10.0.0.0/8"),
        ("user:no-such-user-here", (5, 22), "there is no user no-such-user-here", "uid"),
        ("state:foo", (6, 9), "state is never foo", "established"),
        ("dir:up,in", (4, 6), "dir is never up", "in, out"),
        ("kind:zz*", (5, 8), "kind is never zz*", "rto"),
        ("cmm:x", (0, 3), "there is no field cmm", "did you mean comm?"),
        ("qqqq:x", (0, 4), "there is no field qqqq", "quotes"),
        ("http://x", (0, 4), "there is no field http", "quotes"),
        ("comm>x", (0, 6), "comm can't be asked for with >", "comm:nginx"),
        ("pid~1", (0, 5), "pid can't be asked for with ~", "pid:1234"),
        ("comm~[", (5, 6), "[ is not a usable regular expression", "mend"),
        ("comm~(a+)+$", (5, 11), "can take forever", "mend"),
        ("comm~(a|a)*b", (5, 12), "can take forever", "mend"),
        ("comm~((a){2,})*", (5, 15), "can take forever", "mend"),
        (f"comm~{'a' * 201}", (5, 206), "longer than 200", "mend"),
        ("=3", (0, 1), "there is no field before =", "pid:1234"),
        ("pid:1 > 3", (6, 7), "there is no field before >", "pid:1234"),
        ('comm:"a', (5, 7), "these quotes are not closed", '"'),
        ('comm:""', (5, 7), "nothing between these quotes", "look for"),
        ('comm:"a"b', (8, 9), "b directly follows", "blank"),
        ('"a","b"', (3, 4), "free text is no list", "or"),
        ("(pid:1", (0, 1), "this ( is not closed", ")"),
        ("pid:1)", (5, 6), "this ) closes nothing", "("),
        ("comm:a(b", (6, 8), "this ( is not closed", "quotes"),
        ("()", (1, 2), "a condition is missing after (", "pid:1234"),
        ("pid:1 or", (8, 8), "a condition is missing after or", "pid:1234"),
        ("pid:1 and or pid:2", (10, 12), "a condition is missing after and", "pid:1234"),
        ("not", (3, 3), "a condition is missing after not", "pid:1234"),
        ("or pid:1", (0, 2), "a condition is missing before or", "pid:1234"),
        ("pid:1 \x1b", (6, 7), "can't be printed", "leave it out"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, at: tuple[int, int], what: str, fix: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse(text)
    error = raised.value
    assert isinstance(error, UsageError)
    assert (error.position, error.end) == at
    assert what in error.what
    assert fix in error.fix
    assert f"character {at[0] + 1} of the filter" in error.line()
    assert error.line().isprintable()


def test_one_line_tells_what_stands_before_the_mistake() -> None:
    with pytest.raises(FilterError) as raised:
        parse("comm:nginx lat>fast")
    assert raised.value.line() == (
        "fast is not a length of time: character 16 of the filter, after comm:nginx lat>; "
        "write it as 250us, 100ms, 5s, 2m or 1h"
    )


@pytest.mark.parametrize("source", [r"(\d{1,3}\.){3}\d+", "^a.*b$", "[(a|b)*]+", r"\(a+\)+", "(?i)x", "a|b+"])
def test_ordinary_regular_expressions_are_let_through(source: str) -> None:
    parse(f"cmd~'{source}'")


def test_nesting_is_bounded() -> None:
    fits = "(" * MAX_DEPTH + "pid:1" + ")" * MAX_DEPTH
    assert parse(fits).canonical == "pid:1"
    with pytest.raises(FilterError, match="inside each other"):
        parse(f"({fits})")
    with pytest.raises(FilterError, match="inside each other"):
        parse("!(" * 1000 + "pid:1" + ")" * 1000)
    assert parse("!" * 1001 + "pid:1").canonical == "pid!=1"


def test_length_is_bounded() -> None:
    longest = " ".join(["a"] * (MAX_LENGTH // 2))
    passes = parse(longest).predicate()
    assert not passes(random_filters.record(random.Random(0))._replace(comm="b"))
    for hostile in ("a" * 100_000, "(" * 100_000, '"' * 100_001, "pid:" + "1," * 50_000, "not " * 25_000):
        with pytest.raises(FilterError, match="characters"):
            parse(hostile)


@pytest.mark.parametrize("seed", range(300))
def test_text_and_tree_are_the_same_thing(seed: int) -> None:
    rng = random.Random(seed)
    tree = random_filters.node(rng)
    assert parse(as_text(tree)).expression == tree
    assert parse(random_filters.typed(rng, tree)).expression == tree


@pytest.mark.parametrize("seed", range(20))
def test_any_text_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    parts = ["pid", ":", "12", "(", ")", " ", "'", '"', "\\", "~", "!", "=", "and", "or", "not", "lat", ">", ",", "*",
             "[", "&&", "|", "comm", "addr", "::1", "/8", "é", "\x00", "\n", "..", "-"]  # fmt: skip
    for _ in range(300):
        text = "".join(rng.choices(parts, k=rng.randint(1, 12)))
        found, error = read(text)
        if error is not None:
            assert 0 <= error.position <= error.end <= len(text)
        if found is not None:
            assert parse(found.canonical).expression == found.expression


def read(text: str) -> tuple[Filter | None, FilterError | None]:
    try:
        return parse(text), None
    except FilterError as error:
        return None, error
