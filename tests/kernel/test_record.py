"""`record` on the real program: however it ends, the file says what was seen up to then."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ebtop.errors import EbtopError
from ebtop.store.file.reader import SnapshotFile
from ebtop.store.records import ExecRecord
from tests.lab import execs
from tests.lab.process import TIMEOUT_S
from tests.lab.tracing import EBTOP, Ended, ebtop
from tests.tmux.tmux import Tmux

pytestmark = pytest.mark.usefixtures("root")


class Record:
    """A `record` that runs beside the test; it is attached when the `with` block begins."""

    def __init__(self, path: Path, *arguments: str, before: tuple[str, ...] = (), env: dict[str, str] | None = None):
        self.path = path
        self.process = subprocess.Popen(
            [*before, str(EBTOP), "record", "-o", str(path), *arguments], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env={**os.environ, **(env or {})},
        )  # fmt: skip
        self.first = ""

    def __enter__(self) -> Record:
        assert self.process.stderr is not None
        while "recording" not in self.first:
            self.first = self.process.stderr.readline()
            assert self.first, f"it ended with {self.process.wait()}"
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def end(self, number: int = 0) -> Ended:
        if number:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return Ended(self.process.returncode, out, err)

    def wait_for(self, what: Callable[[SnapshotFile], bool]) -> None:
        """Until the file, as it is while it is written, has something."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                file = SnapshotFile(self.path)
                found = what(file)
                file.close()
                if found:
                    return
            except EbtopError:
                pass  # it has only just been made
            assert time.monotonic() < deadline, "it does not come"
            time.sleep(0.1)


