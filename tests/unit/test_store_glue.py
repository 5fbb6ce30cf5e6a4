"""CPython's own frames: which of them are left out between Python functions."""

from __future__ import annotations

import pytest

from ebtop.store.flame_paths import Shape, path_of
from ebtop.store.glue import without_glue
from ebtop.store.records import Frame, StackRecord

LIBPYTHON = "libpython3.12.so.1.0"


def frame(text: str) -> Frame:
    """py:NAME a Python function, [LIB] code without a symbol in it, NAME@LIB a native one, NAME_[k] a kernel one."""
    if text.startswith("py:"):
        return Frame(text[3:], "interpreted", "app.py", "/srv/app.py", 1)
    if text.startswith("["):
        return Frame(f"[{text[1:-1]}+0x10]", "unknown", text[1:-1])
    if text.endswith("_[k]"):
        return Frame(text[:-4], "kernel", "")
    name, _, module = text.partition("@")
    return Frame(name, "native", module or LIBPYTHON)


def stack(text: str) -> tuple[Frame, ...]:
    return tuple(map(frame, text.split()))


@pytest.mark.parametrize(
    ("frames", "shown"),
    [
        (
            "_start@python3 __libc_start_main_impl@libc.so.6 [libc.so.6] main@python3 Py_BytesMain Py_RunMain "
            "pymain_run_python.constprop.0 _PyRun_SimpleFileObject run_mod PyEval_EvalCode py:<module> py:main",
            "py:<module> py:main",
        ),
        # What is not about calling stays, also in the interpreter.
        (
            "py:work builtin_sorted PyObject_Vectorcall cfunction_vectorcall_FASTCALL_KEYWORDS list_sort_impl "
            "PyObject_CallOneArg py:key",
            "py:work builtin_sorted list_sort_impl py:key",
        ),
        # The interpreter without symbols is all glue between functions, but not below the innermost.
        ("py:work [python3.11] py:key [python3.11] malloc@libc.so.6", "py:work py:key [python3.11] malloc@libc.so.6"),
        (
            "py:work PyObject_Vectorcall zlib_compress@zlib.so deflate@libz.so.1",
            "py:work zlib_compress@zlib.so deflate@libz.so.1",
        ),
        # Never the leaf.
        ("py:work _PyEval_EvalFrameDefault", "py:work _PyEval_EvalFrameDefault"),
        ("py:work [python3.11]", "py:work [python3.11]"),
        (
            "py:work PyObject_Vectorcall os_write write@libc.so.6 vfs_write_[k]",
            "py:work os_write write@libc.so.6 vfs_write_[k]",
        ),
        # A thread; a program that embeds CPython.
        ("clone3@libc.so.6 start_thread@libc.so.6 pythread_wrapper thread_run py:run", "py:run"),
        ("_start@uwsgi main@uwsgi uwsgi_request@uwsgi PyObject_Call py:app", "uwsgi_request@uwsgi py:app"),
        # Without a Python function there is nothing that a frame could be between.
        (
            "_start@python3 main@python3 Py_BytesMain PyEval_EvalCode",
            "_start@python3 main@python3 Py_BytesMain PyEval_EvalCode",
        ),
        ("", ""),
    ],
)
def test_what_is_shown(frames: str, shown: str) -> None:
    assert tuple(without_glue(stack(frames))) == stack(shown)


def test_names_of_perf_maps_hide_nothing() -> None:
    """They stand beside the frames that they would replace."""
    frames = (frame("PyEval_EvalCode"), Frame("py::main:/srv/app.py", "interpreted", ""))
    assert without_glue(frames) == frames


def test_shape_decides() -> None:
    record = StackRecord(0, 7, "app", 0, None, "cpu", 1, stack("Py_RunMain py:main"), True)
    assert [f.name for f in path_of(record, Shape())] == ["app", "main"]
    assert [f.name for f in path_of(record, Shape(glue=True))] == ["app", "Py_RunMain", "main"]
