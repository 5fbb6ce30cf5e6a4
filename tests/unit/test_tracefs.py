from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebtop.kernel import tracefs
from ebtop.kernel.tracefs import Tracefs, TracepointField, parse_format

FORMAT = """name: sys_enter_execve
ID: 779
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:int __syscall_nr;	offset:8;	size:4;	signed:1;
	field:const char * filename;	offset:16;	size:8;	signed:0;
	field:const char *const * argv;	offset:24;	size:8;	signed:0;
	field:char comm[16];	offset:32;	size:16;	signed:0;
	field:__data_loc char[] name;	offset:48;	size:4;	signed:0;
	field:char *pointer;	offset:56;	size:8;	signed:0;

print fmt: "filename: 0x%08lx", ((unsigned long)(REC->filename))
"""


def test_fields_by_name() -> None:
    fields = parse_format(FORMAT)
    assert fields["filename"] == TracepointField(16, 8)
    assert fields["argv"] == TracepointField(24, 8)
    assert fields["comm"] == TracepointField(32, 16)
    assert fields["name"] == TracepointField(48, 4)
    assert fields["pointer"] == TracepointField(56, 8)
    assert fields["common_pid"] == TracepointField(4, 4)
    assert len(fields) == 8


@pytest.mark.parametrize("text", ["", "garbage", "field:int x; offset:a; size:4;", "\x00" * 100])
def test_what_is_no_format_has_no_fields(text: str) -> None:
    assert parse_format(text) == {}


def made_up(directory: Path) -> Path:
    event = directory / "events" / "syscalls" / "sys_enter_execve"
    event.mkdir(parents=True)
    (directory / "events" / "sched").mkdir()
    (event / "id").write_text("779\n")
    (event / "format").write_text(FORMAT)
    return directory


def test_the_first_that_is_mounted_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    there = made_up(tmp_path / "tracing")
    monkeypatch.setattr(tracefs, "MOUNT_POINTS", (str(tmp_path / "empty"), str(there)))
    with Tracefs.open() as opened:
        assert opened.where == str(there)
        assert opened.event_id("syscalls:sys_enter_execve") == 779
        assert opened.fields("syscalls:sys_enter_execve")["filename"].offset == 16
        with pytest.raises(FileNotFoundError):
            opened.event_id("syscalls:nothing")


def test_none_mounted_and_none_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(tracefs, "MOUNT_POINTS", (str(tmp_path),))
    monkeypatch.setattr("ebtop.kernel.syscall.detached_mount", refuse)
    with pytest.raises(PermissionError):
        Tracefs.open()


def test_closing_gives_the_descriptor_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracefs, "MOUNT_POINTS", (str(made_up(tmp_path)),))
    before = len(os.listdir("/proc/self/fd"))
    with Tracefs.open():
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before
