"""One BPF map by its file descriptor: single elements, batches, per-CPU sums."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from enum import IntEnum

from ebtop.kernel import syscall
from ebtop.kernel.artifact import MapSpec
from ebtop.kernel.cpus import possible_cpus
from ebtop.kernel.syscall import Cmd


class MapType(IntEnum):
    """enum bpf_map_type, the ones ebtop uses."""

    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    LRU_HASH = 9
    ARRAY_OF_MAPS = 12
    RINGBUF = 27


NO_PREALLOC = 1
"""BPF_F_NO_PREALLOC: elements are allocated when they are needed."""
MMAPABLE = 1 << 10
"""BPF_F_MMAPABLE: an array that user space can map into its memory."""

_ANY, _NOEXIST = 0, 1
_BATCH_CHUNK = 1024
_ELEMENT_FORMAT, _ELEMENT_SIZE = "=IxxxxQQQ", 32
_BATCH_FORMAT, _BATCH_SIZE = "=QQQQIIQQ", 56


class Map:
    """An open map. Raises OSError with the kernel's errno from every call."""

    def __init__(self, spec: MapSpec, inner: Map | None = None) -> None:
        """Create the map. An array of maps holds such as `inner`, which need not live on."""
        self.spec = spec
        self.fd = -1
        name = spec.name.encode()[:15]
        self.fd = syscall.bpf(
            Cmd.MAP_CREATE,
            syscall.attr(
                "=IIIIIII16s", spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.flags,
                inner.fd if inner is not None else 0, 0, name, size=72,
            ),
        )  # fmt: skip

    def close(self) -> None:
        """Give up the file descriptor; the map goes when no program holds it either."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def lookup(self, key: bytes) -> bytes | None:
        """The value at `key`; for a per-CPU map the values of all possible CPUs in a row."""
        size = self.spec.value_size
        if self.spec.type in (MapType.PERCPU_ARRAY, MapType.PERCPU_HASH):
            size = (size + 7) // 8 * 8 * possible_cpus()
        value = bytearray(size)
        try:
            self._element(Cmd.MAP_LOOKUP_ELEM, bytearray(key), value)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return bytes(value)

    def update(self, key: bytes, value: bytes, *, only_new: bool = False) -> bool:
        """Set `key`; with `only_new` leave an existing element alone. Returns whether it was written."""
        try:
            self._element(Cmd.MAP_UPDATE_ELEM, bytearray(key), bytearray(value), _NOEXIST if only_new else _ANY)
        except OSError as error:
            if only_new and error.errno == errno.EEXIST:
                return False
            raise
        return True

    def delete(self, key: bytes) -> None:
        """Remove `key`; absent is fine."""
        try:
            self._element(Cmd.MAP_DELETE_ELEM, bytearray(key), None)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    def percpu_u64(self) -> list[int]:
        """A per-CPU array of u64, or of structs of nothing else, each number summed over all CPUs."""
        cpus = possible_cpus()
        per_cpu = self.spec.value_size // 8
        numbers = struct.Struct(f"={cpus * per_cpu}Q")
        sums: list[int] = []
        for index in range(self.spec.max_entries):
            values = numbers.unpack(self.lookup(struct.pack("=I", index)) or b"")
            sums += [sum(values[i::per_cpu]) for i in range(per_cpu)]
        return sums

    def batches(self, *, delete: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """All elements of a hash as (keys, values) byte strings, a chunk at a time; `delete` takes them out.

        The cursor is kept apart from the count (bcc's own batch calls overwrite one with the other), and a
        bucket that does not fit makes the chunk grow. Linux 5.6+.
        """
        command = Cmd.MAP_LOOKUP_AND_DELETE_BATCH if delete else Cmd.MAP_LOOKUP_BATCH
        chunk = min(_BATCH_CHUNK, self.spec.max_entries)
        cursor = bytearray(max(8, self.spec.key_size))
        first = True
        keys = values = bytearray()
        while True:
            if len(keys) != chunk * self.spec.key_size:
                keys, values = bytearray(chunk * self.spec.key_size), bytearray(chunk * self.spec.value_size)
            at = syscall.pointer(cursor)
            attr = syscall.attr(
                _BATCH_FORMAT, 0 if first else at, at, syscall.pointer(keys), syscall.pointer(values), chunk, self.fd,
                0, 0, size=_BATCH_SIZE,
            )  # fmt: skip
            done = False
            try:
                syscall.bpf(command, attr)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    chunk *= 2
                    continue
                if error.errno != errno.ENOENT:
                    raise
                done = True
            (count,) = struct.unpack_from("=I", attr, 32)
            if count:
                yield bytes(keys[: count * self.spec.key_size]), bytes(values[: count * self.spec.value_size])
            if done:
                return
            first = False

    def clear(self) -> None:
        """Remove every element of a hash."""
        for _ in self.batches(delete=True):
            pass

    def _element(self, command: Cmd, key: bytearray, value: bytearray | None, flags: int = 0) -> None:
        address = syscall.pointer(value) if value is not None else 0
        syscall.bpf(
            command, syscall.attr(_ELEMENT_FORMAT, self.fd, syscall.pointer(key), address, flags, size=_ELEMENT_SIZE)
        )
