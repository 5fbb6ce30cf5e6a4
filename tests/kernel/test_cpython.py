"""Python functions by name, against programs that measure themselves what each of their functions takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest

from ebtop.cpython.layout import NEWEST, OLDEST
from ebtop.probes.base import Settings
from ebtop.store.records import Frame, StackRecord
from ebtop.unwind import UnwindTables
from tests.lab.collect import Collector
from tests.lab.interpreters import HOT, HotPython, builds
from tests.lab.process import Workload

pytestmark = pytest.mark.usefixtures("root")

SLOW_HZ, HZ, FAST_HZ = 197, 997, 3989
"""Primes, to keep out of step with the workload."""
SAMPLES = 3000
"""Three standard deviations of a share are 2.7 points then."""
FEW_SAMPLES = 200
READ = [path for path, version in builds().items() if OLDEST <= version <= NEWEST]
UNREAD = {path: version for path, version in builds().items() if not OLDEST <= version <= NEWEST}
EVALUATE = "_PyEval_EvalFrameDefault"
CALLERS = ("<module>", "main", "work_on", "work")

Measured = tuple[list[StackRecord], dict[str, float]]
"""The samples of a program, and the CPU seconds of its functions."""


def python_frames(record: StackRecord) -> list[Frame]:
    return [frame for frame in record.frames if frame.kind == "interpreted"]


def total(records: Iterable[StackRecord]) -> int:
    return sum(record.samples for record in records)


def walked(collected: Collector, pid: int) -> list[StackRecord]:
    """A process's samples since the drain in which the first Python function of it was seen; that one may be mixed."""
    records = collected.of(StackRecord, [pid])
    first = min((r.time_ns for r in records if python_frames(r)), default=1 << 63)
    return [r for r in records if r.time_ns > first]


def short(frame: Frame) -> str:
    """A function's name without its class: up to 3.10 that is all there is."""
    return frame.name.rpartition(".")[2]


def hot_function(record: StackRecord) -> str:
    """The innermost of the functions that measure themselves."""
    return next((short(f) for f in reversed(python_frames(record)) if short(f).startswith("hot_")), "")


def check_shares(measured: Measured) -> None:
    records, truth = measured
    seen: Counter[str] = Counter()
    for record in records:
        seen[hot_function(record)] += record.samples
    seen.pop("", None)
    for name, seconds in truth.items():
        assert seen[name] / seen.total() == pytest.approx(seconds / sum(truth.values()), abs=0.03), name


def in_mount_namespace(directory: Path) -> list[str | Path]:
    """Starts an interpreter whose file is in a file system that nobody else sees."""
    copy = 'mount -t tmpfs none "$1" && cp "$2" "$1/python3" && shift 2 && exec "$0" "$@"'
    python = Path(os.path.realpath("/usr/bin/python3"))
    return [
        "unshare", "--mount", "--propagation", "private", "sh", "-c", copy, directory / "python3", directory, python,
    ]  # fmt: skip


def measured(started: dict[str, HotPython], hertz: int, samples: int) -> dict[str, Measured]:
    """All of them at once, until that many samples of each are there."""
    with ExitStack() as running:
        for program in started.values():
            running.enter_context(program)
        collected = running.enter_context(Collector(["cpu"], Settings(hertz=hertz, user_stacks=UnwindTables())))
        collected.wait_until(lambda c: all(total(walked(c, p.pid)) > samples for p in started.values()))
        truths = {name: program.end() for name, program in started.items()}
        return {name: (walked(collected, program.pid), truths[name]) for name, program in started.items()}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Measured]:
    """Every build, at once, as on a node."""
    venv, inside = tmp_path_factory.mktemp("venv"), tmp_path_factory.mktemp("inside")
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", venv], check=True)
    started = {path: HotPython([path]) for path in READ}
    started["venv"] = HotPython([venv / "bin" / "python"])
    started["mount namespace"] = HotPython(in_mount_namespace(inside))
    return measured(started, SLOW_HZ, FEW_SAMPLES)


@pytest.fixture(scope="module")
def closely() -> dict[str, Measured]:
    """The interpreter that runs the tests, and the newest that there is beside it."""
    newest = max(READ[1:] or READ, key=lambda path: builds()[path])
    return measured({path: HotPython([path]) for path in (READ[0], newest)}, FAST_HZ, SAMPLES)


def test_functions_have_their_shares(closely: dict[str, Measured]) -> None:
    for result in closely.values():
        check_shares(result)


def kinds_between(record: StackRecord) -> list[str]:
    """What stands between the function that sorts and the key function that is called for it."""
    names = [short(frame) for frame in record.frames]
    return [frame.kind for frame in record.frames[names.index("work") + 1 : names.index("<lambda>")]] or ["nothing"]


