"""Read the memory of another process. Source: /proc/PID/mem, which needs no stop and no ptrace attach."""

from __future__ import annotations

import os
import struct
from types import TracebackType

_U64 = struct.Struct("<Q")


class UnreadableMemory(Exception):
    """Not mapped, or the process is gone, or we may not."""


class ProcessMemory:
    """The memory of the program that a pid runs when this is made. Close it, or use it in a `with`.

    It stays that program's: when the pid is used again, or executes another program, nothing can be read any more.
    """

    def __init__(self, pid: int) -> None:
        """Raises UnreadableMemory."""
        try:
            self._fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UnreadableMemory(str(error)) from error

    def __enter__(self) -> ProcessMemory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._fd)

    def read(self, address: int, length: int) -> bytes:
        """Exactly `length` bytes. Raises UnreadableMemory."""
        data = self.read_some(address, length)
        if len(data) != length:
            raise UnreadableMemory(f"{len(data)} of {length} bytes at {address:#x}")
        return data

    def read_some(self, address: int, length: int) -> bytes:
        """Up to `length` bytes, at least one. Raises UnreadableMemory."""
        try:
            data = os.pread(self._fd, length, address)
        except (OSError, OverflowError, ValueError) as error:
            raise UnreadableMemory(f"{address:#x}: {error}") from error
        if not data:
            raise UnreadableMemory(f"{address:#x}: the process is gone")
        return data

    def u64(self, address: int) -> int:
        """Eight bytes in the order of x86-64 and arm64. Raises UnreadableMemory."""
        (value,) = _U64.unpack(self.read(address, 8))
        return int(value)

    def string(self, address: int, limit: int = 256) -> bytes:
        """Up to a NUL, at most `limit` bytes. Raises UnreadableMemory."""
        return self.read_some(address, limit).partition(b"\0")[0]
