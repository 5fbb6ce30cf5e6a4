"""bpf(2), perf_event_open(2) and a few neighbours that Python's standard library does not have.

Every call raises OSError with the kernel's errno. File descriptors that come back are close-on-exec, so a
child process never keeps a program or map alive.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
from enum import IntEnum

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_NUMBERS = {
    # machine: (bpf, perf_event_open)
    "x86_64": (321, 298),
    "aarch64": (280, 241),
    "riscv64": (280, 241),
    "ppc64le": (361, 319),
    "s390x": (351, 331),
}
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # the same number on every architecture
_FSCONFIG_CMD_CREATE = 6
_CLOEXEC_1 = 1  # FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC

CLONE_NEWUTS = 0x04000000
CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


class Cmd(IntEnum):
    """enum bpf_cmd of the kernel's uapi."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    PROG_LOAD = 5
    PROG_GET_NEXT_ID = 11
    MAP_GET_NEXT_ID = 12
    MAP_GET_FD_BY_ID = 14
    RAW_TRACEPOINT_OPEN = 17
    MAP_LOOKUP_BATCH = 24
    MAP_LOOKUP_AND_DELETE_BATCH = 25
    MAP_UPDATE_BATCH = 26
    MAP_DELETE_BATCH = 27
    LINK_CREATE = 28
    ENABLE_STATS = 32
    ITER_CREATE = 33


def supported_machine() -> bool:
    """Whether the system call numbers of this architecture are known."""
    return platform.machine() in _NUMBERS


def _numbers() -> tuple[int, int]:
    try:
        return _NUMBERS[platform.machine()]
    except KeyError:
        raise OSError(38, f"system call numbers for {platform.machine()} are not known") from None


def _call(number: int, *args: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *args))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def bpf(cmd: Cmd, attr: bytearray) -> int:
    """bpf(2). `attr` is the packed union bpf_attr; the kernel may write into it."""
    buffer = (ctypes.c_char * len(attr)).from_buffer(attr)
    return _call(_numbers()[0], ctypes.c_int(cmd), buffer, ctypes.c_uint(len(attr)))


def perf_event_open(attr: bytearray, pid: int, cpu: int) -> int:
    """perf_event_open(2) with PERF_FLAG_FD_CLOEXEC. `attr` is the packed struct perf_event_attr."""
    buffer = (ctypes.c_char * len(attr)).from_buffer(attr)
    return _call(_numbers()[1], buffer, ctypes.c_int(pid), ctypes.c_int(cpu), ctypes.c_int(-1), ctypes.c_ulong(8))


def pointer(buffer: bytearray | memoryview) -> int:
    """Address of a writable buffer. The caller keeps the buffer alive, and unresized, while the kernel uses it."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def setns(fd: int, kind: int) -> None:
    """setns(2) for the calling thread only."""
    if _libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def unshare(kind: int) -> None:
    """unshare(2): from now on the calling thread, and what it forks, has a namespace of its own."""
    if _libc.unshare(ctypes.c_int(kind)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def end_with_parent() -> None:
    """SIGKILL for this process as soon as the thread that forked it ends; the flag outlives an exec."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Processes below this one whose parent ends become its children, instead of init's."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def detached_mount(filesystem: str) -> int:
    """A file descriptor of a new mount of `filesystem` that no mount namespace can see.

    It ends with the descriptor and leaves no trace in any mount table. Linux 5.2+, CAP_SYS_ADMIN.
    """
    context = _call(_FSOPEN, ctypes.c_char_p(filesystem.encode()), ctypes.c_uint(_CLOEXEC_1))
    try:
        _call(_FSCONFIG, ctypes.c_int(context), ctypes.c_uint(_FSCONFIG_CMD_CREATE), None, None, ctypes.c_int(0))
        return _call(_FSMOUNT, ctypes.c_int(context), ctypes.c_uint(_CLOEXEC_1), ctypes.c_uint(0))
    finally:
        os.close(context)


def attr(fmt: str, *values: object, size: int) -> bytearray:
    """A zero-padded union bpf_attr of `size` bytes that starts with `values` packed as `fmt`."""
    buffer = bytearray(size)
    struct.pack_into(fmt, buffer, 0, *values)
    return buffer
