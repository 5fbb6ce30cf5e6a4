"""The symbols of mapped files, read once a file and kept within a number of bytes."""

from __future__ import annotations

import os
import time
from collections import OrderedDict

from ebtop.process.elf import BytesReader, ElfError, ElfFile, FileReader
from ebtop.process.mappings import MappedFile, Mapping, read_mappings
from ebtop.process.open_mapped import look_at_mapped, open_mapped, why_not_opened
from ebtop.process.places import FileKey, KnownFile
from ebtop.process.processes import Process, Processes
from ebtop.symbols.binary import Binary
from ebtop.symbols.debug_files import debug_file
from ebtop.symbols.lru import ByteLru

_KEYS_MAX = 4096
_LOOK_AGAIN_S = 1.0
_SETTLED_NS = 10 * 10**9
"""A file that was written so long ago is looked at once in a second, whatever number of processes map it: its inode is
not another file's so soon after."""
_VDSO = b"[vdso]"
_VDSO_MAX = 1 << 20


class NotElf:
    """A mapped file that is no readable ELF file, remembered so that it is not opened for each sample."""

    nbytes = 100


class Binaries:
    """Mapped files to symbols. One thread only; holds no file open."""

    def __init__(self, processes: Processes, cache_bytes: int) -> None:
        self._processes = processes
        self._names_limit = cache_bytes // 2
        self._by_key: ByteLru[Binary | NotElf] = ByteLru(cache_bytes)
        self._keys: OrderedDict[tuple[int, MappedFile], FileKey] = OrderedDict()
        self._looked_at: dict[MappedFile, float] = {}
        """When, by time.monotonic, of files that were not written lately."""
        self._vdso: Binary | None = None
        self._vdso_size = -1

    @property
    def memory_bytes(self) -> int:
        return self._by_key.nbytes + len(self._keys) * 250

    def get(self, process: Process, mapping: Mapping) -> Binary | None:
        """The symbols of a mapped file; None when it can not be opened or is no ELF file."""
        if mapping.file.path == _VDSO:
            return self._own_vdso(mapping.end - mapping.start)
        if not mapping.file.on_disk:
            return None
        key = self._keys.get((process.generation, mapping.file))
        binary = self._by_key.get(key) if key else None
        if binary is None:
            if mapping.file in process.unreadable:
                return None
            binary = self._open(process, mapping)
        return binary if isinstance(binary, Binary) else None

    def of_file(self, file: KnownFile, fd: int | None = None) -> Binary | None:
        """The symbols of a file that stacks have places in; None as above. `fd` is this file, or None."""
        if file.mapping.file.path == _VDSO:
            return self._own_vdso(file.mapping.end - file.mapping.start)
        binary = self._by_key.get(file.key)
        if binary is None and fd is not None and _key(os.fstat(fd)) == file.key:
            binary = self._load(fd, os.fsdecode(file.mapping.file.path), "")
            self._by_key.put(file.key, binary)
        elif binary is None:
            process = self._processes.get(file.pid) or Process.ended(file.pid)
            binary = self._open(process, file.mapping) if file.mapping.file not in process.unreadable else None
            if self._keys.get((process.generation, file.mapping.file)) != file.key:
                return None  # another file has taken its place
        return binary if isinstance(binary, Binary) else None

    def why_unreadable(self, process: Process, mapping: Mapping) -> str:
        """Of a file that `get` has nothing of, a few words."""
        if mapping.file not in process.unreadable:
            return "it is no ELF file"
        if not process.alive:
            return "the process ended before"
        return why_not_opened(process, mapping)

    def _open(self, process: Process, mapping: Mapping) -> Binary | NotElf | None:
        # Most processes map what others have mapped before.
        key = self._just_looked_at(mapping.file) or self._look_at(process, mapping)
        if key is not None and (known := self._by_key.get(key)) is not None:
            self._remember(process, mapping, key)
            return known
        opened = open_mapped(self._processes, process, mapping)
        if opened is None:
            process.unreadable.add(mapping.file)
            return self._seen_before(mapping.file)
        fd, root = opened
        try:
            key = _key(os.fstat(fd))
            binary = self._by_key.get(key)
            if binary is None:
                binary = self._load(fd, os.fsdecode(mapping.file.path), root)
                self._by_key.put(key, binary)
        finally:
            os.close(fd)
        self._remember(process, mapping, key)
        return binary

    def _just_looked_at(self, file: MappedFile) -> FileKey | None:
        looked_at = self._looked_at.get(file)
        fresh = looked_at is not None and time.monotonic() - looked_at < _LOOK_AGAIN_S
        return self._keys.get((0, file)) if fresh else None

    def _look_at(self, process: Process, mapping: Mapping) -> FileKey | None:
        status = look_at_mapped(self._processes, process, mapping)
        if status is None:
            return None
        if len(self._looked_at) >= _KEYS_MAX:
            self._looked_at.clear()
        if not mapping.file.deleted and time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
            self._looked_at[mapping.file] = time.monotonic()
        return _key(status)

    def _remember(self, process: Process, mapping: Mapping, key: FileKey) -> None:
        # Under generation 0 for processes that end before their first sample is looked at.
        for generation in (process.generation, 0):
            self._keys[generation, mapping.file] = key
            self._keys.move_to_end((generation, mapping.file))
        while len(self._keys) > _KEYS_MAX:
            self._keys.popitem(last=False)

    def _seen_before(self, file: MappedFile) -> Binary | NotElf | None:
        key = self._keys.get((0, file))
        return self._by_key.get(key) if key else None

    def _load(self, fd: int, path: str, root: str) -> Binary | NotElf:
        try:
            elf = ElfFile(FileReader(fd))
            with debug_file(elf, path, root) as debug:
                return Binary(elf, debug, self._names_limit, os.path.basename(path))
        except ElfError:
            return NotElf()

    def _own_vdso(self, size: int) -> Binary | None:
        """The kernel gives all processes of one kind the same image: ours is theirs when it has their size."""
        if self._vdso_size < 0:
            self._vdso, self._vdso_size = _read_own_vdso()
        return self._vdso if size == self._vdso_size else None


def _key(status: os.stat_result) -> FileKey:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _read_own_vdso() -> tuple[Binary | None, int]:
    try:
        mapping = next((m for m in read_mappings(os.getpid()) if m.file.path == _VDSO), None)
        if mapping is None or mapping.end - mapping.start > _VDSO_MAX:
            return None, 0
        with open("/proc/self/mem", "rb") as memory:
            memory.seek(mapping.start)
            image = memory.read(mapping.end - mapping.start)
        return Binary(ElfFile(BytesReader(image))), len(image)
    except (OSError, ElfError):
        return None, 0
