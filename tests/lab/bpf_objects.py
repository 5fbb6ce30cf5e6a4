"""Which BPF programs, maps and links exist, from the kernel and not from ebtop."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
_NEXT_ID = {"prog": 11, "map": 12, "link": 31}
"""BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID, BPF_LINK_GET_NEXT_ID."""
FREED_WITHIN_S = 5.0
"""The kernel frees objects after an RCU grace period, and maps from a work queue."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class BpfObjects:
    """Ids of programs, maps and links."""

    programs: set[int] = field(default_factory=set)
    maps: set[int] = field(default_factory=set)
    links: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.programs or self.maps or self.links)

    def __and__(self, other: BpfObjects) -> BpfObjects:
        return BpfObjects(self.programs & other.programs, self.maps & other.maps, self.links & other.links)

    def __sub__(self, other: BpfObjects) -> BpfObjects:
        return BpfObjects(self.programs - other.programs, self.maps - other.maps, self.links - other.links)


def loaded() -> BpfObjects:
    """All of the kernel's. Needs CAP_SYS_ADMIN. Source: bpf(2) BPF_*_GET_NEXT_ID."""
    return BpfObjects(_ids("prog"), _ids("map"), _ids("link"))


def held_by(pid: int) -> BpfObjects:
    """Those that a process holds file descriptors of. Source: /proc/PID/fdinfo."""
    objects = BpfObjects()
    for info in descriptors(pid):
        if "link_id" in info:
            objects.links.add(int(info["link_id"]))
        elif "map_id" in info:
            objects.maps.add(int(info["map_id"]))
        elif "prog_id" in info:
            objects.programs.add(int(info["prog_id"]))
    return objects


def descriptors(pid: int) -> list[dict[str, str]]:
    """The fields of every fdinfo of a process; descriptors that closed meanwhile are left out."""
    found = []
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            lines = entry.read_text().splitlines()
        except FileNotFoundError:
            continue
        pairs = (line.partition(":") for line in lines)
        found.append({name: value.strip() for name, _, value in pairs})
    return found


def assert_gone(objects: BpfObjects) -> None:
    """AssertionError if one of them still exists when the kernel has had the time to free it."""
    assert objects, "nothing was loaded, so nothing can be shown to be gone"
    deadline = time.monotonic() + FREED_WITHIN_S
    while (left := loaded() & objects) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, f"still loaded: {left}"


def bpf(command: int, attribute: bytes) -> int:
    """bpf(2) with the C layout of `attribute`; returns the descriptor or 0. Raises OSError."""
    buffer = ctypes.create_string_buffer(attribute, len(attribute))
    return _bpf(command, buffer)


def _bpf(command: int, attribute: ctypes.Array[Any]) -> int:
    result: int = _libc.syscall(_BPF_SYSCALL, command, attribute, ctypes.sizeof(attribute))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"bpf command {command}: {os.strerror(error)}")
    return result


def _ids(kind: str) -> set[int]:
    attribute = (ctypes.c_uint32 * 4)()
    found = set()
    while _found_next(kind, attribute):
        attribute[0] = attribute[1]
        found.add(attribute[0])
    return found


def _found_next(kind: str, attribute: ctypes.Array[ctypes.c_uint32]) -> bool:
    try:
        _bpf(_NEXT_ID[kind], attribute)
    except FileNotFoundError:
        return False
    return True
