"""Which binary a mapping is of, and the unwind tables that were made of binaries."""

from __future__ import annotations

import os
import stat
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from ebtop.process.elf import PF_X, BytesReader, ElfError, ElfFile, FileReader, Segment, file_to_address
from ebtop.process.mappings import MappedFile, Mapping, read_mappings
from ebtop.process.open_mapped import open_mapped
from ebtop.process.places import FileKey
from ebtop.process.processes import Processes
from ebtop.unwind.arena import TABLE_MISSING, base_address
from ebtop.unwind.jvms import GeneratedTable, is_generated
from ebtop.unwind.rule import Rule
from ebtop.unwind.table import UnwindTable

VDSO = b"[vdso]"
_VDSO_MAX = 1 << 20
_FILES_MAX = 4096
_TABLES_BYTES = 8 << 20
_RULES_MAX = 8192
_PARENTS_MAX = 1024
_LOOK_AGAIN_S = 10.0
"""A file may be written over in place: then it is another binary."""
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class Binary:
    """One file that is mapped executable."""

    __slots__ = ("base", "described", "key", "segments", "shift", "size", "table_number")

    def __init__(self, key: Hashable, segments: tuple[Segment, ...], size: int) -> None:
        self.key = key
        self.size = size
        """Of the file, in bytes."""
        self.segments = segments
        """Empty for what is no ELF file."""
        self.shift = _shift(segments)
        """What takes an offset in the file to an address, in all of its code; None where that differs."""
        self.table_number = TABLE_MISSING
        """In the kernel."""
        self.base = 0
        """Address at which that table starts."""
        self.described: bool | None = None
        """Whether there is any unwind information in it; None as long as nobody has looked."""

    def bias(self, mapping: Mapping) -> int | None:
        """What to take from an address to get the address in the file; None where the file has no code there."""
        address = file_to_address(self.segments, mapping.offset)
        return None if address is None else mapping.start - address


