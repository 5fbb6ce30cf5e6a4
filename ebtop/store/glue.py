"""The native frames through which CPython gets from one Python function to the next: they say little to people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter

from ebtop.store.records import Frame

_kind = attrgetter("kind")
_INTERPRETER = re.compile(r"(lib)?python\d")
_C_LIBRARY = re.compile(r"(libc|ld-|libpthread|ld-musl)")
_NAMES = re.compile(
    r"_?Py(Eval|Run)_\w+|_Py(Function|Vectorcall)_\w+|PyVectorcall_\w+"
    r"|_?PyObject_(Vectorcall|Call|FastCall|MakeTpCall)\w*"
    r"|object_vacall|vectorcall_\w+|(method|cfunction|wrapper|slot|type|methoddescr)_(vectorcall|call|tp)\w*"
    r"|(function_code_fast|_?call_|do_call_)\w+|gen_send_ex2?|gen_iternext|gen_send|_?PyGen_Send|PyIter_Send"
    r"|run_mod|run_eval_code_obj|pyrun_\w+|pymain_\w+|Py_RunMain|Py_BytesMain|Py_Main"
    r"|thread_run|t_bootstrap|pythread_wrapper"
)
_ENTRIES = re.compile(r"_start|main|__libc_start\w*|(__)?clone3?|start_thread")
"""Where programs and threads begin."""


def without_glue(frames: Sequence[Frame]) -> Sequence[Frame]:
    """A stack, root first, without what CPython itself has around Python functions; but never without its leaf.

    Above the innermost Python function that is all that calls, and all of the interpreter's that has no name, and below
    it only what calls: what a function is about to do there may well be in the interpreter.
    """
    if "interpreted" not in map(_kind, frames):
        return frames
    places = [place for place, frame in enumerate(frames) if frame.kind == "interpreted" and frame.file]
    if not places:
        return frames
    first, last, leaf = places[0], places[-1], len(frames) - 1
    return [
        frame
        for place, frame in enumerate(frames)
        if place == leaf or not _is_glue(frame, before=place < first, above=place < last)
    ]


@lru_cache(maxsize=8192)
def _is_glue(frame: Frame, before: bool, above: bool) -> bool:
    """`before` the outermost Python function, `above` the innermost."""
    if frame.kind == "unknown":
        file = frame.module
        return (above and bool(_INTERPRETER.match(file))) or (before and bool(_C_LIBRARY.match(file)))
    if frame.kind != "native":
        return False
    name = frame.name.partition(".")[0]
    return bool(_NAMES.fullmatch(name)) or (before and bool(_ENTRIES.fullmatch(name)))
