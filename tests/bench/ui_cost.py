"""What the TUI alone costs: start, CPU, bytes on the wire and memory, on a made-up busy node in a pseudo-terminal.

    python tests/bench/ui_cost.py [--seconds 20] [--size 200x50] [--stacks 160]

Prints figures and judges nothing. The CPU time of making up the data is measured apart and taken off.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ui")]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
WARM_UP_S = 4.0


def child(stacks: int) -> int:
    """The app itself, as the command line runs it, but on a fake source."""
    from fakes import BusyNode, FakeSource, FakeTimeline

    from ebtop.ui.app import run

    return run(FakeSource(), FakeTimeline(BusyNode(stacks_a_second=stacks).snapshot))


def generator_ms(stacks: int) -> float:
    """CPU milliseconds that one made-up second takes."""
    from fakes import BusyNode

    node = BusyNode(stacks_a_second=stacks)
    node.snapshot()
    began = time.process_time()
    for _ in range(50):
        node.snapshot()
    return (time.process_time() - began) * 20


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


class Terminal:
    """The far end of a pseudo-terminal with a program on it."""

    def __init__(self, size: tuple[int, int], command: list[str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.began = time.monotonic()
        environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        environment.pop("COLORTERM", None)
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.bytes = 0
        self.first_paint_s: float | None = None
        self.first_data_s: float | None = None

    def read_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                return
            try:
                data = os.read(self.master, 1 << 16)
            except OSError:  # EIO: the program has closed its end
                return
            self.bytes += len(data)
            now = time.monotonic() - self.began
            if self.first_paint_s is None and b"RETRANSMITS" in data:
                self.first_paint_s = now
            if self.first_data_s is None and b"nginx" in data:
                self.first_data_s = now

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.read_for(1.0)
        return self.process.wait(timeout=10)


def main() -> int:
    parser = argparse.ArgumentParser(description="Cost of the TUI on made-up data.")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--size", default="200x50")
    parser.add_argument("--stacks", type=int, default=160, help="distinct stacks a second")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(args.stacks)
    width, height = (int(part) for part in args.size.split("x"))
    command = [sys.executable, __file__, "--child", "--stacks", str(args.stacks)]
    terminal = Terminal((width, height), command)
    pid = terminal.process.pid
    terminal.read_for(WARM_UP_S)
    bytes_before, cpu_before = terminal.bytes, cpu_s(pid)
    terminal.read_for(args.seconds)
    spent, memory = cpu_s(pid) - cpu_before, rss_mib(pid)
    made_up = generator_ms(args.stacks)
    code = terminal.end()
    print(f"size               {width}x{height}, {args.stacks} stacks a second")
    print(f"first paint        {terminal.first_paint_s or 0:.2f} s from process start")
    print(f"first data         {terminal.first_data_s or 0:.2f} s")
    print(f"CPU                {1000 * spent / args.seconds - made_up:.1f} ms a second (made-up data: {made_up:.1f})")
    print(f"bytes a refresh    {(terminal.bytes - bytes_before) / args.seconds:.0f}")
    print(f"RSS                {memory:.1f} MiB")
    print(f"exit after SIGTERM {code}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
