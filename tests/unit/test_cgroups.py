from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebtop.errors import EbtopError
from ebtop.kernel import cgroups
from ebtop.kernel.cgroups import CgroupHierarchy, CgroupNames, subtree_ids

WEB, DB = "ab" * 32, "abc" + "d" * 61
UNIFIED = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"
HYBRID = (
    "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
    "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
    "cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n"
    "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
    "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
)


@pytest.mark.parametrize(
    ("mounts", "found"),
    [
        (UNIFIED, ("/sys/fs/cgroup", "")),
        (HYBRID, ("/sys/fs/cgroup/memory", "memory")),
        (HYBRID.replace("rw,memory", "rw,pids"), ("/sys/fs/cgroup/memory", "pids")),
        ("cgroup /cg/cpu cgroup rw,cpu,cpuacct 0 0\n", ("/cg/cpu", "cpu")),
        (UNIFIED + "cgroup2 /mnt/second cgroup2 rw 0 0\n", ("/sys/fs/cgroup", "")),
        ("proc /proc proc rw 0 0\n", ("/sys/fs/cgroup", "")),
        ("too short\n", ("/sys/fs/cgroup", "")),
        ("", ("/sys/fs/cgroup", "")),
    ],
)
def test_which_hierarchy_counts(tmp_path: Path, mounts: str, found: tuple[str, str]) -> None:
    file = tmp_path / "mounts"
    file.write_text(mounts)
    assert CgroupHierarchy.detect(str(file)) == CgroupHierarchy(*found)


def test_no_mount_table(tmp_path: Path) -> None:
    assert CgroupHierarchy.detect(str(tmp_path / "nothing")) == CgroupHierarchy("/sys/fs/cgroup", "")


@pytest.fixture
def hierarchy(tmp_path: Path) -> CgroupHierarchy:
    """As a unified one, with two containers."""
    for path in ("system.slice/ssh.service", f"system.slice/docker-{WEB}.scope/init", f"kubepods/pod1/{DB}"):
        (tmp_path / path).mkdir(parents=True)
    for directory in [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]:
        (directory / "cgroup.procs").touch()
    return CgroupHierarchy(str(tmp_path), "")


def inode(hierarchy: CgroupHierarchy, path: str) -> int:
    return os.stat(hierarchy.mount + path).st_ino


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    standing = Clock()
    monkeypatch.setattr("time.monotonic", standing)
    return standing


@pytest.mark.usefixtures("clock")
def test_paths_by_id(hierarchy: CgroupHierarchy) -> None:
    names = CgroupNames(hierarchy)
    assert names.path(inode(hierarchy, "/system.slice/ssh.service")) == "/system.slice/ssh.service"
    assert names.path(inode(hierarchy, "")) == "/"
    assert names.path(0) is None
    assert names.path(1 << 60) is None


def test_a_new_cgroup_is_found_and_a_gone_one_is_kept(hierarchy: CgroupHierarchy, clock: Clock) -> None:
    names = CgroupNames(hierarchy)
    assert names.path(1) is None
    new = Path(hierarchy.mount, "new")
    new.mkdir()
    made = inode(hierarchy, "/new")
    assert names.path(made) is None, "looked for again only a while after the last time"
    clock.now += 60
    assert names.path(made) == "/new"
    new.rmdir()
    clock.now += 60
    assert names.path(2) is None
    assert names.path(made) == "/new"


def test_an_unknown_id_does_not_scan_each_time(
    hierarchy: CgroupHierarchy, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = CgroupNames(hierarchy)
    scans = []
    monkeypatch.setattr(cgroups, "directories", lambda top: scans.append(top) or [])
    for unknown in range(1, 1000):
        names.path(unknown)
    assert len(scans) == 1
    clock.now += 60
    names.path(1)
    assert len(scans) == 2


def test_a_name_with_escapes_is_made_printable(tmp_path: Path, clock: Clock) -> None:
    hostile = os.fsencode(tmp_path) + b"/a\x1b[31m\xff"
    os.mkdir(hostile)
    names = CgroupNames(CgroupHierarchy(str(tmp_path), ""))
    assert names.path(os.stat(hostile).st_ino) == "/a\\x1b[31m\\xff"


@pytest.mark.parametrize("form", ["/system.slice", "system.slice", "{mount}/system.slice", "/system.slice/"])
def test_a_subtree_by_any_form_of_its_path(hierarchy: CgroupHierarchy, form: str) -> None:
    below = ("", "/ssh.service", f"/docker-{WEB}.scope", f"/docker-{WEB}.scope/init")
    wanted = {inode(hierarchy, f"/system.slice{path}") for path in below}
    assert subtree_ids(hierarchy, form.format(mount=hierarchy.mount)) == wanted


@pytest.mark.parametrize("path", ["/", ""])
def test_everything(hierarchy: CgroupHierarchy, path: str) -> None:
    assert len(subtree_ids(hierarchy, path)) == 8


@pytest.mark.parametrize(
    "path", ["/nothing", "../..", "/system.slice/../../..", "/system.slice/cgroup.procs", "\x1b[2J"]
)
def test_what_is_no_cgroup_is_refused(hierarchy: CgroupHierarchy, path: str) -> None:
    with pytest.raises(EbtopError, match=r"^there is no cgroup ") as caught:
        subtree_ids(hierarchy, path)
    assert caught.value.line().isprintable()


def test_a_directory_beside_the_hierarchy_with_the_same_beginning_is_outside(hierarchy: CgroupHierarchy) -> None:
    beside = Path(hierarchy.mount + "-other")
    beside.mkdir()
    (beside / "cgroup.procs").touch()
    with pytest.raises(EbtopError):
        subtree_ids(hierarchy, f"/../{beside.name}")
