"""Programs that start and end: well, with a code, by a signal, or not at all."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}
_COMMANDS = (
    (["/bin/sh", "-c", "exit 0"], 0.2),
    (["/bin/gzip", "--version"], 0.3),
    (["/bin/ls", "/usr/share"], 0.2),
    (["sort", "--version"], 0.3),
    (["/bin/sh", "-c", "exit 3"], 0.2),
    (["/bin/grep", "-c", "root", "/etc/passwd"], 0.3),
    (["/bin/sh", "-c", "date; uname -s; :"], 0.2),
    (["/bin/sleep", "2"], 0.2),
    (["backup-agent", "--once"], 0.3),
    (["/bin/cat", "/etc/backup.conf"], 0.2),
    (["/bin/sh", "-c", "kill -9 $$"], 0.3),
)
"""With the seconds to wait afterwards. Names without a folder are looked for along the PATH."""


def run_jobs() -> None:
    """One after the other, some of them at the same time, for ever."""
    while True:
        for command, pause_s in _COMMANDS:
            with contextlib.suppress(OSError):
                _start(command)
            time.sleep(pause_s)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _start(command: list[str]) -> None:
    process = subprocess.Popen(
        command, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    # Whoever waits for any child collects it.
    process.returncode = 0
