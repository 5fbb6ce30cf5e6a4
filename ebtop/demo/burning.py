"""Work for the CPU: in C, in Python, and in a shell."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import zlib

from ebtop.demo.pace import Pace

_C_SHARE, _PYTHON_SHARE = 0.2, 0.08
_SHELL_BURST_S, _SHELL_PAUSE_S = 0.05, 1
_LOOP = "i=0; while [ $i -lt $1 ]; do i=$((i+1)); done"
_TRIAL = 5000


def serve_images(program: int | None) -> None:
    """The compiled service at a file descriptor; without one, code in C that Python brings along."""
    if program is not None:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execve(program, ["img-service", "--listen", "10.20.0.70:8081"], {})
    pace = Pace(_C_SHARE)
    image = os.urandom(1 << 16) + bytes(1 << 18)
    while True:
        hashlib.sha256(image).digest()
        zlib.decompress(zlib.compress(image, 6))
        pace.rest()


def render_reports() -> None:
    """In functions of Python's own."""
    pace = Pace(_PYTHON_SHARE)
    while True:
        _render_report()
        pace.rest()


def _render_report() -> str:
    return _format_table(_group_by_day(_parse_lines(range(2000))))


def _parse_lines(lines: range) -> list[tuple[int, float]]:
    return [(line % 31, line * 0.5) for line in lines]


def _group_by_day(entries: list[tuple[int, float]]) -> dict[int, float]:
    days: dict[int, float] = {}
    for day, amount in entries:
        days[day] = days.get(day, 0.0) + amount
    return days


def _format_table(days: dict[int, float]) -> str:
    return "\n".join(f"{day:>3} {amount:>12.2f}" for day, amount in sorted(days.items()))


def rotate_logs() -> None:
    """A shell that counts, in bursts of _SHELL_BURST_S on this CPU with this shell."""
    subprocess.run(["/bin/sh", "-c", _LOOP, "sh", str(_TRIAL)], check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    rounds = int(_TRIAL * _SHELL_BURST_S / max(0.001, used.ru_utime + used.ru_stime))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # What is executed is called after its file; the shell can say its name itself.
    script = f"printf log-rotate >/proc/$$/comm; while :; do {_LOOP}; sleep {_SHELL_PAUSE_S}; done"
    os.execv("/bin/sh", ["sh", "-c", script, "log-rotate", str(rounds)])
