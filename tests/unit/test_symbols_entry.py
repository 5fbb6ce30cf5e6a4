"""When a user stack counts as whole."""

from __future__ import annotations

import pytest

from ebtop.store.records import Frame
from ebtop.symbols.entry import DEPTH_MAX, is_complete


def native(*names: str) -> list[Frame]:
    return [Frame(name, "native", "program") for name in names]


@pytest.mark.parametrize(
    "names",
    [
        ("_start", "__libc_start_main", "main", "work"),
        ("__libc_start_main_impl", "main"),
        ("__libc_start_main@@GLIBC_2.34", "main"),
        ("__libc_start_call_main", "main"),
        ("main", "work"),
        ("clone3", "start_thread", "worker"),
        ("lost", "lost", "start_thread", "worker"),
        ("runtime.goexit.abi0", "main.main"),
    ],
)
def test_stacks_that_reach_an_entry(names: tuple[str, ...]) -> None:
    assert is_complete(native(*names), kernel_thread=False, truncated=False)


@pytest.mark.parametrize("names", [(), ("memcpy",), ("a", "b", "c", "main"), ("mainloop", "x"), ("_start_timer",)])
def test_stacks_that_do_not(names: tuple[str, ...]) -> None:
    assert not is_complete(native(*names), kernel_thread=False, truncated=False)


def test_only_native_functions_are_entries() -> None:
    for kind in ("jit", "interpreted", "unknown", "kernel"):
        assert not is_complete([Frame("main", kind, "")], kernel_thread=False, truncated=False)


def test_a_stack_known_to_be_cut() -> None:
    assert not is_complete(native("_start", "main"), kernel_thread=False, truncated=True)


def test_a_stack_as_deep_as_the_kernel_collects() -> None:
    names = ["_start", "main"] + ["recurse"] * (DEPTH_MAX - 2)
    assert not is_complete(native(*names), kernel_thread=False, truncated=False)
    assert is_complete(native(*names[:-1]), kernel_thread=False, truncated=False)


def test_kernel_threads_have_no_user_stack() -> None:
    assert is_complete([], kernel_thread=True, truncated=False)
    assert not is_complete(native("x"), kernel_thread=True, truncated=False)
