"""`ebtop demo`: it shows what it promises, and nothing of it stays, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from ebtop.demo.launch import Demo
from ebtop.kernel import netns
from ebtop.kernel.cgroups import CgroupHierarchy
from ebtop.kernel.descendants import descendants
from ebtop.probes.base import Settings
from ebtop.store.records import ConnectRecord, ExecRecord, ExitRecord, RetransmitRecord, StackRecord, TcpRecord
from tests.lab import bpf_objects
from tests.lab.collect import Collector
from tests.lab.process import TIMEOUT_S
from tests.lab.tracing import EBTOP, ebtop
from tests.tmux.tmux import Tmux, wait_gone

pytestmark = pytest.mark.usefixtures("root")

WORKERS = {
    "api-server", "postgres", "ldap", "img-service", "web-worker", "orders", "metrics", "report", "log-rotate", "cron",
}  # fmt: skip
EVENTS: dict[Callable[[Collector], set[object]], set[object]] = {
    lambda c: {r.kind for r in c.of(RetransmitRecord)}: {"rto", "fast", "syn", "synack"},
    lambda c: {r.result for r in c.of(ConnectRecord)}: {"ok", "refused", "timeout", "aborted"},
    lambda c: {r.ret for r in c.of(ExecRecord)}: {0, -errno.ENOENT},
    lambda c: {(r.exit_code, r.signal) for r in c.of(ExitRecord)}: {(0, 0), (3, 0), (0, signal.SIGKILL)},
    lambda c: {r.comm for r in c.of(StackRecord)}: {"img-service", "report", "log-rotate"},
    lambda c: {r.ip for r in c.of(TcpRecord)}: {4, 6},
}


class Workload(NamedTuple):
    """What must be gone at the end."""

    pids: set[int]
    """The supervisor and its workers."""
    namespace: int
    cgroup: Path

    def assert_gone(self) -> None:
        for pid in self.pids:
            wait_gone(pid)
        assert self.namespace not in netns.find()
        assert not self.cgroup.exists()


def workload(supervisor: int) -> Workload:
    pids = {supervisor, *descendants([supervisor])}
    directory = Path(CgroupHierarchy.detect().mount, f"ebtop-demo-{supervisor}")
    namespace = os.stat(f"/proc/{supervisor}/ns/net").st_ino
    assert namespace != netns.own()
    return Workload(pids, namespace, directory)


def comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return ""


def command_lines(demo: Demo) -> dict[str, str]:
    """Of each worker, by its name; those that run other programs give themselves one a moment later."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found = {}
        for pid in descendants([demo.pid]):
            with contextlib.suppress(OSError):
                arguments = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0")
                found[comm(pid)] = arguments.replace("\0", " ")
        if found.keys() >= WORKERS:
            return found
        assert time.monotonic() < deadline, f"there are only {', '.join(found)}"
        time.sleep(0.01)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_it_shows_what_it_promises() -> None:
    with Demo() as demo, Collector(
        ("cpu", "exec", "tcp", "retransmits", "connects"), Settings(hertz=199, min_latency_ms=0.0), demo.filter_spec
    ) as collected:  # fmt: skip
        for what, wanted in EVENTS.items():
            collected.wait_until(lambda c, what=what, wanted=wanted: what(c) >= wanted)
        assert command_lines(demo).keys() >= WORKERS, "one of them has ended"
    slow = [r for r in collected.of(ConnectRecord) if r.result == "ok" and r.latency_ms > 900]
    assert slow, "a lost SYN costs a second"
    frames = {frame.name for r in collected.of(StackRecord) if r.comm == "img-service" for frame in r.frames}
    assert {"handle_request", "resize", "decode_jpeg"} <= frames


def test_workers_are_called_after_their_work(temporary: Path) -> None:
    with Demo() as demo:
        lines = command_lines(demo)
        assert lines["postgres"] == "postgres: orders 10.20.0.20:5432"
        assert lines["img-service"] == "img-service --listen 10.20.0.70:8081"
        assert comm(demo.pid) == "ebtop-demo"
        left = workload(demo.pid)
        assert list(temporary.iterdir()) == []
    left.assert_gone()


def test_two_at_a_time_do_not_meet() -> None:
    with Demo() as one, Demo() as two:
        assert one.cgroup != two.cgroup
        first, second = workload(one.pid), workload(two.pid)
        assert not first.pids & second.pids
        assert first.namespace != second.namespace
        one.close()
        first.assert_gone()
        assert command_lines(two).keys() >= WORKERS
    second.assert_gone()


def quit_by_key(terminal: Tmux) -> None:
    terminal.press("q")


def interrupt(terminal: Tmux) -> None:
    terminal.press("ctrl+c")


def send(number: signal.Signals) -> Callable[[Tmux], None]:
    return lambda terminal: os.kill(terminal.pid, number)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (quit_by_key, 0),
        (interrupt, 0),
        (send(signal.SIGTERM), 128 + signal.SIGTERM),
        (send(signal.SIGHUP), 128 + signal.SIGHUP),
        (send(signal.SIGKILL), 128 + signal.SIGKILL),
    ],
    ids=["q", "ctrl+c", "SIGTERM", "SIGHUP", "SIGKILL"],
)
def test_nothing_of_it_stays(temporary: Path, end: Callable[[Tmux], None], code: int) -> None:
    with Tmux([EBTOP, "demo"]) as terminal:
        terminal.wait_for("LIVE", "img-service")
        left = workload(next(pid for pid in descendants([terminal.pid]) if comm(pid) == "ebtop-demo"))
        loaded = bpf_objects.held_by(terminal.pid)
        end(terminal)
        assert terminal.wait() == code
        left.assert_gone()
    bpf_objects.assert_gone(loaded)
    assert list(temporary.iterdir()) == []


def test_it_ends_by_itself_after_the_time_asked_for() -> None:
    with Tmux([EBTOP, "demo", "--seconds", "4s"]) as terminal:
        assert terminal.wait() == 0
        assert "0 left" in terminal.said()


def test_a_killed_supervisor_takes_the_workers_along() -> None:
    with Demo() as demo:
        left = workload(demo.pid)
        os.kill(demo.pid, signal.SIGKILL)
    left.assert_gone()


def test_without_a_compiler_the_image_service_burns_what_python_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with Demo() as demo:
        assert [note for note in demo.notes if note.startswith("no C compiler")]
        service = next(pid for pid in descendants([demo.pid]) if comm(pid) == "img-service")
        assert os.path.samefile(f"/proc/{service}/exe", sys.executable)


def test_where_no_cgroup_can_be_made_the_process_is_followed() -> None:
    mount = CgroupHierarchy.detect().mount
    code = (
        "from ebtop.demo.launch import Demo\n"
        "with Demo() as demo:\n"
        "    print(demo.filter_spec.describe() == f'pid {demo.pid} and children', demo.notes)\n"
    )
    script = f'mount --bind {mount} {mount} && mount -o remount,ro,bind {mount} && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", code],
        capture_output=True, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.startswith("True ('no cgroup can be made here")


def test_it_needs_a_network_of_its_own() -> None:
    with Tmux(["setpriv", "--bounding-set=-sys_admin", EBTOP, "demo"]) as terminal:
        assert terminal.wait() == 1
        said = terminal.said()
    assert said.startswith("ebtop: can't make a network for the demo's workload: Operation not permitted; run it with")


def test_it_needs_a_terminal() -> None:
    ended = ebtop("demo")
    assert ended.code == 1
    assert ended.said == ["ebtop: the screen needs a terminal: input or output is not one; use `ebtop trace` in pipes"]
