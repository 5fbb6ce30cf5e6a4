"""Python functions in the place of the evaluation loops that ran them. Stacks are written innermost first."""

from __future__ import annotations

import pytest

from ebtop.cpython.merge import Native, Python, merge, unread
from ebtop.store.records import Frame

MISSING, CUT = "[native frames missing]", "[Python frames missing]"


def native(text: str) -> list[Native]:
    """E is a call of the evaluating function, ? an address in no mapping."""
    stray = Frame("[unknown]", "unknown", "")
    return [
        Native(stray if name == "?" else Frame(name, "native", "libpython3.so"), name == "E") for name in text.split()
    ]


def python(text: str) -> list[Python]:
    """* marks entries."""
    return [Python(Frame(name.rstrip("*"), "interpreted", "a.py"), name.endswith("*")) for name in text.split()]


def merged(natives: str, pythons: str, *, native_whole: bool = True, python_whole: bool = True) -> str:
    frames = merge(native(natives), python(pythons), native_whole=native_whole, python_whole=python_whole)
    return " ".join(frame.name for frame in frames)


@pytest.mark.parametrize(
    ("natives", "pythons", "expected"),
    [
        ("deflate E _start", "compress main*", "deflate compress main _start"),
        ("E call sort E main _start", "key* sorted work main*", "key call sort sorted work main main _start"),
        # A call whose shim is there and whose function is not: the innermost evaluation runs nothing so far.
        ("E call E _start", "work main*", "E call work main _start"),
        # The part of the evaluating function that the compiler moved elsewhere is not recognised.
        ("malloc cold call E _start", "inner* work main*", "malloc cold call inner work main _start"),
        ("main _start", "", "main _start"),
        ("", "", ""),
    ],
)
def test_whole_stacks(natives: str, pythons: str, expected: str) -> None:
    assert merged(natives, pythons) == expected


@pytest.mark.parametrize(
    ("natives", "pythons", "expected"),
    [
        ("malloc ? ?", "work main*", f"malloc {MISSING} work main"),
        ("", "work main*", f"{MISSING} work main"),
        ("malloc E ? call", "inner* work main*", f"malloc inner [unknown] call {MISSING} work main"),
        ("malloc E call E", "inner* work main*", "malloc inner call work main"),
    ],
)
def test_native_frames_that_end_too_early(natives: str, pythons: str, expected: str) -> None:
    assert merged(natives, pythons, native_whole=False) == expected


@pytest.mark.parametrize(
    ("natives", "pythons", "expected"),
    [
        ("E call E _start", "a* b c", f"a call b c {CUT} _start"),
        ("E call E call E _start", "a* b", f"a call b {CUT} call E _start"),
        ("malloc", "a* b", f"malloc {MISSING} a b {CUT}"),
    ],
)
def test_python_functions_that_end_too_early(natives: str, pythons: str, expected: str) -> None:
    assert merged(natives, pythons, native_whole=natives.endswith("_start"), python_whole=False) == expected


def test_version_whose_functions_are_not_read() -> None:
    def names(text: str) -> list[str]:
        return [frame.name for frame in unread(native(text), "[not read]")]

    assert names("a E b E c") == ["a", "E", "b", "E", "[not read]", "c"]
    assert names("a b") == ["a", "b", "[not read]"]
