"""What people type wrongly, what nodes lack, and what processes are called: a clear line or a clean value each."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import execs
from tests.lab.tracing import EBTOP, Ended, Trace, ebtop

pytestmark = pytest.mark.usefixtures("root")

SHORT = ("trace", "exec", "--json", "--duration", "300ms")


def assert_one_line(ended: Ended, code: int, *words: str) -> None:
    """Said in one line what, and ended as the contract says."""
    assert len(ended.said) == 1, ended.err
    (line,) = ended.said
    assert line.startswith("ebtop: ")
    assert all(word in line for word in words), line
    assert ended.code == code
    assert "Traceback" not in ended.err


def shell(script: str, *, private: bool = False) -> Ended:
    """Run a script, in which $ebtop is the program; `private`: with mounts that only it can see."""
    command = ["unshare", "--mount", "sh", "-c", script] if private else ["sh", "-c", script]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "ebtop": str(EBTOP)},
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trace", "bogus"), ("'bogus'", "cpu, exec, tcp")),
        (("trace", "exec,(sockets)"), ("'(sockets)'",)),
        (("trace", ","), ("no probe named",)),
        (("trace",), ("required",)),
        (("trace", "cpu", "--rate", "0"), ("0 times a second",)),
        (("trace", "cpu", "--rate", "-1"), ("-1",)),
        (("trace", "cpu", "--rate", "1000000000"), ("1000000000 times a second",)),
        (("trace", "cpu", "--rate", "1e9"), ("1e9",)),
        (("trace", "cpu", "--rate", "abc"), ("abc",)),
        (("trace", "exec", "--duration", "0"), ("'0' is not a time",)),
        (("trace", "exec", "--duration", "-5"), ("-5",)),
        (("trace", "exec", "--duration", "5 parsecs"), ("parsecs",)),
        (("trace", "exec", "--duration", "1e99"), ("1e99",)),
        (("trace", "exec", "--duration", "99999999999h"), ("99999999999h",)),
        (("trace", "cpu", "--interval", "nan"), ("nan",)),
        (("trace", "exec", "--pid", "0"), ("'0' is not a pid",)),
        (("trace", "exec", "--pid", "1,x"), ("'x' is not a pid",)),
        (("trace", "exec", "--pid", "99999999999999999999"), ("is not a pid",)),
        (("trace", "exec", "--pid", "²"), ("is not a pid",)),
        (("trace", "exec", "--pid", ""), ("is not a pid",)),
        (("trace", "exec", "--children"), ("--pid",)),
        (("trace", "connects", "--min-latency", "nan"), ("nan",)),
        (("trace", "connects", "--min-latency", "-1"), ("-1",)),
        (("trace", "connects", "--min-latency", "inf"), ("inf",)),
        (("trace", "exec", "--frobnicate"), ("--frobnicate",)),
        (("frobnicate",), ("frobnicate",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage(arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    ended = ebtop(*arguments)
    assert_one_line(ended, 2, *words)
    assert ended.out == ""


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--cgroup", "/no/such/cgroup", ("no cgroup /no/such/cgroup",)),
        ("--cgroup", "/../../../etc", ("no cgroup",)),
        ("--cgroup", "/\x1b[31mred", ("\\x1b[31mred",)),
        ("--container", "abc", ("no container or pod is called abc",)),
        ("--container", "0123456789abcdef", ("no container or pod is called 0123456789abcdef",)),
    ],
)
def test_what_is_not_there(option: str, value: str, words: tuple[str, ...]) -> None:
    ended = ebtop("trace", "exec", option, value)
    assert_one_line(ended, 1, *words)
    assert "\x1b" not in ended.err


def test_escape_sequences_in_arguments_do_not_reach_the_terminal() -> None:
    for arguments in (("trace", "\x1b]0;x\x07"), ("trace", "exec", "--pid", "\x1b[2J"), ("trace", "exec", "--\x1b[2J")):
        ended = ebtop(*arguments)
        assert ended.code == 2
        assert "\x1b" not in ended.err


def test_a_screen_without_a_terminal() -> None:
    assert_one_line(ebtop(), 1, "needs a terminal", "ebtop trace")


def test_a_closed_standard_output() -> None:
    assert_one_line(shell(f'exec "$ebtop" {shlex.join(SHORT)} >&-'), 1, "standard output is closed")


def test_a_closed_standard_error_keeps_the_data_clean(tmp_path: Path) -> None:
    ended = shell(f'XDG_CACHE_HOME={tmp_path} exec "$ebtop" {shlex.join(SHORT)} 2>&-')
    assert ended.code == 0
    assert [line["type"] for line in ended.objects][:1] == ["ready"]


def test_all_standard_descriptors_closed() -> None:
    assert shell(f'"$ebtop" {shlex.join(SHORT)} <&- >&- 2>&-; exit $?').code == 1


def test_a_full_disk_under_standard_output() -> None:
    assert_one_line(shell(f'exec "$ebtop" {shlex.join(SHORT)} >/dev/full'), 1, "can't write", "No space left")


def test_a_deleted_working_directory(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    ended = shell(f'cd {gone} && rmdir {gone} && exec "$ebtop" {shlex.join(SHORT)}')
    assert ended.code == 0
    assert [line for line in ended.said if "getcwd() failed" not in line] == [], "the shell says it, we need not"
    assert ended.objects[0]["type"] == "ready"


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ("mount --bind /dev/null /sys/kernel/btf/vmlinux", ("exec, tcp", "BTF can't be read")),
        ("mount -t tmpfs none /sys/kernel/btf", ("exec, tcp", "types can't be read", "CONFIG_DEBUG_INFO_BTF")),
    ],
)
def test_no_btf(mount: str, words: tuple[str, ...]) -> None:
    ended = shell(f'{mount} && exec "$ebtop" trace exec,tcp --json', private=True)
    assert_one_line(ended, 1, *words)
    assert [(line["type"], line["probe"]) for line in ended.objects] == [
        ("probe-failed", "exec"), ("probe-failed", "tcp"),
    ]  # fmt: skip


HIDE_TRACEFS = "for at in /sys/kernel/tracing /sys/kernel/debug; do mount -t tmpfs none $at 2>/dev/null; done"
FEW_CAPABILITIES = "setpriv --bounding-set=-all,+bpf,+perfmon,+dac_override,+dac_read_search --inh-caps=-all"


def test_tracefs_that_is_not_mounted_is_not_needed() -> None:
    ended = shell(f'{HIDE_TRACEFS}; exec "$ebtop" {shlex.join(SHORT)}', private=True)
    assert (ended.code, ended.err) == (0, "")
    assert not any("failed execs are not seen" in note for note in ended.objects[-1]["notes"])


def test_a_tracefs_out_of_reach_is_a_blind_spot_and_no_more() -> None:
    """Neither mounted, nor the right to mount it: failed execs need it, the others do not."""
    ended = shell(f'{HIDE_TRACEFS}; exec {FEW_CAPABILITIES} "$ebtop" {shlex.join(SHORT)}', private=True)
    assert (ended.code, ended.err) == (0, "")
    assert ended.objects[0] == {"type": "ready", "probes": ["exec"]}
    (note,) = ended.objects[-1]["notes"]
    assert note == "failed execs are not seen: Operation not permitted"


def test_the_capabilities_that_are_named_are_enough() -> None:
    probes = "cpu,exec,tcp,retransmits,connects"
    ended = shell(f'exec {FEW_CAPABILITIES} "$ebtop" trace {probes} --json --duration 1s')
    assert ended.code == 0, ended.err
    assert ended.objects[0] == {"type": "ready", "probes": probes.split(",")}
    assert "Traceback" not in ended.err


def test_root_without_capabilities_is_told_so() -> None:
    ended = shell(f'exec setpriv --bounding-set=-all --inh-caps=-all "$ebtop" {shlex.join(SHORT)}')
    assert_one_line(ended, 1, "CAP_BPF", "CAP_PERFMON")


def test_another_user_is_told_so() -> None:
    ended = shell(f'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$ebtop" {shlex.join(SHORT)}')
    assert_one_line(ended, 1, "root", "sudo")
    ended = shell('exec setpriv --reuid=65534 --regid=65534 --clear-groups "$ebtop" trace bogus')
    assert ended.code in (1, 2)
    assert len(ended.said) == 1


REFUSE_BPF = """
import ctypes, errno, os, platform, struct, sys
nr = {"x86_64": 321, "aarch64": 280}[platform.machine()]
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, nr), (0x06, 0, 0, 0x00050000 | errno.EPERM), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_container_that_forbids_bpf_is_told_so() -> None:
    """As the seccomp profiles of container runtimes do."""
    ended = ebtop("trace", "exec", "--json", before=(sys.executable, "-c", REFUSE_BPF))
    assert_one_line(ended, 1, "exec: the kernel refused the map", "Operation not permitted", "ebtop doctor")


