"""A command that waits to be started until it can be watched from its first instruction on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Sequence

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
_RESTORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)


class Command:
    """Exists as a process from the start, and runs the command when it is told to."""

    def __init__(self, argv: Sequence[str]) -> None:
        """To be made before there are threads: it forks."""
        self._code: int | None = None
        self._ended = threading.Event()
        self._started = False
        waits, self._gate = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._gate)
            _become(argv, waits)
        os.close(waits)

    def go(self, on_end: Callable[[], None]) -> None:
        """Start it; `on_end` is called from a thread when it has ended."""
        self._started = True
        os.write(self._gate, b"!")
        os.close(self._gate)

        def wait() -> None:
            self._wait()
            on_end()

        threading.Thread(target=wait, name="ebtop-command", daemon=True).start()

    def interrupt(self) -> None:
        """Have it end; from a terminal it has had the signal already."""
        if not self._started:
            self.give_up()
        elif not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def give_up(self) -> None:
        """It never starts. Nothing happens where it has."""
        if not self._started:
            self._started = True
            os.close(self._gate)
            self._wait()

    def exit_code(self) -> int:
        """As a shell has it: 128 + N for one that signal N ended. Waits for its end."""
        self._ended.wait()
        assert self._code is not None
        return self._code if self._code >= 0 else 128 - self._code

    def _wait(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        self._code = os.waitstatus_to_exitcode(status)
        self._ended.set()


def _become(argv: Sequence[str], waits: int) -> None:
    """In the child: be the command, or end."""
    try:
        for number in _RESTORED:
            signal.signal(number, signal.SIG_DFL)
        if os.read(waits, 1):
            os.execvp(argv[0], list(argv))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(2, f"ebtop: can't run {argv[0]!r}: {error.strerror}\n".encode())
        os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE)
    finally:
        os._exit(1)
