"""Open the file behind a mapping: of a container, deleted, or of a process that has ended."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from ebtop.process.identity import mount_namespace
from ebtop.process.mappings import Mapping
from ebtop.process.processes import Process, Processes

# Never wait for a FIFO that took the file's place, never become its terminal.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def open_mapped(processes: Processes, process: Process, mapping: Mapping) -> tuple[int, str] | None:
    """A file descriptor, the caller's to close, and the root directory its path begins at.

    None when it can not be had. A path is only taken when the file there still has the mapped inode.
    """
    for path, root, exact in _places(processes, process, mapping):
        try:
            # Looked at first, for opening a device can do things.
            if not _is_mapped(os.stat(path), mapping, exact):
                continue
            fd = os.open(path, _FLAGS)
        except (OSError, ValueError):
            continue
        if _is_mapped(os.fstat(fd), mapping, exact):
            return fd, root
        os.close(fd)
    return None


def why_not_opened(process: Process, mapping: Mapping) -> str:
    """What stood in the way of `open_mapped`, in a few words."""
    try:
        os.stat(f"/proc/{process.pid}/map_files")
        os.stat(f"/proc/{process.pid}/map_files/{mapping.start:x}-{mapping.end:x}")
    except PermissionError:
        return "no permission: it takes root, or CAP_SYS_ADMIN"
    except OSError as error:
        reason = (error.strerror or "").lower()
        return f"it was deleted: {reason}" if mapping.file.deleted else f"in its mount namespace: {reason}"
    return "it is no file any more that can be opened"


def _is_mapped(status: os.stat_result, mapping: Mapping, exact: bool) -> bool:
    # The device is not compared: btrfs and overlayfs show another one in maps than in stat.
    return stat.S_ISREG(status.st_mode) and (exact or status.st_ino == mapping.file.inode)


def _places(processes: Processes, process: Process, mapping: Mapping) -> Iterator[tuple[str, str, bool]]:
    """(path, root, leads to the mapped file itself) of each place to look."""
    root = f"/proc/{process.pid}/root"
    path = os.fsdecode(mapping.file.path)
    if process.alive:
        yield f"/proc/{process.pid}/map_files/{mapping.start:x}-{mapping.end:x}", root, True
    if mapping.file.deleted:
        return
    if process.alive:
        yield root + path, root, False
    if process.mount_ns and process.mount_ns == mount_namespace("self"):
        yield path, "", False
    for sibling in processes.in_mount_namespace(process.mount_ns):
        yield f"/proc/{sibling}/root{path}", f"/proc/{sibling}/root", False
