"""Symbols of processes that run here, compared with what they say of themselves."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from ebtop.process.mappings import read_mappings
from ebtop.store.records import Frame, ModuleFacts
from ebtop.symbols.symbolizer import Symbolizer

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# Each line on stdin is a command, each line on stdout an address or several.
TARGET = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>
__attribute__((noinline)) void print_stack(void) {
    void *stack[64];
    int depth = backtrace(stack, 64);
    for (int i = 0; i < depth; i++) printf("%p ", stack[i]);
    printf("\\n");
}
__attribute__((noinline)) static void inner(void) { print_stack(); __asm__ volatile(""); }
__attribute__((noinline)) void outer(void) { inner(); __asm__ volatile(""); }
int main(int argc, char **argv) {
    char line[4096];
    setlinebuf(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\\n")] = 0;
        if (!strcmp(line, "functions")) printf("%p %p %p\\n", (void *)main, (void *)inner, (void *)outer);
        else if (!strcmp(line, "stack")) outer();
        else if (!strcmp(line, "vdso")) printf("0x%lx\\n", getauxval(AT_SYSINFO_EHDR));
        else if (line[0] == '/') printf("%p\\n", dlsym(dlopen(line, RTLD_NOW), "loaded_later"));
        else if (line[0] == '!') execl(line + 1, line + 1, (char *)0);
        else return 0;
    }
    return argc > 100;
}
"""
LIBRARY = "int loaded_later(int x) { return x + 1; }"
OTHER = """
#include <stdio.h>
int another_program(void) { return 1; }
int main(void) { printf("%p\\n", (void *)another_program); fflush(stdout); return getchar(); }
"""
JIT = """
import mmap, ctypes, sys
area = mmap.mmap(-1, 1 << 16, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
print(hex(ctypes.addressof(ctypes.c_char.from_buffer(area))), flush=True)
sys.stdin.readline()
"""
PYTHON = Path(sys.executable).resolve().name


