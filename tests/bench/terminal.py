"""A program on a pseudo-terminal, and what a person at the other end of the link sees of it, and when.

    with Terminal([EBTOP, "demo"]) as terminal:
        terminal.wait(lambda screen: "LIVE" in screen.line(0))
        latency_s = terminal.seconds_to("2", lambda screen: screen.style(18, 1).endswith("48;5;221"))

A link can be slow, and can have room for bytes on their way that no queue on the program's side tells of, as a
connection of SSH has.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

EBTOP = str(Path(__file__).resolve().parents[2] / "bin" / "ebtop")
_STEP_S = 0.01
"""A slow link brings a few bytes so often."""
_TOKEN = re.compile(
    r"\x1b\[([0-9;?><=$]*)([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b([=>78])|(\r)|(\n)|([^\x1b\r\n]+)"
)


class Link(NamedTuple):
    """What is between a program and its terminal."""

    bytes_per_s: int = 0
    """0: as fast as it comes."""
    room: int = 0
    """Bytes that it takes before they are shown, besides the kernel's own few KB."""
    answers: bool = True
    """Whether the terminal reports the position of its cursor when it is asked."""


class Screen:
    """The cells of a terminal: as much of one as a full-screen program uses that places every text it writes."""

    def __init__(self, columns: int, lines: int) -> None:
        self._text = [[" "] * columns for _ in range(lines)]
        self._styles = [[""] * columns for _ in range(lines)]
        self._x = self._y = 0
        self._saved = 0, 0
        self._style = ""
        self._attributes, self._colours = "", {"3": "", "4": ""}
        self._rest = ""

    def line(self, y: int) -> str:
        return "".join(self._text[y])

    @property
    def lines(self) -> list[str]:
        return [self.line(y) for y in range(len(self._text))]

    def style(self, x: int, y: int) -> str:
        """Attributes, colour and ground of a cell, as the numbers of an escape sequence."""
        return self._styles[y][x]

    def cells(self, style: str) -> Iterator[tuple[int, int]]:
        """Line and column where each run of cells begins whose style ends so."""
        for y, styles in enumerate(self._styles):
            last = ""
            for x, found in enumerate(styles):
                if found != last and found.endswith(style):
                    yield y, x
                last = found

    def feed(self, data: str) -> str:
        """Take in what a program has written; returns what the terminal has to say to it."""
        answer = ""
        data = self._rest + data
        at = 0
        while at < len(data):
            token = _TOKEN.match(data, at)
            if token is None:
                if len(data) - at > 4096:
                    raise ValueError(f"not understood: {data[at : at + 40]!r}")
                break
            at = token.end()
            numbers, final, save, carriage, newline, text = token.groups()
            if text:
                self._put(text)
            elif final == "m":
                self._set_style(numbers)
            elif final == "H":
                y, _, x = numbers.partition(";")
                self._y, self._x = int(y or 1) - 1, int(x or 1) - 1
            elif final == "n" and numbers == "6":
                answer += f"\x1b[{self._y + 1};{self._x + 1}R"
            elif save == "7":
                self._saved = self._x, self._y
            elif save == "8":
                self._x, self._y = self._saved
            elif carriage:
                self._x = 0
            elif newline:
                self._y += 1
        self._rest = data[at:]
        return answer

    def _set_style(self, numbers: str) -> None:
        words = iter(numbers.split(";"))
        for word in words:
            if word in ("", "0"):
                self._attributes, self._colours = "", {"3": "", "4": ""}
            elif word in ("38", "48"):
                kind = next(words)
                self._colours[word[0]] = ";".join((word, kind, *islice(words, 1 if kind == "5" else 3)))
            elif word in ("39", "49"):
                self._colours[word[0]] = ""
            elif (word[0] in "349" and len(word) == 2) or word[:2] == "10":
                self._colours["4" if word[0] in "41" else "3"] = word
            else:
                self._attributes += f"{word};"
        self._style = self._attributes + ";".join(filter(None, self._colours.values()))

    def _put(self, text: str) -> None:
        if self._y >= len(self._text):
            return
        cells, styles = self._text[self._y], self._styles[self._y]
        for character in text[: len(cells) - self._x]:
            cells[self._x], styles[self._x] = character, self._style
            self._x += 1


class Usage(NamedTuple):
    """Of the program so far."""

    cpu_s: float
    bytes: int
    """Written to the terminal."""
    at: float


