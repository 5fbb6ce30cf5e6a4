"""The C library's allocator, set for a process that runs for hours beside what it watches."""

from __future__ import annotations

import contextlib
import ctypes
import time

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""glibc's malloc.h."""
_LARGE_BYTES = 128 << 10
"""What is larger goes back to the kernel once it is freed. Left alone, glibc raises this up to 32 MiB."""
_GIVE_BACK_S = 60.0


class CompactHeap:
    """One heap for all threads, of which only one runs Python at a time, and next to no freed memory kept in it.

    To be made before there are threads. Other C libraries than glibc are left as they are.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._given_back_at = time.monotonic()
        with contextlib.suppress(AttributeError):
            self._libc.mallopt(_M_ARENA_MAX, 1)
            self._libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)

    def give_back(self) -> None:
        """Give pages that are free back to the kernel: a millisecond's work, done once a minute."""
        now = time.monotonic()
        if now - self._given_back_at >= _GIVE_BACK_S:
            self._given_back_at = now
            with contextlib.suppress(AttributeError):
                self._libc.malloc_trim(0)