def started(file: SnapshotFile) -> set[int]:
    return {record.pid for record in file.records() if isinstance(record, ExecRecord) and record.ret == 0}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_one_whole_file(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "a.ebtop"
    with Record(path, "--probes", "exec,cpu", "--title", "storm") as record:
        storm = execs.exec_storm(50)
        record.wait_for(lambda file: {done.pid for done in storm.execs} <= started(file))
        ended = record.end(number)
    assert ended.code == 0
    assert len(ended.said) == 1, ended.said
    assert f"{path}: " in ended.said[0]
    assert "none lost" in ended.said[0]
    assert os.listdir(tmp_path) == ["a.ebtop"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    file = SnapshotFile(path)
    assert file.incomplete == ()
    assert file.host.name == os.uname().nodename
    assert file.collection.title == "storm"
    ask = sqlite3.connect(path).execute
    seen = dict(ask("SELECT e.pid, x.exit_code FROM execs e JOIN exits x USING (pid) WHERE e.ret = 0").fetchall())
    assert all(seen[done.pid] == done.exit_code for done in storm.execs if not done.signal)
    (events,) = ask("SELECT events FROM costs WHERE probe = 'exec'").fetchone()
    assert events >= 2 * len(storm.execs)


def test_a_killed_one_leaves_all_up_to_the_last_second(tmp_path: Path) -> None:
    path = tmp_path / "a.ebtop"
    with Record(path, "--probes", "exec") as record:
        storm = execs.exec_storm(40)
        wanted = {done.pid for done in storm.execs}
        record.wait_for(lambda file: wanted <= started(file))
        record.end(signal.SIGKILL)
    file = SnapshotFile(path)
    assert wanted <= started(file)
    assert file.being_written
    assert any("its writer was killed" in line for line in file.incomplete)
    assert wanted <= {row.pid for row in file.snapshot().execs}
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_it_ends_before_the_disk_is_full(small_disk: Path) -> None:
    path = small_disk / "a.ebtop"
    with Record(path, "--probes", "exec") as record:
        filler = small_disk / "filler"
        free = os.statvfs(small_disk)
        filler.write_bytes(bytes(free.f_bavail * free.f_frsize - 900_000))
        ended = record.end()
    assert ended.code == 0
    assert "ended because the file system is nearly full" in ended.err
    file = SnapshotFile(path)
    assert file.period.ended_why == "the file system is nearly full"
    file.close()


def test_a_file_that_can_not_grow_keeps_what_is_in_it(tmp_path: Path) -> None:
    """As on a disk that others fill: writing fails in the middle."""
    path = tmp_path / "a.ebtop"
    with Record(path, "--probes", "exec", before=("prlimit", "--fsize=330000")) as record:
        storm = execs.exec_storm(30)
        record.wait_for(lambda file: {done.pid for done in storm.execs} <= started(file))
        while record.process.poll() is None:
            execs.exec_storm(400, per_second=4000)
        ended = record.end()
    assert ended.code == 1
    assert any(f"can't write {path}" in line for line in ended.said), ended.said
    assert "Traceback" not in ended.err
    file = SnapshotFile(path)
    assert {done.pid for done in storm.execs} <= started(file)


def test_a_command_and_its_children_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.ebtop"
    ended = ebtop(
        "record", "-o", str(path), "--probes", "exec", "--", "sh", "-c", "/bin/true; sh -c '/bin/true'; exit 7"
    )
    assert ended.code == 7
    rows = sqlite3.connect(path).execute("SELECT comm, ppid, pid FROM execs WHERE ret = 0 ORDER BY time_ns").fetchall()
    assert [comm for comm, _, _ in rows][:1] == ["sh"]
    command = rows[0][2]
    assert [comm for comm, ppid, _ in rows if ppid == command] == ["true", "sh"] or len(rows) == 4
    assert len(rows) == 4
    assert SnapshotFile(path).period.ended_why == "the command ended"


@pytest.mark.parametrize(("command", "code"), [(["sh", "-c", "kill -9 $$"], 137), (["/no/such/program"], 127)])
def test_how_a_command_ends_is_how_it_ends(tmp_path: Path, command: list[str], code: int) -> None:
    ended = ebtop("record", "-o", str(tmp_path / "a.ebtop"), "--probes", "exec", "--", *command)
    assert ended.code == code
    SnapshotFile(tmp_path / "a.ebtop")


def test_a_signal_is_handed_on_to_the_command(tmp_path: Path) -> None:
    with Record(tmp_path / "a.ebtop", "--probes", "exec", "--", "sleep", "1000") as record:
        record.wait_for(lambda file: any(row.comm == "sleep" for row in file.snapshot().execs))
        ended = record.end(signal.SIGTERM)
    assert ended.code == 128 + signal.SIGTERM


def test_one_step_to_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "cpu.svg"
    spin = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
    ended = ebtop("record", "-o", str(path), "--rate", "499", "--", "sh", "-c", spin)
    assert ended.code == 0, ended.err
    assert path.read_text().startswith("<")
    assert os.listdir(tmp_path) == ["cpu.svg"]


def test_the_file_belongs_to_who_called_sudo(tmp_path: Path) -> None:
    path = tmp_path / "a.ebtop"
    env = {"SUDO_UID": "4321", "SUDO_GID": "1234"}
    assert ebtop("record", "-o", str(path), "--probes", "exec", "--duration", "1", env=env).code == 0
    assert (path.stat().st_uid, path.stat().st_gid) == (4321, 1234)


def test_x_freezes_what_the_screen_has(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    command = ["sh", "-c", f"cd {tmp_path} && exec {EBTOP} live --probes exec,cpu"]
    with Tmux(command, 200, 50, home) as terminal:
        terminal.wait_for("LIVE", "probes 2/2")
        storm = execs.exec_storm(20)
        pids = {done.pid for done in storm.execs}
        time.sleep(1.5)  # two ticks of the screen: until then the execs may be on their way
        terminal.press("x")
        terminal.wait_for("snapshot")
        terminal.type("from the screen")
        terminal.press("enter")
        terminal.wait_for("path copied; frozen: ")
        assert terminal.running
        (path,) = tmp_path.glob("ebtop_*.ebtop")
        terminal.press("q")
        assert terminal.wait() == 0
    file = SnapshotFile(path)
    assert file.collection.title == "from the screen"
    assert pids <= started(file)
    folder = path.with_suffix("")
    assert {"summary.md", "screen.svg", "cpu.svg", "cpu.pb.gz", "doctor.json"} <= set(os.listdir(folder))
    with Tmux([EBTOP, "replay", str(path)], environment=home) as terminal:
        terminal.wait_for("REPLAY paused", os.uname().nodename)
        terminal.press("left_square_bracket", "space")
        terminal.wait_for("REPLAY 1x")
        terminal.press("q")
        assert terminal.wait() == 0
