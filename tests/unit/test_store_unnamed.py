"""Why a frame has no name, in words that are true of it."""

from __future__ import annotations

import pytest

from ebtop.store.records import Frame, ModuleFacts
from ebtop.store.unnamed import ENDED, KERNEL, UNKNOWN, jit_frame, why_unnamed

STRIPPED = ModuleFacts("app", "/srv/app", "ab1234", "dynsym")
FRAME = Frame("[app+0x1234]", "unknown", "app")


@pytest.mark.parametrize(
    "frame",
    [
        Frame("main", "native", "app"),
        Frame("schedule", "kernel", ""),
        Frame("org.shop.Cart.total", "jit", ""),
        Frame("[Java interpreter]", "interpreted", ""),
    ],
)
def test_frames_that_have_names(frame: Frame) -> None:
    assert why_unnamed(frame, [STRIPPED]) is None


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (UNKNOWN, "none of the process's mappings"),
        (ENDED, "ended before"),
        (KERNEL, "kptr_restrict"),
        (jit_frame("node"), "node made this code at run time"),
        (jit_frame(""), "unknown made this code at run time"),
    ],
)
def test_frames_outside_of_files(frame: Frame, says: str) -> None:
    found = why_unnamed(frame, [STRIPPED])
    assert found is not None
    assert says in found.why


def test_what_names_the_code_of_a_runtime() -> None:
    helps = {name: why_unnamed(jit_frame(name), []) for name in ("node", "java", "python3.12", "own-jit")}
    assert "--perf-basic-prof" in str(helps["node"])
    assert "-X perf" in str(helps["python3.12"])
    assert "/tmp/perf-PID.map" in str(helps["own-jit"])


@pytest.mark.parametrize(
    ("symbols", "says", "mends"),
    [
        ("dynsym", "only the functions that it exports", "/usr/lib/debug/.build-id/ab/1234.debug"),
        ("none", "no symbols at all", "/usr/lib/debug/.build-id/ab/1234.debug"),
        ("symtab", "none covers this address", ""),
        ("unreadable: it was deleted", "/srv/app could not be read: it was deleted.", "map_files"),
        ("unreadable", "/srv/app could not be read.", "map_files"),
    ],
)
def test_frames_in_files(symbols: str, says: str, mends: str) -> None:
    found = why_unnamed(FRAME, [STRIPPED._replace(symbols=symbols), STRIPPED._replace(name="other", symbols="x")])
    assert found is not None
    assert says in found.why
    assert mends in found.mend


def test_files_of_one_name_are_told_apart() -> None:
    other = ModuleFacts("app", "/opt/app", "", "symtab")
    found = why_unnamed(FRAME, [STRIPPED, other])
    assert found is not None
    assert "/srv/app (dynsym); /opt/app (symtab)" in found.why
    assert why_unnamed(FRAME, []) is not None