class Terminal:
    """The program runs while the `with` block does."""

    def __init__(
        self,
        command: Sequence[str],
        columns: int = 200,
        lines: int = 50,
        link: Link = Link(),  # noqa: B008 - immutable
        environment: Mapping[str, str] | None = None,
        enter: Callable[[], None] | None = None,
    ) -> None:
        """`enter` is called in the child before the program starts."""
        self._link = link
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        variables = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **(environment or {})}
        variables.pop("COLORTERM", None)
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=variables, start_new_session=True, preexec_fn=enter
        )
        os.close(slave)
        self.pid = self._process.pid
        self.screen = Screen(columns, lines)
        self.written = 0
        """Bytes that the program has got rid of."""
        self.shown = 0
        """Bytes that the terminal has shown."""
        self._news = threading.Condition()
        self._last_at = 0.0
        self._way = bytearray()
        self._way_changed = threading.Condition()
        self._ended = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        threads = [self._draw_at_once] if not link.bytes_per_s else [self._fill_way, self._draw_slowly]
        self._threads = [threading.Thread(target=target, daemon=True) for target in threads]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the program as `q` would, whatever is on its way to the terminal; safe to call twice."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._link = Link()
        with self._way_changed:
            self._way_changed.notify_all()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if not self._ended:
            self._ended = True
            for thread in self._threads:
                thread.join(1.0)
            os.close(self._master)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait(self, seen: Callable[[Screen], bool], timeout_s: float = 60.0) -> float:
        """Until the screen is as wanted; returns when that was, a time of the monotonic clock. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        with self._news:
            while not seen(self.screen):
                left = deadline - time.monotonic()
                if left <= 0 or not self._news.wait(left):
                    raise TimeoutError
                if self._process.poll() is not None:
                    raise EOFError("\n".join(self.screen.lines))
            return self._last_at or time.monotonic()

    def seconds_to(self, keys: str, seen: Callable[[Screen], bool], timeout_s: float = 10.0) -> float:
        """Press, and measure how long it takes until the screen is as wanted. Raises TimeoutError."""
        with self._news:
            if seen(self.screen):
                raise ValueError(f"nothing would show that {keys!r} was pressed")
            pressed = time.monotonic()
            self.press(keys)
        return self.wait(seen, timeout_s) - pressed

    def usage(self) -> Usage:
        return Usage(cpu_seconds(self.pid), self.written, time.monotonic())

    def status_kb(self, field: str) -> int:
        """A field of /proc/PID/status."""
        match = re.search(rf"^{field}:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert match is not None
        return int(match[1])

    # How

    def _draw_at_once(self) -> None:
        while (data := self._read()) is not None:
            self._show(data)

    def _fill_way(self) -> None:
        while not self._ended:
            with self._way_changed:
                while len(self._way) > self._link.room and self._link.bytes_per_s:
                    self._way_changed.wait(1.0)
            # The kernel keeps what is not read; a large read would be a large link.
            data = self._read(1 << 16 if self._link.room or not self._link.bytes_per_s else 64)
            if data is None:
                return
            with self._way_changed:
                self._way += data

    def _draw_slowly(self) -> None:
        due, before = 0.0, time.monotonic()
        while not self._ended:
            time.sleep(_STEP_S)
            now = time.monotonic()
            due, before = due + (now - before) * self._link.bytes_per_s, now
            with self._way_changed:
                size = int(due) if self._link.bytes_per_s else len(self._way)
                data = bytes(self._way[:size])
                del self._way[:size]
                self._way_changed.notify_all()
            # What a link has not brought while there was nothing to bring is not made up for.
            due = due - len(data) if data else min(due, 1.0)
            if data:
                self._show(data)

    def _read(self, size: int = 1 << 16) -> bytes | None:
        while not self._ended:
            try:
                if select.select([self._master], [], [], 0.2)[0]:
                    data = os.read(self._master, size)
                    self.written += len(data)
                    return data
            except OSError:  # the program has closed its end
                return None
        return None

    def _show(self, data: bytes) -> None:
        now = time.monotonic()
        with self._news:
            answer = self.screen.feed(self._decoder.decode(data))
            self.shown += len(data)
            self._last_at = now
            self._news.notify_all()
        if self._link.answers and answer:
            with contextlib.suppress(OSError):
                os.write(self._master, answer.encode())


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
