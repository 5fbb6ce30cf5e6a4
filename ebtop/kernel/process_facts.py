"""Who a process is, from /proc."""

from __future__ import annotations

import contextlib
import os
import time
from typing import NamedTuple

from ebtop.kernel.cgroups import CgroupHierarchy
from ebtop.store.source import ProcessFacts
from ebtop.store.user_names import UserNames
from ebtop.text import clean, printable

_MAX_BYTES = 64 << 10
"""Of any file; of a longer command line the beginning."""
_MAX_PARENTS = 64
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class _Stat(NamedTuple):
    """What counts of /proc/PID/stat."""

    comm: str
    ppid: int
    cpu_ns: int
    threads: int
    started_ns: int
    """Since boot."""
    rss_bytes: int


class ProcessReader:
    """Reads facts of processes, from any thread."""

    def __init__(self, hierarchy: CgroupHierarchy, users: UserNames | None = None, proc: str = "/proc") -> None:
        """`hierarchy` is the one that records' cgroups are in."""
        self._hierarchy = hierarchy
        self._users = users or UserNames()
        self._proc = proc

    def read(self, pid: int) -> ProcessFacts | None:
        """None when there is no such process (any more). Of a zombie little is left: no command line, no program.

        What can't be read, for want of privileges or in a race with its end, is None or empty.
        """
        try:
            # Everything is read through one descriptor: a number that is given to another process meanwhile reads as
            # gone, never as a mixture of both.
            directory = os.open(f"{self._proc}/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            stat = _parse_stat(_read("stat", directory))
            if stat is None:
                return None
            uid = os.fstat(directory).st_uid
            with contextlib.suppress(OSError, IndexError, ValueError):
                # The folder's owner is root for a process that may not be traced.
                uid = int(_read("status", directory).partition(b"\nUid:")[2].split(None, 1)[0])
            return ProcessFacts(
                pid=pid,
                comm=stat.comm,
                args=_arguments(directory),
                exe=_program(directory),
                user=self._users.name(uid),
                uid=uid,
                cgroup=self._cgroup(directory),
                started_ns=time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME) + stat.started_ns,
                parents=self._parents(pid, stat.ppid),
                threads=stat.threads,
                rss_bytes=stat.rss_bytes,
                cpu_ns=stat.cpu_ns,
            )
        except OSError:
            return None
        finally:
            os.close(directory)

    def _cgroup(self, directory: int) -> str | None:
        with contextlib.suppress(OSError):
            for line in _read("cgroup", directory).split(b"\n"):
                _, _, rest = os.fsdecode(line).partition(":")
                controllers, _, path = rest.partition(":")
                if path and self._hierarchy.controller in controllers.split(","):
                    return clean(path)
        return None

    def _parents(self, pid: int, ppid: int) -> tuple[tuple[int, str], ...]:
        """One whose parent ended meanwhile belongs to another: a chain that is read while it changes could close."""
        parents: dict[int, str] = {}
        while ppid and ppid != pid and ppid not in parents and len(parents) < _MAX_PARENTS:
            try:
                with open(f"{self._proc}/{ppid}/stat", "rb") as file:
                    stat = _parse_stat(file.read(_MAX_BYTES))
            except OSError:
                break
            if stat is None:
                break
            parents[ppid] = stat.comm
            ppid = stat.ppid
        return tuple(parents.items())


def _parse_stat(raw: bytes) -> _Stat | None:
    """The name stands in parentheses and may hold any, and line breaks."""
    head, _, tail = raw.rpartition(b")")
    fields = tail.split()
    try:
        return _Stat(
            comm=printable(head.partition(b"(")[2]),
            ppid=int(fields[1]),
            cpu_ns=(int(fields[11]) + int(fields[12])) * _TICK_NS,
            threads=int(fields[17]),
            started_ns=int(fields[19]) * _TICK_NS,
            rss_bytes=max(0, int(fields[21])) * _PAGE,
        )
    except (IndexError, ValueError):
        return None


def _arguments(directory: int) -> tuple[str, ...]:
    """A process may have written anything over its own, and drop the end of the last one."""
    try:
        raw = _read("cmdline", directory).rstrip(b"\0")
    except OSError:
        return ()
    return tuple([printable(argument) for argument in raw.split(b"\0")]) if raw else ()


def _program(directory: int) -> str | None:
    try:
        return clean(os.readlink("exe", dir_fd=directory)) or None
    except OSError:
        return None


def _read(name: str, directory: int) -> bytes:
    """At most _MAX_BYTES."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        parts: list[bytes] = []
        size = 0
        while size < _MAX_BYTES and (part := os.read(fd, _MAX_BYTES - size)):
            parts.append(part)
            size += len(part)
        return b"".join(parts)
    finally:
        os.close(fd)
