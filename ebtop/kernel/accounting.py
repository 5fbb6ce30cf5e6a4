"""What our own programs and maps cost, and whether they still exist. Only our objects are looked at."""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Iterable

from ebtop.kernel import syscall
from ebtop.kernel.syscall import Cmd

_STATS_RUN_TIME = 0
_POLL_S = 0.002
_FDINFO_MAX = 4096


class RunTimeStats:
    """Makes the kernel count run time and runs of BPF programs for as long as this object is open.

    BPF_ENABLE_STATS (Linux 5.8+) instead of the sysctl: it ends with the process, however that ends.
    """

    def __init__(self) -> None:
        self._fd = -1
        try:
            self._fd = syscall.bpf(Cmd.ENABLE_STATS, syscall.attr("=I", _STATS_RUN_TIME, size=4))
        except OSError:
            self.enabled = False
        else:
            self.enabled = True

    def close(self) -> None:
        """Stop counting, unless somebody else wants it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def fdinfo(fd: int) -> dict[str, str]:
    """/proc/self/fdinfo of a BPF file descriptor as a mapping."""
    # Read for every program once a second: half the cost of a file object, which decodes line by line.
    file = os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(file, _FDINFO_MAX).decode("ascii")
    finally:
        os.close(file)
    return dict([line.split(":\t", 1) for line in text.splitlines() if ":\t" in line])


def program_cost(fd: int) -> tuple[int, int, int, int]:
    """(id, runs, nanoseconds, runs skipped) of a program.

    Runs and nanoseconds stay 0 where the kernel does not count. Skipped are runs that would have interrupted a run
    of the same program on the same CPU (Linux 5.12+).
    """
    info = fdinfo(fd)
    return (
        int(info["prog_id"]),
        int(info.get("run_cnt", 0)),
        int(info.get("run_time_ns", 0)),
        int(info.get("recursion_misses", 0)),
    )


def map_use(fd: int) -> tuple[int, int]:
    """(id, bytes of kernel memory) of a map. Source: memlock, which follows use for maps that grow."""
    info = fdinfo(fd)
    return int(info["map_id"]), int(info.get("memlock", 0))


def program_id(fd: int) -> int:
    """The kernel's id of a program."""
    return int(fdinfo(fd)["prog_id"])


def map_id(fd: int) -> int:
    """The kernel's id of a map."""
    return int(fdinfo(fd)["map_id"])


def still_there(programs: Iterable[int], maps: Iterable[int]) -> tuple[str, ...]:
    """Those of the ids that the kernel still knows, as "prog 12" and "map 7"."""
    found = [f"prog {i}" for i in programs if _exists(Cmd.PROG_GET_NEXT_ID, i)]
    found += [f"map {i}" for i in maps if _exists(Cmd.MAP_GET_NEXT_ID, i)]
    return tuple(found)


def wait_until_gone(programs: list[int], maps: list[int], timeout_s: float) -> tuple[str, ...]:
    """Ids that remain after at most `timeout_s`; the kernel frees them a moment after the last close.

    Without CAP_SYS_ADMIN the kernel does not tell, and each is named as "prog 12 (not known)".
    """
    deadline = time.monotonic() + timeout_s
    try:
        while (left := still_there(programs, maps)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    except PermissionError:
        return tuple(f"{what} (not known)" for what in _names(programs, maps))
    return left


def _names(programs: Iterable[int], maps: Iterable[int]) -> list[str]:
    return [f"prog {i}" for i in programs] + [f"map {i}" for i in maps]


def _exists(command: Cmd, object_id: int) -> bool:
    """By asking for the id that follows the one before.

    Not by opening it: a program array that is opened while the kernel empties it is never freed.
    """
    attr = syscall.attr("=I", object_id - 1, size=12)
    try:
        syscall.bpf(command, attr)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    (following,) = struct.unpack_from("=I", attr, 4)
    return bool(following == object_id)
