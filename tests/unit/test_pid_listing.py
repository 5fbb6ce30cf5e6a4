from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebtop.kernel.pid_listing import HOST_PID_NAMESPACE, all_pids


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """/proc as it is seen by a process of the root namespace."""
    for name in ("1", "7", "4194304", "self/ns", "sys", "7z"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "uptime").touch()
    (tmp_path / "self/ns/pid").symlink_to(HOST_PID_NAMESPACE)
    return tmp_path


def test_every_process_is_listed(proc: Path) -> None:
    assert all_pids(str(proc)) == {1, 7, 4194304}


def test_another_pid_namespace_says_nothing(proc: Path) -> None:
    (proc / "self/ns/pid").unlink()
    (proc / "self/ns/pid").symlink_to("pid:[4026532001]")
    assert all_pids(str(proc)) is None


def test_processes_of_others_that_are_hidden_are_not_gone(proc: Path) -> None:
    (proc / "1").rmdir()
    assert all_pids(str(proc)) is None


def test_a_proc_that_is_not_there_says_nothing(proc: Path, tmp_path: Path) -> None:
    assert all_pids(str(tmp_path / "none")) is None
    (proc / "self/ns/pid").unlink()
    assert all_pids(str(proc)) is None


def test_this_process_is_listed_where_the_namespace_is_the_nodes() -> None:
    found = all_pids()
    if os.readlink("/proc/self/ns/pid") == HOST_PID_NAMESPACE and Path("/proc/1").exists():
        assert found is not None
        assert {1, os.getpid(), os.getppid()} <= found
    else:
        assert found is None
