"""What only trying can tell: a seccomp filter, a security module or a lockdown may refuse where all settings allow."""

from __future__ import annotations

import ctypes
import os
import struct

from ebtop.kernel import syscall
from ebtop.kernel.syscall import Cmd
from ebtop.kernel.tracefs import Tracefs

_RAW_TRACEPOINT = 17  # enum bpf_prog_type
_RETURN_0 = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit
_SOFTWARE, _CPU_CLOCK = 1, 0  # perf_event_attr.type and .config
_SAMPLE_PERIOD_NS = 10**9
_DISABLED = 1
_ATTR_BYTES = 128
_TIMEX_BYTES = 256  # struct timex is 208 bytes on 64-bit
_TIMEX_STATUS_OFFSET = 40
_STA_UNSYNC = 0x40


class Attempts:
    """The tries. Each raises OSError with the kernel's reason and leaves nothing behind."""

    def load_program(self) -> None:
        """Load a tracing program of two instructions and let it go."""
        instructions = bytearray(_RETURN_0)
        license_name = bytearray(b"GPL\0")
        attr = syscall.attr(
            "=IIQQ",
            _RAW_TRACEPOINT,
            len(instructions) // 8,
            syscall.pointer(instructions),
            syscall.pointer(license_name),
            size=_ATTR_BYTES,
        )
        os.close(syscall.bpf(Cmd.PROG_LOAD, attr))

    def enable_stats(self) -> None:
        """Ask the kernel to count the run time of programs, and stop asking."""
        os.close(syscall.bpf(Cmd.ENABLE_STATS, syscall.attr("=I", 0, size=_ATTR_BYTES)))

    def open_sampler(self) -> None:
        """Open the CPU clock event that the profiler samples by, switched off, on the first CPU of any process."""
        attr = syscall.attr(
            "=IIQQQQQ", _SOFTWARE, _ATTR_BYTES, _CPU_CLOCK, _SAMPLE_PERIOD_NS, 0, 0, _DISABLED, size=_ATTR_BYTES
        )
        os.close(syscall.perf_event_open(attr, -1, min(os.sched_getaffinity(0))))

    def open_tracefs(self) -> str:
        """Where tracepoint formats can be read: a mount point, or "private mount"."""
        with Tracefs.open() as tracefs:
            return tracefs.where

    def read_securityfs(self, name: str) -> str:
        """A file of a securityfs that is not mounted, through a mount that nobody else sees."""
        mount = syscall.detached_mount("securityfs")
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=mount)
        finally:
            os.close(mount)
        with os.fdopen(fd, "rb") as file:
            return file.read().decode("utf-8", "replace").strip()

    def clock_synchronised(self) -> bool:
        """Whether the kernel's clock is being kept in step (adjtimex(2), read only)."""
        libc = ctypes.CDLL(None, use_errno=True)
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        if libc.adjtimex(timex) < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        (status,) = struct.unpack_from("=i", timex, _TIMEX_STATUS_OFFSET)
        return not status & _STA_UNSYNC
