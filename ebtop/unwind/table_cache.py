"""Unwind tables of earlier runs, kept in the user's cache directory.

An entry is named after a hash of what its table was made of: the build id (without one: device, inode, time and
size), the headers and the bytes of .eh_frame. So a file that carries another one's build id can't give its table to
it. To hash that takes most of the time, so the entry has a second name (a link), after what the node's own file systems
say of a file, which nobody can make up. Entries hold a checksum, and count only when nobody else could write them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ebtop.kernel.compiler import cache_directory
from ebtop.process.elf import ElfFile, FileReader
from ebtop.unwind.eh_frame import find_eh_frame
from ebtop.unwind.rule import LAYOUT
from ebtop.unwind.table import PAGES_MAX, ROWS_MAX, UnwindTable, build

Log = Callable[[str], None]

BYTES_MAX = 64 << 20
"""Of all entries; those not used for longest go first."""
_FORMAT = 4
"""Counted up with every change of what tables hold."""
_HEADER = struct.Struct("=8sIIIIII")
"""Magic, first page, bytes of pages, rows and rules, functions left out, checksum of what follows."""
_MAGIC = b"ebtop-uw"
_ENTRY = re.compile(r"[0-9a-f]{40}\.table|[0-9a-f]{40}\.[0-9a-f]{16}\.new")
_ENTRY_MAX = _HEADER.size + 8 * PAGES_MAX + 4 * ROWS_MAX + LAYOUT.size * (1 << 16)
_SETTLED_S = 10
"""A file system tells two writes apart that are so far from each other."""
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class TableCache:
    """Tables of files: from disk, or built and put there. For one worker thread."""

    def __init__(self, directory: Path | None = None, bytes_max: int = BYTES_MAX, log: Log = lambda _: None) -> None:
        """`log` gets one line when tables can't be kept, once."""
        self._directory = directory or cache_directory().with_name("unwind")
        self._bytes_max = bytes_max
        self._log = log
        self._said = False

    def table(self, fd: int) -> UnwindTable:
        """The table of an open ELF file, which stays the caller's to close. Raises ElfError."""
        elf = ElfFile(FileReader(fd))
        by_file = _name_by_file(fd, elf)
        with self._opened() as directory:
            table = _load(directory, by_file) if directory is not None and by_file else None
            if table is not None:
                return table
            by_content = _name_by_content(fd, elf)
            table = _load(directory, by_content) if directory is not None else None
            if table is None:
                table = build(elf)
                if directory is not None:
                    self._store(directory, by_content, table)
            if directory is not None and by_file:
                _link(directory, by_content, by_file)
        return table

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """The cache directory; None when it can't be trusted or made."""
        directory = None
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o755)
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            if not _is_ours(os.fstat(directory)):
                raise PermissionError(0, "others can write to it")
        except OSError as error:
            self._say(error)
            if directory is not None:
                os.close(directory)
                directory = None
        try:
            yield directory
        finally:
            if directory is not None:
                os.close(directory)

    def _store(self, directory: int, name: str, table: UnwindTable) -> None:
        payload = table.pages + table.rows + table.rules
        sizes = len(table.pages), len(table.rows), len(table.rules)
        header = _HEADER.pack(_MAGIC, table.first_page, *sizes, table.left_out, _checksum(payload))
        temporary = f"{name.partition('.')[0]}.{secrets.token_hex(8)}.new"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(temporary, flags, 0o644, dir_fd=directory), "wb") as file:
                file.write(header)
                file.write(payload)
            os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            _make_room(directory, self._bytes_max, keep=name)
        except OSError as error:
            self._say(error)
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)

    def _say(self, error: OSError) -> None:
        if not self._said:
            self._said = True
            self._log(f"{self._directory} can't be used ({error.strerror}): unwind tables are made anew at every start")


def _name_by_content(fd: int, elf: ElfFile) -> str:
    """After all that the table of a file depends on. Raises ElfError."""
    info = os.fstat(fd)
    identity = elf.build_id or (info.st_dev, info.st_ino, info.st_mtime_ns)
    known = hashlib.sha256()  # half the time of blake2b where processors know it
    known.update(repr((_FORMAT, elf.machine, identity, info.st_size, elf.segments, elf.sections)).encode())
    found = find_eh_frame(elf)
    if found is not None:
        known.update(found[1])
    return _name(known.hexdigest())


def _name_by_file(fd: int, elf: ElfFile) -> str:
    """After the inode and when it was last changed; "" where that does not stand for what is in the file.

    It does on a block device. What FUSE says may be made up, and overlays number their files afresh at every mount.
    """
    info = os.fstat(fd)
    if not os.major(info.st_dev) or abs(time.time() - info.st_ctime) < _SETTLED_S:
        return ""
    times = info.st_mtime_ns, info.st_ctime_ns
    known = repr((_FORMAT, elf.build_id, info.st_dev, info.st_ino, times, info.st_size, elf.segments)).encode()
    return _name(hashlib.sha256(known).hexdigest())


def _name(digest: str) -> str:
    return f"{digest[:40]}.table"


def _checksum(payload: bytes | memoryview) -> int:
    """Against accidents; whoever could forge an entry could forge this, too."""
    return zlib.crc32(payload)


def _is_ours(info: os.stat_result) -> bool:
    return info.st_uid == os.geteuid() and not info.st_mode & _WRITABLE_BY_OTHERS


def _load(directory: int, name: str) -> UnwindTable | None:
    """An entry that is whole and ours; None otherwise."""
    try:
        # Not blocking: what lies there may be a pipe.
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        with open(fd, "rb", buffering=0) as file:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode) or not _is_ours(info) or info.st_size > _ENTRY_MAX:
                return None
            data = file.read(info.st_size)
            with contextlib.suppress(OSError):
                os.utime(fd)  # used just now
    except OSError:
        return None
    return _parse(data)


def _parse(data: bytes) -> UnwindTable | None:
    if len(data) < _HEADER.size:
        return None
    magic, first_page, *sizes, left_out, checksum = _HEADER.unpack_from(data)
    pages_end = _HEADER.size + sizes[0]
    rows_end = pages_end + sizes[1]
    whole = (
        magic == _MAGIC and len(data) == rows_end + sizes[2] and _checksum(memoryview(data)[_HEADER.size :]) == checksum
    )
    if not whole or sizes[0] % 8 or sizes[1] % 4 or not sizes[2] or sizes[2] % LAYOUT.size:
        return None
    return UnwindTable(first_page, data[_HEADER.size : pages_end], data[pages_end:rows_end], data[rows_end:], left_out)


def _link(directory: int, name: str, second: str) -> None:
    """A second name for an entry, if that is possible; what had that name was of no use."""
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(second, dir_fd=directory)
        os.link(name, second, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)


def _make_room(directory: int, bytes_max: int, keep: str) -> None:
    """Remove what was not used for longest, and what was left of writes that were cut short."""
    entries = []
    with os.scandir(directory) as found:
        for entry in found:
            if _ENTRY.fullmatch(entry.name) and entry.name != keep:
                with contextlib.suppress(OSError):
                    info = entry.stat(follow_symlinks=False)
                    entries.append((info.st_mtime_ns, info.st_size // info.st_nlink, entry.name))
    total = os.stat(keep, dir_fd=directory).st_size + sum(size for _, size, _ in entries)
    for _, size, name in sorted(entries):
        if total <= bytes_max:
            break
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=directory)
        total -= size
