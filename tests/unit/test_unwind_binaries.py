"""Opening what a process had mapped that nobody saw alive."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebtop.process.mappings import MappedFile, Mapping
from ebtop.unwind.binaries import Binaries

GONE = 1 << 22
"""A pid beyond what the kernel gives."""


def mapping(path: str, inode: int) -> Mapping:
    return Mapping(0x1000, 0x2000, 0, MappedFile(8, inode, os.fsencode(path), deleted=False))


def opens(binaries: Binaries, wanted: Mapping) -> bool:
    fd = binaries.open(GONE, wanted)
    if fd is None:
        return False
    os.close(fd)
    return True


def test_by_its_path_if_that_leads_to_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(b"")
    inode = path.stat().st_ino
    assert opens(Binaries(), mapping(str(path), inode))
    assert not opens(Binaries(), mapping(str(path), inode + 1))
    assert not opens(Binaries(), mapping(str(tmp_path), tmp_path.stat().st_ino))


def test_from_where_its_parent_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths of a container begin at its root."""
    binaries = Binaries()
    (tmp_path / "bin").mkdir()
    inside = tmp_path / "bin" / "program"
    inside.write_bytes(b"")
    wanted = mapping("/bin/program", inside.stat().st_ino)
    assert not opens(binaries, wanted)
    binaries.note_parent(GONE, os.getpid())
    assert not opens(binaries, wanted)
    real_open = os.open

    def chrooted(name: str | bytes, flags: int) -> int:
        return real_open(str(name).replace(f"/proc/{os.getpid()}/root", str(tmp_path)), flags)

    monkeypatch.setattr(os, "open", chrooted)
    assert opens(binaries, wanted)