def test_python_functions_stand_where_they_ran_among_native_ones(closely: dict[str, Measured]) -> None:
    """Where the native stack is whole: sorted() is between its caller and the function that it calls."""
    for records, _ in closely.values():
        whole = [r for r in records if r.complete]
        warm = sorted(r.time_ns for r in whole)[len(whole) * 6 // 10]  # before then its tables may not be there yet
        assert total(r for r in whole if r.time_ns > warm) >= 0.97 * total(r for r in records if r.time_ns > warm)
        matched = [r for r in whole if not any(f.name == EVALUATE or f.kind == "cut" for f in r.frames)]
        assert total(matched) >= 0.98 * total(whole)
        in_key = [r for r in whole if {"work", "<lambda>"} <= {short(f) for f in python_frames(r)}]
        right = [r for r in in_key if r.frames[0].name == "_start" and set(kinds_between(r)) <= {"native", "unknown"}]
        assert total(right) >= 0.98 * total(in_key) > 0


def test_functions_have_their_shares_in_threads() -> None:
    result = measured({"threads": HotPython([READ[0]], threads=2)}, FAST_HZ, SAMPLES)["threads"]
    check_shares(result)
    outermost = Counter[str]()
    for record in result[0]:
        if python := python_frames(record):
            outermost[short(python[0])] += record.samples
    assert outermost["_bootstrap"] >= 0.98 * outermost.total()


@pytest.mark.parametrize("build", [*READ, "venv", "mount namespace"])
def test_chain_is_whole(programs: dict[str, Measured], build: str) -> None:
    """From the module to the function."""
    records, _ = programs[build]
    whole = [r for r in records if tuple(short(f) for f in python_frames(r))[:4] == CALLERS]
    assert total(whole) >= 0.98 * total(records)
    deep = next(r for r in records if hot_function(r) == "hot_method")
    assert sum(short(frame) == "go_down" for frame in python_frames(deep)) == 21


def test_file_and_line(programs: dict[str, Measured]) -> None:
    lines = HOT.read_text().splitlines()
    seen = {}
    for records, _ in programs.values():
        for record in records:
            seen.update({short(f): f for f in python_frames(record) if f.file == str(HOT)})
    assert {"work", "hot_loop", "go_down", "nested"} <= set(seen)
    for name in ("work", "go_down", "nested", "generate"):
        assert f"def {name}(" in lines[seen[name].line - 1]
        assert seen[name].module == HOT.name
    # A decorated function begins at its decorator.
    assert lines[seen["hot_loop"].line - 1] == "@timed"


def test_c_extension_below_its_caller(closely: dict[str, Measured]) -> None:
    records, _ = closely[READ[0]]
    inside = [r for r in records if hot_function(r) == "hot_zlib" and r.frames[-1].kind != "kernel"]
    in_zlib = [r for r in inside if r.frames[-1].module.startswith(("libz", "zlib"))]
    assert total(in_zlib) >= 0.8 * total(inside) > 0
    for record in in_zlib:
        assert short(python_frames(record)[-1]) == "hot_zlib"


HOSTILE = r"""
import json, os, sys
names = ["\x1b[2J\x1b]0;owned\x07", "a;b\nc\td", "[bold red]x[/]", "\u202eevil", "x" * 5000, "", "\ud800lone", "\0",
         "<script>&amp;", "café_\U0001f40d", "=cmd|' /C calc'!A0"]
def spin(n):
    while n:
        n -= 1
functions = []
for name in names:
    copy = type(spin)(spin.__code__.replace(co_name=name, co_qualname=name, co_filename="/tmp/" + name + "\x1b.py"), {})
    functions.append(copy)
print(json.dumps({"pid": os.getpid()}), flush=True)
while True:
    for function in functions:
        function(200000)
"""


def test_hostile_names() -> None:
    with Workload([sys.executable, "-c", HOSTILE]) as program, Collector(["cpu"], Settings(hertz=HZ)) as collected:
        pid = program.read()["pid"]
        collected.wait_until(lambda c: total(walked(c, pid)) > 400)
        records = walked(collected, pid)
    leaves = {python_frames(record)[-1] for record in records if python_frames(record)}
    names = {frame.name for frame in leaves}
    assert {"\\x1b[2J\\x1b]0;owned\\x07", "a;b\\x0ac\\x09d", "\\u202eevil", "?", "\\x00", "café_🐍"} <= names
    for frame in leaves:
        assert (frame.name + frame.module + frame.file).isprintable()
        assert len(frame.name) < 300
        assert len(frame.file) < 600


def test_program_that_ends_soon() -> None:
    """What was sampled of it is there with names; what was sampled before it was found has none, and is there too."""
    with Collector(["cpu", "exec"], Settings(hertz=HZ)) as collected:
        with HotPython(["/usr/bin/python3"], seconds=5) as program:
            program.truth()
            pid = program.pid
        records = collected.of(StackRecord, [pid])
    records = collected.of(StackRecord, [pid])
    named = [r for r in records if hot_function(r)]
    assert total(named) >= 0.5 * total(records) > 0


@pytest.mark.parametrize("build", UNREAD)
def test_version_that_is_not_read_says_so(build: str) -> None:
    spin = "import json, os\nprint(json.dumps({'pid': os.getpid()}), flush=True)\nwhile True: pass"
    with Workload([build, "-c", spin]) as program, Collector(["cpu"], Settings(hertz=HZ)) as collected:
        pid = program.read()["pid"]
        collected.wait_until(lambda c: total(c.of(StackRecord, [pid])) > 100)
        records = collected.of(StackRecord, [pid])
    major, minor = UNREAD[build]
    said = [r for r in records if any(f.name == f"[CPython {major}.{minor}: frames are not read]" for f in r.frames)]
    assert total(said) >= 0.9 * total(records)


@pytest.mark.parametrize("depth", [60, 500])
def test_recursion(depth: int) -> None:
    script = (
        "import json, os\ndef down(n):\n if n: return down(n - 1)\n"
        " print(json.dumps({'pid': os.getpid()}), flush=True)\n while True: pass\n"
        f"down({depth})"
    )
    with Workload([sys.executable, "-c", script]) as program, Collector(["cpu"], Settings(hertz=HZ)) as collected:
        pid = program.read()["pid"]
        collected.wait_until(lambda c: total(walked(c, pid)) > 50)
        records = walked(collected, pid)
    for record in records:
        functions = [short(frame) for frame in python_frames(record)]
        if depth < 127:
            assert functions == ["<module>", *["down"] * (depth + 1)]
        else:
            assert functions == ["down"] * 127
            assert not record.complete
            assert "[Python frames missing]" in [frame.name for frame in record.frames]
