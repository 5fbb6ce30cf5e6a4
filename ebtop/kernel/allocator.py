"""The C library's allocator, set for a process that runs for hours beside what it watches."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""glibc's malloc.h."""
_LARGE_BYTES = 128 << 10
"""What is larger goes back to the kernel once it is freed. Left alone, glibc raises this up to 32 MiB."""


def keep_compact() -> None:
    """Have one heap for all threads, of which only one runs Python at a time, and no freed memory kept in it.

    To be called before there are threads. Other C libraries than glibc are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
