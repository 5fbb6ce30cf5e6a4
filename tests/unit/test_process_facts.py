"""Who a process is, from a made-up /proc and from the running one."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ebtop.kernel.cgroups import CgroupHierarchy
from ebtop.kernel.process_facts import ProcessReader
from ebtop.store.source import ProcessFacts
from ebtop.store.user_names import UserNames

UNIFIED = CgroupHierarchy("/sys/fs/cgroup", "")
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Proc:
    """A made-up /proc."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "passwd").write_text("root:x:0:0::/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n")

    def add(self, pid: int, ppid: int, comm: bytes = b"prog", **files: bytes) -> Path:
        """A process with 3 threads, 7 s + 5 s of CPU time, started 100 s after boot, 10 pages in memory."""
        folder = self.path / str(pid)
        folder.mkdir()
        numbers = [b"0"] * 30
        for position, value in ((0, ppid), (10, 7 * TICK), (11, 5 * TICK), (16, 3), (18, 100 * TICK), (20, 10)):
            numbers[position] = str(value).encode()
        (folder / "stat").write_bytes(b"%d (%s) S %s\n" % (pid, comm, b" ".join(numbers)))
        (folder / "status").write_bytes(b"Name:\tx\nUid:\t1000\t1000\t1000\t1000\n")
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return folder

    def read(self, pid: int, hierarchy: CgroupHierarchy = UNIFIED) -> ProcessFacts | None:
        return ProcessReader(hierarchy, UserNames(str(self.path / "passwd")), str(self.path)).read(pid)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def found(facts: ProcessFacts | None) -> ProcessFacts:
    assert facts is not None
    return facts


def test_a_process(proc: Proc) -> None:
    proc.add(1, 0, b"init")
    proc.add(20, 1, b"sh")
    folder = proc.add(
        300, 20, b"nginx", cmdline=b"nginx\0-g\0daemon off;\0", cgroup=b"0::/system.slice/nginx.service\n"
    )
    (folder / "exe").symlink_to("/usr/sbin/nginx")
    facts = found(proc.read(300))
    booted_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert facts.started_ns is not None
    assert abs(facts.started_ns - booted_ns - 100 * 10**9) < 10**9
    assert facts == ProcessFacts(
        pid=300, comm="nginx", args=("nginx", "-g", "daemon off;"), exe="/usr/sbin/nginx", user="ann", uid=1000,
        cgroup="/system.slice/nginx.service", started_ns=facts.started_ns, parents=((20, "sh"), (1, "init")),
        threads=3, rss_bytes=10 * PAGE, cpu_ns=12 * 10**9,
    )  # fmt: skip


@pytest.mark.parametrize("comm", [b"a b", b"a) S 1 (b", b"((", b"))", b"a\nb", b""])
def test_any_name_leaves_the_figures_right(proc: Proc, comm: bytes) -> None:
    proc.add(7, 1, comm)
    facts = found(proc.read(7))
    assert facts.comm == comm.decode().replace("\n", "\\x0a")
    assert facts.threads == 3


def test_hostile_text_comes_out_printable(proc: Proc) -> None:
    hostile = b"\x1b[31m\xff\n"
    folder = proc.add(7, 8, hostile, cmdline=hostile + b"\0", cgroup=b"0::/" + hostile.strip() + b"\n")
    (folder / "exe").symlink_to(os.fsdecode(hostile))
    proc.add(8, 0, hostile)
    facts = found(proc.read(7))
    for text in (facts.comm, *facts.args, facts.exe, facts.cgroup, facts.parents[0][1]):
        assert text is not None
        assert text.startswith(("\\x1b[31m\\xff", "/\\x1b[31m\\xff"))
        assert text.isprintable()


@pytest.mark.parametrize(
    ("raw", "args"),
    [
        (b"", ()),
        (b"\0\0", ()),
        (b"one\0", ("one",)),
        (b"a\0\0b\0", ("a", "", "b")),
        (b"nginx: worker process\0\0\0\0", ("nginx: worker process",)),
        (b"no end", ("no end",)),
    ],
)
def test_command_lines(proc: Proc, raw: bytes, args: tuple[str, ...]) -> None:
    proc.add(7, 1, cmdline=raw)
    assert found(proc.read(7)).args == args


