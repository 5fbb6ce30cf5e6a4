from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ebtop.errors import EbtopError
from ebtop.kernel import compile_child, compiler
from ebtop.kernel.artifact import Artifact, Layout, MapSpec
from ebtop.kernel.compiler import Compiler, compile_source, splice

WORKS = "int on_event(void *ctx) { return 0; }\n"


class Builds:
    """Stands in for the compiler proper, and counts."""

    def __init__(self) -> None:
        self.sources: list[str] = []

    def __call__(self, name: str, source: str) -> Artifact:
        self.sources.append(source)
        return Artifact(name, (), (), {}, ())


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Builds:
    counting = Builds()
    monkeypatch.setattr(compiler, "compile_source", counting)
    return counting


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A directory as bpf/ is, with one program and one header."""
    directory = tmp_path / "bpf"
    directory.mkdir()
    (directory / "probe.c").write_text('#include "common.h"\n' + WORKS)
    (directory / "common.h").write_text("#define ONE 1\n")
    return directory


@pytest.fixture
def log() -> list[str]:
    return []


def in_cache(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


def test_second_time_nothing_is_built(sources: Path, tmp_path: Path, builds: Builds, log: list[str]) -> None:
    first = Compiler(sources, tmp_path / "cache", log.append).artifact("probe")
    second = Compiler(sources, tmp_path / "cache", log.append).artifact("probe")
    assert first == second
    assert len(builds.sources) == 1
    assert log == ["building bpf/probe.c"]


def _edit_source(sources: Path, _: pytest.MonkeyPatch) -> None:
    (sources / "probe.c").write_text('#include "common.h"\n' + WORKS + "/* more */\n")


def _edit_header(sources: Path, _: pytest.MonkeyPatch) -> None:
    (sources / "common.h").write_text("#define ONE 2\n")


def _other_compiler(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compiler, "compiler_identity", lambda: "another libbcc")


def _other_format(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compiler, "FORMAT", 999)


def _other_machine(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("platform.machine", lambda: "aarch64")


def _other_flags(_: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(compiler, "_FLAGS", ("-DX",))


@pytest.mark.parametrize(
    "change", [_edit_source, _edit_header, _other_compiler, _other_format, _other_machine, _other_flags]
)
def test_built_again_when_what_it_is_made_of_changes(
    change: Callable[[Path, pytest.MonkeyPatch], None],
    sources: Path, tmp_path: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cache = tmp_path / "cache"
    Compiler(sources, cache).artifact("probe")
    (old,) = in_cache(cache)
    change(sources, monkeypatch)
    Compiler(sources, cache).artifact("probe")
    assert len(builds.sources) == 2
    (new,) = in_cache(cache)
    assert new != old


def test_another_header_in_the_place_of_one_is_another_artifact(sources: Path, tmp_path: Path, builds: Builds) -> None:
    (sources / "other.h").write_text("#define TWO 2\n")
    Compiler(sources, tmp_path / "cache").artifact("probe")
    Compiler(sources, tmp_path / "cache").artifact("probe", {"common.h": "other.h"})
    assert ["TWO" in source for source in builds.sources] == [False, True]


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: b"", lambda d: d[:-9] + b"X" + d[-8:]])
def test_a_damaged_entry_is_built_again_and_said(
    damage: Callable[[bytes], bytes], sources: Path, tmp_path: Path, builds: Builds, log: list[str]
) -> None:
    cache = tmp_path / "cache"
    whole = Compiler(sources, cache).artifact("probe")
    (entry,) = in_cache(cache)
    entry.write_bytes(damage(entry.read_bytes()))
    assert Compiler(sources, cache, log.append).artifact("probe") == whole
    assert len(builds.sources) == 2
    assert log == [
        f"{entry} is not usable (damaged, or not an artifact), building probe again",
        "building bpf/probe.c",
    ]
    assert Artifact.parse(entry.read_bytes()) == whole


def test_an_entry_that_is_a_directory_costs_a_build_each_time(
    sources: Path, tmp_path: Path, builds: Builds, log: list[str]
) -> None:
    cache = tmp_path / "cache"
    Compiler(sources, cache).artifact("probe")
    (entry,) = in_cache(cache)
    entry.unlink()
    entry.mkdir()
    Compiler(sources, cache, log.append).artifact("probe")
    assert len(builds.sources) == 2
    assert log[0] == f"{entry} can't be read (Is a directory), building probe again"
    assert "can't be written" in log[-1]
    assert in_cache(cache) == [entry], "a temporary file was left behind"


def test_a_cache_that_can_not_be_made_costs_builds_and_one_line(
    sources: Path, tmp_path: Path, builds: Builds, log: list[str]
) -> None:
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "cache"
    building = Compiler(sources, cache, log.append)
    for _ in range(2):
        assert building.artifact("probe").name == "probe"
    assert log == [
        "building bpf/probe.c",
        f"{cache} can't be written (Not a directory): what is built now is built every time",
        "building bpf/probe.c",
    ]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert compiler.cache_directory() == Path("/somewhere/ebtop/bpf")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/jo")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert compiler.cache_directory() == Path("/home/jo/.cache/ebtop/bpf")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert compiler.cache_directory() == Path("/var/cache/ebtop/bpf")


def test_headers_are_written_in_once(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text('int x;\n#include "b.h"\n#include "c.h"\n#include "relocations.h"\nint y;\n')
    (tmp_path / "b.h").write_text('#include "c.h"\nint b;\n')
    (tmp_path / "c.h").write_text("int c;\n")
    spliced = splice("a.c", tmp_path)
    assert spliced.count("int c;") == 1
    assert '#include "relocations.h"' in spliced
    lines = spliced.splitlines()
    assert lines[lines.index("int y;") - 2 : lines.index("int y;")] == ['#line 4 "a.c"', '#include "relocations.h"']


def test_a_missing_source_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EbtopError, match=r"^nothing\.c can't be read: No such file or directory; install ebtop again$"):
        Compiler(tmp_path, tmp_path).artifact("nothing")


def test_an_error_is_named_by_file_line_and_message(sources: Path, tmp_path: Path) -> None:
    (sources / "probe.c").write_text('#include "common.h"\nint on_event(void *ctx)\n{\n\treturn missing;\n}\n')
    with pytest.raises(EbtopError) as caught:
        Compiler(sources, tmp_path / "cache").artifact("probe")
    assert caught.value.line() == ("bpf/probe.c does not compile: probe.c:4: use of undeclared identifier 'missing'")
    assert not (tmp_path / "cache").exists()


def test_an_error_in_a_header_is_named_by_the_header(sources: Path, tmp_path: Path) -> None:
    (sources / "common.h").write_text("#define ONE 1\n\n#error not on this machine\n")
    with pytest.raises(EbtopError, match=r"^bpf/probe\.c does not compile: common\.h:3: not on this machine$"):
        Compiler(sources, tmp_path / "cache").artifact("probe")


SHAPES = """
struct event {
	u8 kind;
	u64 time;
	s32 ret;
	u16 port;
	u8 address[16];
	char comm[16];
	u64 stack[3];
};
BPF_ARRAY(layout_event, struct event, 1);
struct key {
	u32 pid;
	u16 port;
};
struct inside { u64 since; struct key key; };
BPF_HASH(by_key, struct key, u64, 77);
BPF_HASH(by_number, u32, struct inside, 5);
int on_event(void *ctx)
{
	struct key key = {};
	u64 one = 1;

	by_key.update(&key, &one);
	return 0;
}
"""


def test_maps_layouts_and_programs_of_a_real_build(capfd: pytest.CaptureFixture[str]) -> None:
    directory = os.getcwd()
    artifact = compile_source("shapes", SHAPES)
    assert artifact.maps == (MapSpec("by_key", 1, 8, 8, 77, 0), MapSpec("by_number", 1, 4, 16, 5, 0))
    event = artifact.layouts["event"]
    assert event == Layout(
        ("kind", "time", "ret", "port", "address", "comm", "stack", "stack_1", "stack_2"), "=B7xQiH16s16s2xQQQ"
    )
    assert artifact.layouts["by_key.key"] == Layout(("pid", "port"), "=IH2x")
    assert artifact.layouts["by_number.value"] == Layout(("since", "key_pid", "key_port"), "=QIH2x")
    assert [program.name for program in artifact.programs] == ["on_event"]
    assert capfd.readouterr() == ("", ""), "a library printed"
    assert os.getcwd() == directory


def test_a_result_larger_than_a_pipe_comes_through() -> None:
    functions = "".join(
        f"int on_event_{n}(void *ctx) {{ u64 x = bpf_ktime_get_ns(); {'x = x * 31 + (x >> 7);' * 400} return x; }}\n"
        for n in range(12)
    )
    artifact = compile_source("long", functions)
    assert sum(len(program.code) for program in artifact.programs) > 1 << 17


def test_this_process_does_not_take_the_compiler_in() -> None:
    compile_source("works", WORKS)
    assert "bcc" not in sys.modules
    maps = Path("/proc/self/maps").read_text()
    assert "libbcc" not in maps
    assert "LLVM" not in maps


def test_a_record_of_a_type_nobody_decodes_is_refused() -> None:
    source = "struct event { float x; };\nBPF_ARRAY(layout_event, struct event, 1);\n" + WORKS
    with pytest.raises(EbtopError, match=r"^a record can't be decoded: event\.x has the type float"):
        compile_source("odd", source)


def test_a_struct_before_other_members_is_refused() -> None:
    source = "struct in { u32 a; }; struct event { struct in in; u64 x; };\nBPF_ARRAY(layout_event, struct event, 1);\n"
    with pytest.raises(EbtopError, match=r"^a record can't be decoded: event\.in has the type"):
        compile_source("odd", source + WORKS)


def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """Have this run in the place of the compiler."""
    script = tmp_path / "child.py"
    script.write_text(text)
    monkeypatch.setattr(compiler, "_CHILD", script)


def test_without_bcc_the_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load = f"runpy.run_path({compile_child.__file__!r})"
    text = f"import runpy\nchild = {load}\nchild['find_bcc'].__globals__['BCC_LOCATIONS'] = ()\nchild['main']()\n"
    child(monkeypatch, tmp_path, text)
    with pytest.raises(EbtopError) as caught:
        compile_source("probe", WORKS)
    assert caught.value.line() == (
        "bpf/probe.c can't be built: bcc is not installed; apt-get install python3-bpfcc (dnf: python3-bcc)"
    )


def test_a_compiler_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()
    child(monkeypatch, tmp_path, "import time\ntime.sleep(99)")
    monkeypatch.setattr(compiler, "_TIMEOUT_S", 2)
    with pytest.raises(EbtopError, match=r"^building bpf/probe\.c took over 2 s; try again$"):
        compile_source("probe", WORKS)
    assert children.read_text() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the compiler ended with status -11"),
        ("import sys; sys.exit('chatter\\nthe last words')", "the last words"),
        ("pass", "the compiler ended with status 0"),
        (
            "import sys; sys.exit('could not open bpf map: x, error: Operation not permitted\\nFailed to compile')",
            "bcc makes maps while it compiles; build it as root, once",
        ),
    ],
)
def test_a_compiler_that_fails_leaves_its_last_words(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child(monkeypatch, tmp_path, text)
    with pytest.raises(EbtopError) as caught:
        compile_source("probe", WORKS)
    assert caught.value.line() == f"bpf/probe.c can't be built: {said}"


def test_no_room_for_temporary_files_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    monkeypatch.setattr(compiler, "_MEMORY", str(tmp_path / "absent"))
    with pytest.raises(EbtopError, match=r"^bpf/probe\.c can't be built: .*No usable temporary directory.*TMPDIR"):
        compile_source("probe", WORKS)


def test_memory_takes_temporary_files_that_no_disk_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    monkeypatch.setattr(compiler, "_MEMORY", str(tmp_path))
    assert [program.name for program in compile_source("probe", WORKS).programs] == ["on_event"]
    assert not list(tmp_path.iterdir())
