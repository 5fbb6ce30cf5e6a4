"""How busy the node is, read once a second from files that stay open."""

from __future__ import annotations

import os
import time

from ebtop.store.source import NodeLoad, Pressure

_MAX_BYTES = 64 << 10
"""The lines that count come first in every file."""
_IDLE, _IOWAIT, _STEAL = 3, 4, 7


class NodeMeter:
    """Takes readings; CPU use is between one and the next."""

    def __init__(self, proc: str = "/proc") -> None:
        self._fds = {name: _open(f"{proc}/{name}") for name in ("stat", "loadavg", "meminfo", "vmstat")}
        self._pressure_fds = [_open(f"{proc}/pressure/{name}") for name in ("cpu", "memory", "io")]
        self._busy, self._total = 0, 0
        self._counted: dict[str, tuple[int, float]] = {}

    def read(self) -> NodeLoad | None:
        """None where /proc does not tell."""
        try:
            one, five, fifteen = self._file("loadavg").split()[:3]
            total, available = _memory(self._file("meminfo"))
            load = (float(one), float(five), float(fifteen))
            switches, faults = self._rate("stat", b"ctxt"), self._rate("vmstat", b"pgfault")
            used, pressure = max(0, total - available), self._pressure()
            return NodeLoad(self._cpu_percent(), load, used, total, pressure, switches, faults)
        except (OSError, ValueError, KeyError, IndexError):
            return None

    def close(self) -> None:
        """No more readings."""
        for fd in (*self._fds.values(), *self._pressure_fds):
            if fd >= 0:
                os.close(fd)
        self._fds = dict.fromkeys(self._fds, -1)
        self._pressure_fds = [-1, -1, -1]

    def _file(self, name: str) -> bytes:
        return os.pread(self._fds[name], _MAX_BYTES, 0)

    def _cpu_percent(self) -> float | None:
        """Time not idle; waiting for a disk is idle. A guest's time is part of user and not added again."""
        fields = self._file("stat").split(b"\n", 1)[0].split()[1:]
        times = [int(field) for field in fields[: _STEAL + 1]]
        total = sum(times)
        busy = total - times[_IDLE] - times[_IOWAIT]
        passed, worked = total - self._total, busy - self._busy
        first = not self._total
        self._total, self._busy = total, busy
        # The kernel's figures for idle and iowait may go back a little.
        return None if first or passed <= 0 else min(100.0, max(0.0, 100.0 * worked / passed))

    def _rate(self, name: str, counter: bytes) -> float | None:
        """How much a counter went up a second since the last reading."""
        try:
            found = self._file(name).split(b"\n" + counter + b" ", 1)[1]
            number, now = int(found.split(None, 1)[0]), time.monotonic()
        except (OSError, ValueError, IndexError):
            return None
        before, then = self._counted.get(name, (0, 0.0))
        self._counted[name] = number, now
        return (number - before) / (now - then) if before and now > then and number >= before else None

    def _pressure(self) -> Pressure | None:
        """The files are there but can't be read with psi=0."""
        try:
            return Pressure(*(_some_avg10(os.pread(fd, 256, 0)) for fd in self._pressure_fds))
        except (OSError, ValueError, IndexError):
            return None


def _open(path: str) -> int:
    """-1, which reads as an error, for a file that is not there."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _memory(meminfo: bytes) -> tuple[int, int]:
    """MemTotal and MemAvailable in bytes."""
    values = dict(line.split(b":", 1) for line in meminfo.split(b"\n")[:3])
    return int(values[b"MemTotal"].split()[0]) * 1024, int(values[b"MemAvailable"].split()[0]) * 1024


def _some_avg10(raw: bytes) -> float:
    """Of "some avg10=1.50 avg60=..."."""
    return float(raw.split(b"avg10=", 1)[1].split(None, 1)[0])
