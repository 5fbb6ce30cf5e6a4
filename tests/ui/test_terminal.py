"""The program in a pseudo-terminal: every way in and out."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 30.0
QUESTION = re.compile(rb"\x1b\[(\d+);1H\x1b\[6n")
"""Where the cursor is, right after it was put there: what every terminal answers."""
MOUSE_MOVES = (b"\x1b[?1003h", b"\x1b[?1016h")


class Program:
    """fake_program.py at the other end of a pseudo-terminal."""

    def __init__(self, folder: Path, *arguments: str, answers: bool = True, **environment: str) -> None:
        self.answers = answers
        self.master, slave = pty.openpty()
        self.resize(120, 40)
        self.report = folder / "report"
        script = Path(__file__).with_name("fake_program.py")
        # A session leader whose controlling terminal this is, so that closing the other end hangs it up.
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.report), *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_log_in,
            env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), **environment},
        )
        os.close(slave)
        self.output = b""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read_until(self, text: bytes) -> None:
        end = time.monotonic() + LIMIT_S
        while text not in self.output:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not come; the end: {self.output[-500:]!r}"
            if select.select([self.master], [], [], left)[0]:
                self.output += self._read()

    def wait(self) -> int:
        """Its exit code, after reading what it still says."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            ended = self.process.poll() is not None
            data = self._read() if select.select([self.master], [], [], 0.1)[0] else b""
            self.output += data
            if ended and not data:
                break
        return self.process.wait(timeout=1)

    def _read(self) -> bytes:
        try:
            data = os.read(self.master, 1 << 16)
            if self.answers:
                # A question that is cut in two is taken for a lost one.
                for line in QUESTION.findall(data):
                    os.write(self.master, b"\x1b[%s;1R" % line)
            return data
        except OSError:  # EIO: the program has ended
            return b""


def _log_in() -> None:
    """As a login does: a terminal, and hang-ups that are not ignored, even if the tests run under nohup."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()


def started(programs: list[Program], program: Program) -> Program:
    programs.append(program)
    return program


def test_q_unloads_and_says_so(tmp_path: Path, programs: list[Program]) -> None:
    program = started(programs, Program(tmp_path))
    program.read_until(b"nginx")
    os.write(program.master, b"q")
    assert program.wait() == 0
    assert b"ebtop: 5 probes unloaded in 60ms: 10 programs, 10 maps, 0 left" in program.output
    assert program.report.read_text() == "started=True closed=1"
    assert program.output.rindex(b"\x1b[?1049l") < program.output.index(b"ebtop: 5 probes"), "said on the normal screen"


def test_only_clicks_and_wheel_are_asked_for(tmp_path: Path, programs: list[Program]) -> None:
    program = started(programs, Program(tmp_path))
    program.read_until(b"nginx")
    os.write(program.master, b"q")
    program.wait()
    assert b"\x1b[?1000h\x1b[?1006h" in program.output
    assert [sequence for sequence in MOUSE_MOVES if sequence in program.output] == []


def test_a_terminal_that_answers_nothing_is_drawn_on_all_the_same(tmp_path: Path, programs: list[Program]) -> None:
    program = started(programs, Program(tmp_path, answers=False))
    program.read_until(b"nginx")
    seconds: set[bytes] = set()
    while len(seconds) < 3:
        program.output = b""
        program.read_until(b"LIVE")
        seconds |= set(re.findall(rb"\d\d:\d\d:\d\d", program.output))
    os.write(program.master, b"q")
    assert program.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(tmp_path: Path, programs: list[Program], number: signal.Signals) -> None:
    program = started(programs, Program(tmp_path))
    program.read_until(b"nginx")
    program.process.send_signal(number)
    assert program.wait() == 128 + number
    assert program.report.read_text() == "started=True closed=1"
    assert b"\x1b[?1049l" in program.output


def test_a_lost_terminal_ends_it_even_if_hang_ups_are_ignored(tmp_path: Path, programs: list[Program]) -> None:
    program = started(programs, Program(tmp_path, "--ignore-hangup"))
    program.read_until(b"nginx")
    os.close(program.master)
    assert program.process.wait(timeout=LIMIT_S) == 129
    assert program.report.read_text() == "started=True closed=1"


def is_stuck(pid: int) -> bool:
    """Whether one of its threads waits for the terminal to take output."""
    waits = [(task / "wchan").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return any(wait in ("n_tty_write", "wait_woken") for wait in waits)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unloads_where_the_terminal_takes_no_output(
    tmp_path: Path, programs: list[Program], number: signal.Signals
) -> None:
    program = started(programs, Program(tmp_path))
    program.read_until(b"nginx")
    # From here on nobody reads: the buffers of the terminal are full after some sizes, in each of which all is drawn.
    sizes = cycle((100 + n, 30 + n % 10) for n in range(20))
    while not is_stuck(program.process.pid):
        program.resize(*next(sizes))
        time.sleep(0.1)
    program.process.send_signal(number)
    assert program.process.wait(timeout=LIMIT_S) == 128 + number
    assert Path(f"{program.report}.closed").exists()


def test_sigcont_without_a_stop_starts_no_second_set_of_threads(tmp_path: Path, programs: list[Program]) -> None:
    program = started(programs, Program(tmp_path))
    program.read_until(b"nginx")
    before = len(os.listdir(f"/proc/{program.process.pid}/task"))
    for _ in range(5):
        program.process.send_signal(signal.SIGCONT)
        program.output = b""
        program.read_until(b"LIVE")
    assert len(os.listdir(f"/proc/{program.process.pid}/task")) <= before
    os.write(program.master, b"q")
    assert program.wait() == 0


@pytest.mark.parametrize("term", ["dumb", "", "unknown"])
def test_a_dumb_terminal_is_refused_with_one_line(tmp_path: Path, programs: list[Program], term: str) -> None:
    program = started(programs, Program(tmp_path, TERM=term))
    assert program.wait() == 1
    assert program.output.count(b"\n") == 1
    assert b"use `ebtop trace`" in program.output
    assert b"\x1b" not in program.output
    assert program.report.read_text() == "started=False closed=0"


def test_output_that_is_no_terminal_is_refused(tmp_path: Path) -> None:
    script = Path(__file__).with_name("fake_program.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "report")],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 1
    assert "is not a terminal; use `ebtop trace`" in done.stderr
    assert done.stdout == ""


def test_a_bad_theme_is_said_before_anything_is_drawn(tmp_path: Path, programs: list[Program]) -> None:
    program = started(programs, Program(tmp_path, EBTOP_THEME="nope"))
    assert program.wait() == 1
    assert b"there is no theme nope" in program.output
    assert b"\x1b[?1049h" not in program.output
