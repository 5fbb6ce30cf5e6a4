"""Open the file behind a mapping: of a container, deleted, or of a process that has ended."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from ebtop.process.identity import mount_namespace
from ebtop.process.mappings import Mapping
from ebtop.process.processes import Process, Processes

# Never wait for a FIFO that took the file's place, never become its terminal.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def open_mapped(processes: Processes, process: Process, mapping: Mapping) -> tuple[int, str] | None:
    """A file descriptor, the caller's to close, and the root directory its path begins at.

    None when it can not be had. A path is only taken when the file there still has the mapped inode.
    """
    # Looked at first, for opening a device can do things.
    for place, _ in _found(processes, process, mapping):
        try:
            fd = os.open(place.path, _FLAGS)
        except OSError:
            continue
        if _is_mapped(os.fstat(fd), mapping, place.proof):
            return fd, place.root
        os.close(fd)
    return None


def look_at_mapped(processes: Processes, process: Process, mapping: Mapping) -> os.stat_result | None:
    """What the file is, at a fifth of the price of opening it; None as there."""
    return next((status for _, status in _found(processes, process, mapping)), None)


def why_not_opened(process: Process, mapping: Mapping) -> str:
    """What stood in the way of `open_mapped`, in a few words."""
    try:
        os.stat(f"/proc/{process.pid}/map_files")
        os.stat(_mapped_at(process, mapping))
    except PermissionError:
        return "no permission: it takes root, or CAP_SYS_ADMIN"
    except OSError as error:
        reason = (error.strerror or "").lower()
        return f"it was deleted: {reason}" if mapping.file.deleted else f"in its mount namespace: {reason}"
    return "it is no file any more that can be opened"


class _Proof(Enum):
    """What has to be right about a file for it to be the mapped one."""

    PLACE = "the place leads to it and to nothing else"
    INODE = "its inode; the device is not compared, as btrfs and overlayfs show another one in maps than in stat"
    INODE_AND_DEVICE = "both: nothing says that the path is meant from here"


class _Place(NamedTuple):
    path: str
    root: str
    """Where the path of the mapping begins."""
    proof: _Proof


def _is_mapped(status: os.stat_result, mapping: Mapping, proof: _Proof) -> bool:
    if not stat.S_ISREG(status.st_mode):
        return False
    if proof is _Proof.PLACE:
        return True
    same_device = proof is _Proof.INODE or status.st_dev == mapping.file.device
    return status.st_ino == mapping.file.inode and same_device


def _found(processes: Processes, process: Process, mapping: Mapping) -> Iterator[tuple[_Place, os.stat_result]]:
    """Each place where the file is now, and what it is."""
    for place in _places(processes, process, mapping):
        try:
            status = os.stat(place.path)
        except (OSError, ValueError):
            continue
        if _is_mapped(status, mapping, place.proof):
            yield place, status


def _mapped_at(process: Process, mapping: Mapping) -> str:
    return f"/proc/{process.pid}/map_files/{mapping.start:x}-{mapping.end:x}"


def _places(processes: Processes, process: Process, mapping: Mapping) -> Iterator[_Place]:
    """Each place to look."""
    root = f"/proc/{process.pid}/root"
    path = os.fsdecode(mapping.file.path)
    if process.alive:
        yield _Place(_mapped_at(process, mapping), root, _Proof.PLACE)
    if mapping.file.deleted:
        return
    if process.alive:
        yield _Place(root + path, root, _Proof.INODE)
    if process.mount_ns and process.mount_ns == mount_namespace("self"):
        yield _Place(path, "", _Proof.INODE)
    for sibling in processes.in_mount_namespace(process.mount_ns):
        yield _Place(f"/proc/{sibling}/root{path}", f"/proc/{sibling}/root", _Proof.INODE)
    if not process.mount_ns:
        yield _Place(path, "", _Proof.INODE_AND_DEVICE)