class Binaries:
    """Binaries by mapped file. One thread only; holds no file open."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._processes = Processes(clock)
        self._by_file: OrderedDict[MappedFile, tuple[Binary, float]] = OrderedDict()
        self._by_key: dict[Hashable, Binary] = {}
        self._tables: OrderedDict[Hashable, UnwindTable] = OrderedDict()
        self._tables_bytes = 0
        self._rules: dict[tuple[Binary, int], Rule] = {}
        self._vdso: bytes | None = None
        self._parents: OrderedDict[int, int] = OrderedDict()

    def known(self, file: MappedFile) -> Binary | None:
        """Without looking at the file."""
        found = self._by_file.get(file)
        return found[0] if found is not None else None

    def find(self, pid: int, mapping: Mapping) -> Binary | None:
        """The binary behind a mapping; None when it can't be opened now. That is never remembered."""
        found = self._by_file.get(mapping.file)
        now = self._clock()
        if found is not None and (now - found[1] < _LOOK_AGAIN_S or not mapping.file.on_disk):
            return found[0]
        if mapping.file.path == VDSO:
            return self._remember(mapping.file, self._vdso_binary(), now)
        fd = self.open(pid, mapping)
        if fd is None:
            return found[0] if found is not None else None
        try:
            return self._remember(mapping.file, self._binary(fd), now)
        finally:
            os.close(fd)

    def content(self, binary: Binary, pid: int, mapping: Mapping) -> int | bytes | None:
        """What a binary's table is made of: a file descriptor, the caller's to close, or the file itself.

        b"" for what is no ELF file; None when the file can't be opened any more.
        """
        if not binary.segments:
            return b""
        if binary.key == VDSO:
            return self._vdso
        fd = self.open(pid, mapping)
        if fd is None:
            return None
        if _key(os.fstat(fd)) != binary.key:
            os.close(fd)
            return None  # written over since
        return fd

    def learn(self, binary: Binary, table: UnwindTable) -> None:
        """A table was made; it is at hand from now on, for a while."""
        binary.described = bool(table.pages)
        binary.base = base_address(table)
        if binary.key in self._tables:
            return
        self._tables[binary.key] = table
        self._tables_bytes += table.nbytes
        while self._tables_bytes > _TABLES_BYTES and len(self._tables) > 1:
            _, old = self._tables.popitem(last=False)
            self._tables_bytes -= old.nbytes

    def at_hand(self, binary: Binary) -> UnwindTable | None:
        """A binary's table, if it was made and not forgotten since."""
        table = self._tables.get(binary.key)
        if table is not None:
            self._tables.move_to_end(binary.key)
        return table

    def rule(self, binary: Binary, address: int) -> Rule | None:
        """The rule for an address in the file; None while its table is not at hand."""
        table = self.at_hand(binary)
        if table is None:
            return None
        # What starts up goes through the same places each time, and that is most of what is walked here.
        rule = self._rules.get((binary, address))
        if rule is None:
            if len(self._rules) >= _RULES_MAX:
                self._rules.clear()
            rule = self._rules[binary, address] = table.rule(address)
        return rule

    def open_hidden(self, binary: Binary, pid: int, mapping: Mapping) -> int | None:
        """As `open`, of a file that its path does not lead to from here: in a container, or deleted."""
        try:
            if _key(os.stat(mapping.file.path)) == binary.key:
                return None
        except (OSError, ValueError):
            pass
        return self.open(pid, mapping)

    def add_generated(self, made: GeneratedTable) -> Binary:
        """The binary that stands for code a JVM generated, its table at hand."""
        size = made.mapping.end - made.mapping.start
        segment = Segment(PF_X, 0, made.mapping.start - made.bias, size)
        binary = Binary(made.mapping.file, (segment,), size)
        self._remember(made.mapping.file, binary, self._clock())
        self.learn(binary, made.table)
        return binary

    def forget(self, file: MappedFile) -> None:
        """Code that a JVM generated is not as it was."""
        found = self._by_file.pop(file, None)
        table = self._tables.pop(found[0].key, None) if found is not None else None
        if table is not None:
            self._tables_bytes -= table.nbytes

    def _binary(self, fd: int) -> Binary:
        status = os.fstat(fd)
        key = _key(status)
        binary = self._by_key.get(key)
        if binary is None:
            try:
                segments = ElfFile(FileReader(fd)).segments
            except ElfError:
                segments = ()
            binary = self._by_key[key] = Binary(key, segments, status.st_size)
        return binary

    def _vdso_binary(self) -> Binary:
        """The kernel gives all processes of one kind the same image."""
        binary = self._by_key.get(VDSO)
        if binary is None:
            segments: tuple[Segment, ...] = ()
            try:
                self._vdso = _own_vdso()
                segments = ElfFile(BytesReader(self._vdso)).segments
            except (OSError, ElfError):
                pass
            binary = self._by_key[VDSO] = Binary(VDSO, segments, len(self._vdso or b""))
        return binary

    def _remember(self, file: MappedFile, binary: Binary, now: float) -> Binary:
        self._by_file[file] = binary, now
        self._by_file.move_to_end(file)
        if len(self._by_file) > _FILES_MAX:
            _, (old, _) = self._by_file.popitem(last=False)
            if old.table_number == TABLE_MISSING:
                self._by_key.pop(old.key, None)
        return binary

    def open(self, pid: int, mapping: Mapping) -> int | None:
        """What is mapped, as a file descriptor, the caller's to close; None when it can't be opened now."""
        if not mapping.file.on_disk:
            return None
        process = self._processes.get(pid)
        if process is not None:
            opened = open_mapped(self._processes, process, mapping)
            return opened[0] if opened is not None else None
        # Nobody saw it alive. The path leads to the mapped file if the inode is the same; of what ran in a container
        # it begins where that of its parent does.
        if mapping.file.deleted:
            return None
        parent = self._parents.get(pid)
        roots = ("", f"/proc/{parent}/root") if parent else ("",)
        found = (_open_inode(root + os.fsdecode(mapping.file.path), mapping.file.inode) for root in roots)
        return next((fd for fd in found if fd is not None), None)

    def note_parent(self, pid: int, parent: int) -> None:
        """Who forked a process that may be gone by now."""
        self._parents[pid] = parent
        if len(self._parents) > _PARENTS_MAX:
            self._parents.popitem(last=False)


def may_have_table(file: MappedFile) -> bool:
    """Whether what is mapped is a binary at all, or code of which a table was made, and no other memory."""
    return file.on_disk or file.path == VDSO or is_generated(file)


def _open_inode(path: str, inode: int) -> int | None:
    """A file descriptor, the caller's to close, if the regular file there has this inode."""
    try:
        fd = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError):
        return None
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_ino == inode:
        return fd
    os.close(fd)
    return None


def _shift(segments: tuple[Segment, ...]) -> int | None:
    shifts = {segment.address - segment.offset for segment in segments if segment.flags & PF_X}
    return shifts.pop() if len(shifts) == 1 else None


def _key(status: os.stat_result) -> FileKey:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _own_vdso() -> bytes:
    mapping = next((m for m in read_mappings(os.getpid()) if m.file.path == VDSO), None)
    if mapping is None or mapping.end - mapping.start > _VDSO_MAX:
        return b""
    with open("/proc/self/mem", "rb") as memory:
        memory.seek(mapping.start)
        return memory.read(mapping.end - mapping.start)