def test_a_huge_command_line_is_cut(proc: Proc) -> None:
    proc.add(7, 1, cmdline=b"x" * 10**6)
    (argument,) = found(proc.read(7)).args
    assert len(argument) == 64 << 10


def test_the_cgroup_of_the_hierarchy_that_counts(proc: Proc) -> None:
    proc.add(7, 1, cgroup=b"9:cpu,memory:/v1:with:colons\n1:name=systemd:/other\n0::/v2\n")
    assert found(proc.read(7, CgroupHierarchy("/cg", "memory"))).cgroup == "/v1:with:colons"
    assert found(proc.read(7)).cgroup == "/v2"
    assert found(proc.read(7, CgroupHierarchy("/cg", "pids"))).cgroup is None


def test_what_can_not_be_read_is_not_known(proc: Proc) -> None:
    folder = proc.add(7, 1)
    (folder / "status").unlink()
    facts = found(proc.read(7))
    assert (facts.args, facts.exe, facts.cgroup, facts.parents) == ((), None, None, ())
    assert facts.uid == folder.stat().st_uid


@pytest.mark.parametrize("stat", [b"", b"7 (x) S 1", b"7 (x) S " + b"x " * 40, b"garbage"])
def test_a_process_that_ends_while_it_is_read(proc: Proc, stat: bytes) -> None:
    (proc.add(7, 1) / "stat").write_bytes(stat)
    assert proc.read(7) is None
    (proc.path / "7" / "stat").unlink()
    assert proc.read(7) is None
    assert proc.read(4711) is None


def test_a_chain_of_parents_that_closes(proc: Proc) -> None:
    proc.add(7, 8)
    proc.add(8, 9)
    proc.add(9, 8)
    assert [pid for pid, _ in found(proc.read(7)).parents] == [8, 9]
    proc.add(10, 10)
    assert found(proc.read(10)).parents == ()


def test_a_long_chain_of_parents(proc: Proc) -> None:
    for pid in range(1, 200):
        proc.add(pid, pid - 1)
    assert len(found(proc.read(199)).parents) == 64


def test_user_names_follow_the_file(tmp_path: Path) -> None:
    file = tmp_path / "passwd"
    file.write_bytes(b"bad line\nann:x:1000:1000::/home/ann:/bin/sh\nann2:x:1000:1000::/x:/bin/sh\nx\x1b:x:5:5:::\n")
    users = UserNames(str(file))
    assert (users.name(1000), users.home(1000), users.name(5), users.name(0)) == ("ann", "/home/ann", "x\\x1b", None)
    assert (users.uid("ann"), users.uid("x\\x1b"), users.uid("nobody")) == (1000, 5, None)
    file.write_text("bob:x:1000:1000::/home/bob:/bin/sh\n")
    os.utime(file, ns=(1, 1))
    assert users.name(1000) == "bob"
    file.unlink()
    assert users.name(1000) == "bob"
    assert UserNames(str(tmp_path / "nothing")).name(0) is None


def test_this_process() -> None:
    facts = found(ProcessReader(CgroupHierarchy.detect()).read(os.getpid()))
    assert facts.exe == os.path.realpath(sys.executable)
    assert facts.args[0] == Path("/proc/self/cmdline").read_text().split("\0")[0]
    assert (facts.uid, facts.user) == (os.getuid(), pwd.getpwuid(os.getuid()).pw_name)
    assert facts.parents[0][0] == os.getppid()
    assert facts.started_ns is not None
    assert 0 < time.time_ns() - facts.started_ns < 3600 * 10**9
    assert facts.rss_bytes is not None
    assert facts.rss_bytes > 1 << 20


def test_a_zombie() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        facts = found(ProcessReader(CgroupHierarchy.detect()).read(child.pid))
        assert (facts.comm, facts.args, facts.exe, facts.rss_bytes) == ("true", (), None, 0)
        assert facts.parents[0][0] == os.getpid()
    assert ProcessReader(CgroupHierarchy.detect()).read(child.pid) is None
