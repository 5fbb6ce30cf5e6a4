"""The reasons for which a stack is cut, in words."""

from __future__ import annotations

import re

import pytest

from ebtop.kernel.compiler import source_directory
from ebtop.unwind.ends import BY_FRAME_POINTERS, REASONS, End, is_short, reason


def test_ends_are_those_of_the_program() -> None:
    text = (source_directory() / "stack.h").read_text()
    body = re.sub(r"/\*.*?\*/", "", text[text.index("enum walk_end {") :].partition("}")[0], flags=re.DOTALL)
    assert re.findall(r"END_(\w+),", body) == [end.name for end in End]
    assert f"#define BY_FRAME_POINTERS {BY_FRAME_POINTERS:#x}" in text


@pytest.mark.parametrize("end", End)
@pytest.mark.parametrize("flag", [0, BY_FRAME_POINTERS])
@pytest.mark.parametrize("reaches_entry", [False, True])
def test_reasons(end: End, flag: int, reaches_entry: bool) -> None:
    said = reason(end | flag, reaches_entry)
    whole = end == End.WHOLE or (reaches_entry and (flag or end in (End.NOT_KNOWN, End.BASE)))
    assert said == "" if whole else said in REASONS


def test_what_is_known_to_be_short() -> None:
    assert is_short(End.TOO_DEEP)
    assert is_short(End.NO_TABLE)
    assert not is_short(End.NO_TABLE | BY_FRAME_POINTERS)
    assert not is_short(End.WHOLE)
