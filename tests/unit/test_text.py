from __future__ import annotations

import random
import unicodedata

import pytest

from ebtop.text import c_string, clean, printable


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"nginx: worker", "nginx: worker"),
        ("größe 名前".encode(), "größe 名前"),
        (b"\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        (b"\x9b31m", "\\x9b31m"),
        ("\x9b31m".encode(), "\\x9b31m"),
        (b"\xc3", "\\xc3"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        (b"a\nb\tc\rd\0e", "a\\x0ab\\x09c\\x0dd\\x00e"),
        ("\u202egpj.exe".encode(), "\\u202egpj.exe"),
        ("\u200b\ufeff".encode(), "\\u200b\\ufeff"),
        ("\U000e0041".encode(), "\\U000e0041"),
        ("\u2028".encode(), "\\u2028"),
    ],
)
def test_printable(raw: bytes, text: str) -> None:
    assert printable(raw) == text


def test_nothing_that_is_not_printable_gets_through() -> None:
    draw = random.Random(1)
    for _ in range(2000):
        assert printable(draw.randbytes(draw.randrange(40))).isprintable()
    for code in range(0x110000):
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
            assert clean(chr(code)).isascii()


def test_clean_writes_undecodable_bytes_as_bytes() -> None:
    assert clean(b"/tmp/\xff\x1b".decode("utf-8", "surrogateescape")) == "/tmp/\\xff\\x1b"
    assert clean("\ud800") == "\\ud800"


def test_clean_leaves_printable_text_alone() -> None:
    text = "[bold]not markup[/] <b> \\ $(x)"
    assert clean(text) is text


@pytest.mark.parametrize(
    ("raw", "text"), [(b"ls\0garbage", "ls"), (b"\0ls", ""), (b"sixteen bytes 16", "sixteen bytes 16"), (b"", "")]
)
def test_c_strings_end_at_the_first_nul(raw: bytes, text: str) -> None:
    assert c_string(raw) == text