class Clock:
    """Time that the test advances, so that nothing waits."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self) -> None:
        self.now += 1


class Target:
    """A running program that answers with addresses."""

    def __init__(self, *command: str | Path) -> None:
        self.process = Popen(command, stdin=PIPE, stdout=PIPE, text=True, bufsize=1)
        self.pid = self.process.pid

    def ask(self, line: str) -> list[int]:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        return self.addresses()

    def addresses(self) -> list[int]:
        assert self.process.stdout is not None
        return [int(word, 16) for word in self.process.stdout.readline().split()]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    directory = tmp_path_factory.mktemp("symbols")

    def compiled(name: str, source: str, *flags: str) -> Path:
        (directory / f"{name}.c").write_text(source)
        arguments = ["gcc", "-O1", "-fno-optimize-sibling-calls", *flags, "-o", directory / name]
        subprocess.run([*arguments, directory / f"{name}.c", "-ldl"], check=True)
        return directory / name

    return compiled


@pytest.fixture
def run() -> Iterator[Callable[..., Target]]:
    started: list[Target] = []

    def start(*command: str | Path) -> Target:
        started.append(Target(*command))
        return started[-1]

    yield start
    for target in started:
        target.end()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def symbolizer(clock: Clock) -> Symbolizer:
    return Symbolizer(clock=clock)


def one(symbolizer: Symbolizer, pid: int, address: int) -> Frame:
    frames, _ = symbolizer.stack(pid, [address], [])
    assert len(frames) == 1
    return frames[0]


@pytest.mark.parametrize("flags", [("-pie", "-fPIE"), ("-no-pie",)])
def test_functions_where_the_program_has_them(
    build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer, flags: tuple[str, ...]
) -> None:
    path = build("target" + flags[0], TARGET, *flags)
    target = run(path)
    names = [one(symbolizer, target.pid, address) for address in target.ask("functions")]
    assert names == [Frame(name, "native", path.name) for name in ("main", "inner", "outer")]


def test_whole_stack_root_first(build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer) -> None:
    target = run(build("target", TARGET))
    stack = target.ask("stack")
    frames, complete = symbolizer.stack(target.pid, stack, [])
    names = [frame.name for frame in frames]
    assert names[-4:] == ["main", "outer", "inner", "print_stack"]
    assert names[0] == "_start"
    assert complete
    frames, complete = symbolizer.stack(target.pid, stack[:2], [])
    assert [frame.name for frame in frames] == ["inner", "print_stack"]
    assert not complete
    assert not symbolizer.stack(target.pid, stack, [], truncated_user=True)[1]
    assert not symbolizer.stack(target.pid, [], [])[1]


def test_ended_process_still_resolves_once_noted(
    build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer, clock: Clock
) -> None:
    path = build("target", TARGET)
    noted, unseen = run(path), run(path)
    address, other = noted.ask("functions")[1], unseen.ask("functions")[1]
    symbolizer.note_process(noted.pid)
    noted.end()
    unseen.end()
    clock.advance()
    assert one(symbolizer, noted.pid, address).name == "inner"
    assert one(symbolizer, unseen.pid, other).name == "[process ended]"
    symbolizer.forget(noted.pid)
    assert one(symbolizer, noted.pid, address).name == "[process ended]"


def test_process_that_ended_before_it_was_looked_at(
    build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer, clock: Clock
) -> None:
    """Only what the kernel told of its mappings is left."""
    target = run(build("target", TARGET))
    address = target.ask("functions")[1]
    mappings = read_mappings(target.pid)
    target.end()
    assert one(symbolizer, target.pid, address).name == "[process ended]"
    symbolizer.note_mappings(target.pid, mappings)
    assert one(symbolizer, target.pid, address) == Frame("inner", "native", "target")
    clock.advance()
    assert one(symbolizer, target.pid, address + 1) == Frame("inner", "native", "target")


def test_program_that_another_one_took_the_place_of(
    build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer, clock: Clock
) -> None:
    other = build("other", OTHER, "-no-pie")
    target = run(build("target", TARGET))
    address = target.ask("functions")[1]
    mappings = read_mappings(target.pid)
    (later,) = target.ask(f"!{other}")
    assert one(symbolizer, target.pid, address).kind == "unknown"
    symbolizer.note_mappings(target.pid, mappings)
    assert one(symbolizer, target.pid, address) == Frame("inner", "native", "target")
    assert one(symbolizer, target.pid, later) == Frame("another_program", "native", "other")


def test_file_that_was_gone_before_it_was_read(
    build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer, clock: Clock
) -> None:
    path = build("gone", TARGET)
    target = run(path)
    address = target.ask("functions")[1]
    symbolizer.note_process(target.pid)
    path.unlink()
    target.end()
    clock.advance()
    frame = one(symbolizer, target.pid, address)
    assert (frame.kind, frame.module, frame.name[:8]) == ("unknown", "gone", "[gone+0x")
    assert symbolizer.new_modules() == (ModuleFacts("gone", str(path), "", "unreadable: the process ended before"),)


def test_library_loaded_later(
    build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer, clock: Clock
) -> None:
    library = build("liblater.so", LIBRARY, "-shared", "-fPIC")
    target = run(build("target", TARGET))
    assert one(symbolizer, target.pid, target.ask("functions")[0]).name == "main"
    (address,) = target.ask(str(library))
    clock.advance()
    assert one(symbolizer, target.pid, address) == Frame("loaded_later", "native", "liblater.so")


def test_pid_that_executes_another_program(
    build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer, clock: Clock
) -> None:
    other = build("other", OTHER, "-no-pie")
    target = run(build("target-no-pie", TARGET, "-no-pie"))
    main = target.ask("functions")[0]
    assert one(symbolizer, target.pid, main) == Frame("main", "native", "target-no-pie")
    (address,) = target.ask(f"!{other}")
    clock.advance()
    assert one(symbolizer, target.pid, address) == Frame("another_program", "native", "other")


@needs_root
def test_deleted_program(build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer) -> None:
    path = build("deleted", TARGET)
    target = run(path)
    address = target.ask("functions")[1]
    path.unlink()
    assert one(symbolizer, target.pid, address) == Frame("inner", "native", "deleted")


@needs_root
def test_program_in_another_mount_namespace(
    build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer, clock: Clock, tmp_path: Path
) -> None:
    path = build("target", TARGET)
    script = f'mount -t tmpfs none "{tmp_path}" && cp "{path}" "{tmp_path}/inside" && exec "{tmp_path}/inside"'
    target = run("unshare", "--mount", "--propagation", "private", "sh", "-c", script)
    address = target.ask("functions")[1]
    assert not (tmp_path / "inside").exists()
    assert one(symbolizer, target.pid, address) == Frame("inner", "native", "inside")
    target.end()
    clock.advance()
    # An address that was not asked for before: the file is gone, what was read of it is not.
    assert one(symbolizer, target.pid, address + 1) == Frame("inner", "native", "inside")


def test_stripped_program_says_where(
    build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer
) -> None:
    path = build("stripped", TARGET, "-no-pie", "-s")
    target = run(path)
    address = target.ask("functions")[1]
    assert one(symbolizer, target.pid, address) == Frame(f"[stripped+{address:#x}()]", "unknown", "stripped")
    frames, complete = symbolizer.stack(target.pid, target.ask("stack"), [])
    assert frames[0].name == "_start"
    assert complete


def test_addresses_outside_of_all_mappings(
    build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer
) -> None:
    target = run(build("target", TARGET))
    frames, complete = symbolizer.stack(target.pid, [0, 1, 0xDEAD000, (1 << 64) - 1], [])
    assert frames == (Frame("[unknown]", "unknown", ""),) * 4
    assert not complete


def test_vdso(build: Callable[..., Path], run: Callable[..., Target], symbolizer: Symbolizer, tmp_path: Path) -> None:
    target = run(build("target", TARGET))
    (base,) = target.ask("vdso")
    with open(f"/proc/{target.pid}/maps") as maps, open(f"/proc/{target.pid}/mem", "rb") as memory:
        start, end = next(
            [int(x, 16) for x in line.split()[0].split("-")] for line in maps if line.rstrip().endswith("[vdso]")
        )
        memory.seek(start)
        (tmp_path / "vdso").write_bytes(memory.read(end - start))
    output = subprocess.run(["nm", "-D", tmp_path / "vdso"], check=True, capture_output=True, text=True).stdout
    by_offset = defaultdict(set)
    for offset, kind, name in (line.split() for line in output.splitlines()):
        if kind in "TW":
            by_offset[int(offset, 16)].add(name.partition("@")[0])
    assert by_offset
    for offset, names in by_offset.items():
        frame = one(symbolizer, target.pid, base + offset)
        assert frame.name in names
        assert frame.module == "[vdso]"


def write_perf_map(pid: int, content: str) -> Path:
    path = Path(f"/tmp/perf-{pid}.map")
    path.write_text(content)
    return path


def test_functions_compiled_at_run_time(run: Callable[..., Target], symbolizer: Symbolizer, clock: Clock) -> None:
    target = run(sys.executable, "-c", JIT)
    (area,) = target.addresses()
    path = write_perf_map(target.pid, f"{area:x} 40 JS:*hot app.js:1\n{area + 0x40:x} 40 py::work:/srv/a.py\n")
    try:
        assert one(symbolizer, target.pid, area) == Frame("JS:*hot app.js:1", "jit", "")
        assert one(symbolizer, target.pid, area + 0x7F) == Frame("py::work:/srv/a.py", "interpreted", "")
        assert one(symbolizer, target.pid, area + 0x80) == Frame(f"[JIT {PYTHON}]", "jit", "")
        with path.open("a") as file:
            file.write(f"{area + 0x80:x} 10 later\n{area:x} 20 replaced\n")
        clock.advance()
        assert one(symbolizer, target.pid, area + 0x80).name == "later"
        assert one(symbolizer, target.pid, area).name == "replaced"
    finally:
        path.unlink()


@needs_root
@pytest.mark.parametrize("trick", ["other owner", "symlink", "fifo"])
def test_perf_map_that_someone_else_could_have_made(
    run: Callable[..., Target], symbolizer: Symbolizer, tmp_path: Path, trick: str
) -> None:
    target = run(sys.executable, "-c", JIT)
    (area,) = target.addresses()
    path = Path(f"/tmp/perf-{target.pid}.map")
    content = f"{area:x} 40 lie\n"
    if trick == "other owner":
        path.write_text(content)
        os.chown(path, 12345, 12345)
    elif trick == "symlink":
        (tmp_path / "map").write_text(content)
        path.symlink_to(tmp_path / "map")
    else:
        os.mkfifo(path)
    try:
        assert one(symbolizer, target.pid, area) == Frame(f"[JIT {PYTHON}]", "jit", "")
    finally:
        path.unlink()


@needs_root
def test_kernel_functions_as_kallsyms_has_them(symbolizer: Symbolizer) -> None:
    names = defaultdict(set)
    with open("/proc/kallsyms") as file:
        for line in file:
            address, kind, name = line.split()[:3]
            if kind in "tTwW" and "[" not in line:
                names[int(address, 16)].add(name)
    if set(names) == {0}:
        pytest.skip("the kernel hides its addresses")
    starts = sorted(names)
    for index in random.Random(4).sample(range(len(starts) - 1), 1000):
        start, following = starts[index], starts[index + 1]
        assert symbolizer.kernel.frame(start).name in names[start]
        if following - start < 1 << 16:
            assert symbolizer.kernel.frame(following - 1).name in names[start]
    assert not symbolizer.kernel.restricted


@needs_root
def test_return_address_after_a_call_that_ends_a_function(symbolizer: Symbolizer) -> None:
    with open("/proc/kallsyms") as file:
        starts = sorted(int(line.split()[0], 16) for line in file if line.split()[1] == "T" and "[" not in line)
    if not starts[-1]:
        pytest.skip("the kernel hides its addresses")
    start = starts[len(starts) // 2]
    frames, _ = symbolizer.stack(0, [], [start, start])
    assert frames[1] == symbolizer.kernel.frame(start)
    assert frames[0] == symbolizer.kernel.frame(start - 1)
    assert frames[0] != frames[1]


def test_kernel_thread_needs_no_user_stack(symbolizer: Symbolizer) -> None:
    if not os.path.exists("/proc/2/stat") or " (kthreadd) " not in Path("/proc/2/stat").read_text():
        pytest.skip("pid 2 of this namespace is not a kernel thread")
    assert symbolizer.stack(2, [], []) == ((), True)
    assert symbolizer.stack(0, [], []) == ((), True)


def test_memory_is_reported_and_bounded(build: Callable[..., Path], run: Callable[..., Target], clock: Clock) -> None:
    small = Symbolizer(cache_bytes=1 << 16, clock=clock)
    target = run(build("target", TARGET))
    before = small.memory_bytes
    frames, _ = small.stack(target.pid, target.ask("stack"), [])
    assert "main" in [frame.name for frame in frames]
    assert before < small.memory_bytes < before + (1 << 20)
