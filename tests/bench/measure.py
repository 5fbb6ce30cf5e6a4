"""Run one tool under one storm and take its figures from the kernel, the same way for every tool."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import time
import tty
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.storms import Found, Load, Storm
from tests.bench.tools import Tool
from tests.lab import bpf_objects

START_TIMEOUT_S = 20.0
IDLE_S = 0.4
"""A tool that used next to no CPU for so long has nothing left to do."""
IDLE_CPU_S = 0.025


class ToolFailed(Exception):
    """A tool did not start here; the message is what it said."""


@dataclass(frozen=True)
class Usage:
    """What a tool has used since its start. BPF figures need run-time statistics to be on."""

    cpu_s: float
    bpf_ns: int
    bpf_runs: int


@dataclass(frozen=True)
class Run:
    """One storm under one tool."""

    elapsed_s: float
    events: int
    cpu_s: float
    bpf_ns: int
    rss_bytes: int
    """Peak, of the tool and its children."""
    map_bytes: int
    found: Found


def first_event_s(tool: Tool, storm: Storm, environment: Mapping[str, str]) -> float:
    """Seconds from starting the tool until it prints, to a terminal, the first of events that happen all the time."""
    ours, terminal = pty.openpty()
    tty.setraw(terminal)
    with storm.sparks(), tempfile.TemporaryFile() as errors:
        begin = time.monotonic()
        process = subprocess.Popen(tool.command, stdout=terminal, stderr=errors, env=environment)
        os.close(terminal)
        try:
            _read_until(ours, storm.spark_pattern, begin + START_TIMEOUT_S)
            return time.monotonic() - begin
        except (OSError, TimeoutError):
            raise ToolFailed(_last_words(errors)) from None
        finally:
            _end(process)
            os.close(ours)


def storm_under(tool: Tool, storm: Storm, load: Load, environment: Mapping[str, str]) -> Run:
    """One storm while the tool runs, its output going to a file."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(tool.command, stdout=output, stderr=errors, env=environment)
        try:
            with storm.sparks():
                _wait_until_attached(process)
            _wait_until_idle(process.pid)
            before = usage(process.pid)
            result = storm.run(load)
            _wait_until_idle(process.pid)
            after = usage(process.pid)
            rss, maps = _peak_rss(process.pid), _map_bytes(process.pid)
        except (psutil.NoSuchProcess, FileNotFoundError, TimeoutError):
            raise ToolFailed(_last_words(errors)) from None
        finally:
            _end(process)
        output.seek(0)
        found = result.readers[tool.reader](output.read())
    return Run(
        elapsed_s=result.elapsed_s,
        events=result.events,
        cpu_s=after.cpu_s - before.cpu_s,
        bpf_ns=after.bpf_ns - before.bpf_ns,
        rss_bytes=rss,
        map_bytes=maps,
        found=found,
    )


def usage(pid: int) -> Usage:
    """CPU time of a process and all its children; time and runs of the BPF programs it holds."""
    cpu = 0.0
    process = psutil.Process(pid)
    for member in (process, *process.children(recursive=True)):
        times = member.cpu_times()
        cpu += times.user + times.system + times.children_user + times.children_system
    programs: dict[str, tuple[int, int]] = {}
    for info in bpf_objects.descriptors(pid):
        if "run_cnt" in info:
            programs[info["prog_id"]] = int(info["run_time_ns"]), int(info["run_cnt"])
    return Usage(cpu, sum(ns for ns, _ in programs.values()), sum(runs for _, runs in programs.values()))


def _map_bytes(pid: int) -> int:
    maps = {info["map_id"]: int(info["memlock"]) for info in bpf_objects.descriptors(pid) if "map_id" in info}
    return sum(maps.values())


def _peak_rss(pid: int) -> int:
    process = psutil.Process(pid)
    total = 0
    for member in (process, *process.children(recursive=True)):
        status = Path(f"/proc/{member.pid}/status").read_text()
        peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        total += int(peak[1]) * 1024 if peak else 0
    return total


def _wait_until_attached(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while usage(process.pid).bpf_runs == 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


def _wait_until_idle(pid: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        before = usage(pid).cpu_s
        time.sleep(IDLE_S)
        if usage(pid).cpu_s - before < IDLE_CPU_S:
            return
    raise TimeoutError


def _read_until(descriptor: int, pattern: re.Pattern[bytes], deadline: float) -> None:
    seen = b""
    while not pattern.search(seen):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise TimeoutError
        seen += os.read(descriptor, 1 << 16)


def _last_words(errors: tempfile._TemporaryFileWrapper[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing of the events")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(START_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