@pytest.mark.parametrize(
    "mount",
    [
        "mount -t tmpfs -o size=16k none $XDG_CACHE_HOME; dd if=/dev/zero of=$XDG_CACHE_HOME/x 2>/dev/null",
        "mount -t tmpfs -o ro none $XDG_CACHE_HOME",
    ],
    ids=["full", "read-only"],
)
def test_a_cache_that_takes_nothing_costs_a_line(mount: str, tmp_path: Path) -> None:
    script = f'export XDG_CACHE_HOME={tmp_path}; {mount}; exec "$ebtop" trace exec,connects --json --duration 300ms'
    ended = shell(script, private=True)
    assert ended.code == 0
    assert ended.objects[0] == {"type": "ready", "probes": ["exec", "connects"]}
    first, second, third = ended.said
    assert (first, third) == ("ebtop: building bpf/exec.c", "ebtop: building bpf/connects.c")
    assert second.startswith(f"ebtop: {tmp_path}/ebtop/bpf can't be written (")


def test_a_damaged_artifact_is_built_again(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    assert ebtop(*SHORT, env=environment).code == 0
    (entry,) = (tmp_path / "ebtop" / "bpf").iterdir()
    entry.write_bytes(entry.read_bytes()[:1000])
    ended = ebtop(*SHORT, env=environment)
    assert ended.code == 0
    assert len(ended.said) == 2
    assert "is not usable (damaged" in ended.said[0]
    assert ended.said[1] == "ebtop: building bpf/exec.c"
    assert ebtop(*SHORT, env=environment).said == []


def test_a_hostile_name_comes_out_harmless() -> None:
    with Trace("exec") as trace:
        case = execs.exec_case("hostile-name")
        out = trace.end(signal.SIGINT)
    lines = [line for line in out.objects if line.get("pid") == case.pid and line["type"] in ("exec", "exit")]
    assert {line["type"] for line in lines} == {"exec", "exit"}
    assert out.out.isascii()
    for line in lines:
        texts = [line["comm"], *line.get("args", ()), line.get("filename", "")]
        assert all(text.isprintable() for text in texts)
    assert any("\\x1b" in line["comm"] for line in lines)


def test_a_huge_argv_is_cut_and_measured() -> None:
    with Trace("exec") as trace:
        case = execs.exec_case("huge-argv")
        lines = trace.end(signal.SIGINT).objects
    (line,) = [line for line in lines if line.get("pid") == case.pid and line["type"] == "exec"]
    read = sum(len(arg.encode()) + 1 for arg in line["args"])
    assert case.args_bytes > 300_000
    assert line["args_truncated"] > 0
    assert read - 1 <= case.args_bytes - line["args_truncated"] <= read
    assert line["args"][0].encode() == case.args[0]
