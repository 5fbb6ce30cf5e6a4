from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebtop.ui import clipboard
from ebtop.ui.clipboard import CopyReport, copy, display_is_local, escaped, terminal_sequences
from ebtop.ui.folders import config_folder, runtime_folder, state_folder, write_private

BARE = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}


async def copied(text: str, tmp_path: Path, **environ: str) -> tuple[CopyReport, str]:
    """The report, and what the terminal was sent."""
    sent: list[str] = []
    report = await copy(text, "row", sent.append, environ={**BARE, **environ}, folders=[tmp_path / "run"])
    return report, "".join(sent)


async def test_a_plain_terminal_gets_osc_52_and_the_file_is_private(tmp_path: Path) -> None:
    report, sent = await copied("nginx 1234\nü", tmp_path)
    encoded = b64encode("nginx 1234\nü".encode()).decode()
    assert sent == f"\x1b]52;c;{encoded}\x07"
    assert report.file == tmp_path / "run" / "copied.txt"
    assert report.file.read_text("utf-8") == "nginx 1234\nü"
    assert stat.S_IMODE(report.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(report.file.parent.stat().st_mode) == 0o700
    assert report.line() == f"row copied: the terminal (OSC 52) · {report.file}"


async def test_control_characters_do_not_leave_the_program(tmp_path: Path) -> None:
    report, sent = await copied("a\x1b]0;evil\x07\tb\r\n\x9b31m\u202e", tmp_path)
    text = "a\\x1b]0;evil\\x07\tb\\x0d\n\\x9b31m\\u202e"
    assert report.file is not None
    assert report.file.read_text("utf-8") == text
    assert b64decode(sent.removeprefix("\x1b]52;c;").removesuffix("\x07")).decode() == text
    assert escaped("plain\n\tlines\n") == "plain\n\tlines\n"


async def test_what_is_too_long_for_the_terminal_goes_to_the_file_alone(tmp_path: Path) -> None:
    report, sent = await copied("x" * clipboard.TERMINAL_LIMIT, tmp_path)
    assert len(sent) > 99_990
    report, sent = await copied("x" * (clipboard.TERMINAL_LIMIT + 1), tmp_path)
    assert sent == ""
    assert report.file is not None
    assert report.file.stat().st_size == clipboard.TERMINAL_LIMIT + 1
    assert report.line() == (
        f"row copied: {report.file}; too long for the terminal's clipboard (74,995 of at most 74,994 bytes)"
    )


def test_screen_gets_it_in_pieces() -> None:
    data = os.urandom(3000)
    (sent,) = terminal_sequences(data, {"STY": "1.pts", "TERM": "screen"})
    pieces = sent.split("\x1b\\")
    assert pieces.pop() == ""
    assert all(piece.startswith("\x1bP") and len(piece) <= 250 for piece in pieces)
    assert "".join(piece[2:] for piece in pieces) == f"\x1b]52;c;{b64encode(data).decode()}\x07"


def test_tmux_gets_it_plain_and_to_hand_on() -> None:
    for environ in ({"TMUX": "/tmp/x,1,0", "TERM": "screen"}, {"TERM": "tmux-256color"}):
        plain, wrapped = terminal_sequences(b"hi", environ)
        assert plain == "\x1b]52;c;aGk=\x07"
        assert wrapped == "\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\"


def test_behind_ssh_a_screen_may_be_either() -> None:
    plain, wrapped = terminal_sequences(b"hi", {"TERM": "screen-256color"})
    assert plain == "\x1b]52;c;aGk=\x07"
    assert wrapped == "\x1bP\x1b]52;c;aGk=\x07\x1b\\"
    assert "tmux;" not in wrapped, "screen would print it"


@pytest.mark.parametrize(
    ("environ", "local"),
    [
        ({}, False),
        ({"DISPLAY": ":0"}, True),
        ({"DISPLAY": "unix:0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "1 2 3 4"}, False),
        ({"WAYLAND_DISPLAY": "wayland-0", "SSH_TTY": "/dev/pts/1"}, False),
        ({"DISPLAY": "localhost:10.0"}, False),
    ],
)
def test_only_a_display_next_to_the_keyboard_is_used(environ: dict[str, str], local: bool) -> None:
    assert display_is_local(environ) is local


def fake_tools(folder: Path, works: bool) -> dict[str, str]:
    """An xclip that keeps what it was given, or one that claims to and does not, as with a dead display."""
    folder.mkdir()
    tool = folder / "xclip"
    kept = folder / "selection"
    tool.write_text(
        f"#!/bin/sh\ncase $* in *-o*) cat {kept} ;; *) cat >{kept if works else '/dev/null'} ;; esac\n"
        'echo "Error: Can\'t open display" >&2\n'
    )
    tool.chmod(0o755)
    if not works:
        kept.write_text("")
    return {"PATH": f"{folder}:{BARE['PATH']}", "DISPLAY": ":77"}


@pytest.mark.parametrize("works", [True, False])
async def test_the_desktop_is_believed_only_when_it_gives_the_text_back(
    tmp_path: Path, works: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    report, _ = await copied("to the desktop", tmp_path, **fake_tools(tmp_path / "bin", works))
    assert ("the desktop's clipboard" in report.ways) is works
    assert capfd.readouterr() == ("", ""), "what the tool prints must not reach the screen"


def ends(pid_file: Path) -> bool:
    """Whether a process ends, within the moment that a kill takes."""
    state = Path(f"/proc/{pid_file.read_text().strip()}/stat")
    limit = time.monotonic() + 10
    while state.exists() and state.read_text().split(") ")[1][0] not in "ZX":
        if time.monotonic() > limit:
            return False
        time.sleep(0.01)
    return True


async def test_a_desktop_that_hangs_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = fake_tools(tmp_path / "bin", works=True)
    (tmp_path / "bin" / "xclip").write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 60\n")
    monkeypatch.setattr(clipboard, "_TIMEOUT_S", 1.0)
    report, _ = await copied("x", tmp_path, **environ)
    assert report.ways == ("the terminal (OSC 52)",)
    assert ends(tmp_path / "pid"), "its helper must not stay behind"


async def test_a_planted_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    (folder / "copied.txt").symlink_to(victim)
    (folder / f".copied.txt.{os.getpid()}").symlink_to(victim)
    report, _ = await copied("secret", tmp_path)
    assert victim.read_text() == "untouched"
    assert report.file is not None
    assert not report.file.is_symlink()
    assert report.file.read_text() == "secret"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_folder_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    report = await copy("x", "row", None, environ=BARE, folders=[tmp_path / "link", tmp_path / "good"])
    assert report.file == tmp_path / "good" / "copied.txt"
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert report.line() == f"row copied: {report.file}"


async def test_nothing_worked_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Path:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(clipboard, "write_private", refuse)
    report = await copy("x", "row", None, environ=BARE, folders=[tmp_path])
    assert not report.worked
    assert report.line() == "the row could not be copied; no file could be written: Read-only file system"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to somebody else")
def test_root_does_not_use_the_folders_of_who_called_sudo(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    environ = {"HOME": str(theirs), "XDG_CONFIG_HOME": str(theirs / "c"), "XDG_RUNTIME_DIR": str(theirs)}
    assert theirs not in config_folder(environ).parents
    assert theirs not in state_folder(environ).parents
    assert runtime_folder(environ) is None
    with pytest.raises(PermissionError):
        write_private(theirs, "x", b"")
    assert list(theirs.iterdir()) == []


def test_folders_of_our_own(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert config_folder(home) == tmp_path / ".config/ebtop"
    assert state_folder(home) == tmp_path / ".local/state/ebtop"
    assert config_folder({"XDG_CONFIG_HOME": str(tmp_path / "c")}) == tmp_path / "c/ebtop"
    assert config_folder({"EBTOP_CONFIG_DIR": "/etc/ebtop"}) == Path("/etc/ebtop")
    assert runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "ebtop"
    assert runtime_folder({}) is None


class Tmux:
    """A server of its own, whose pane runs what a test wants."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "tmux"
        self.environ = {"PATH": BARE["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8"}

    def __call__(self, *arguments: str, **options: object) -> str:
        command = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=self.environ)
        return done.stdout

    def wait_for_buffer(self) -> str:
        end = time.monotonic() + 20
        while not (text := self("show-buffer")) and time.monotonic() < end:
            time.sleep(0.05)
        return text


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    server = Tmux(tmp_path)
    server("new-session", "-d", "-x", "80", "-y", "24", "sleep 600")
    yield server
    server("kill-server")


async def test_the_buffer_of_tmux_is_filled(tmux: Tmux, tmp_path: Path) -> None:
    report, _ = await copied("a stack;with frames\nof two lines", tmp_path, TMUX=f"{tmux.socket},1,0")
    assert "tmux's buffer" in report.ways
    assert tmux("show-buffer") == "a stack;with frames\nof two lines"


async def test_a_tmux_that_is_gone_is_not_claimed(tmp_path: Path) -> None:
    report, _ = await copied("x", tmp_path, TMUX=f"{tmp_path / 'gone'},1,0")
    assert "tmux's buffer" not in report.ways


@pytest.mark.parametrize("option", [("set-clipboard", "on"), ("allow-passthrough", "on")], ids=lambda o: o[0])
def test_what_is_written_in_tmux_reaches_the_terminal_around_it(
    tmux: Tmux, tmp_path: Path, option: tuple[str, str]
) -> None:
    """A tmux in a tmux: the outer one is the terminal, which keeps what OSC 52 brings in its buffer."""
    inner = tmp_path / "inner"
    sequences = tmp_path / "sequences"
    sequences.write_text("".join(terminal_sequences(b"through both", {"TMUX": "x"})))
    script = tmp_path / "show.sh"
    script.write_text(f"sleep 1; cat {sequences}; sleep 60\n")
    (tmp_path / "conf").write_text(
        "set -s set-clipboard off\nset -wg allow-passthrough off\n"
        f"set {'-s' if option[0] == 'set-clipboard' else '-wg'} {' '.join(option)}\n"
    )
    tmux("set-option", "-s", "set-clipboard", "on")
    try:
        tmux("new-window", f"env -u TMUX TERM=xterm-256color tmux -S {inner} -f {tmp_path / 'conf'} new sh {script}")
        assert tmux.wait_for_buffer() == "through both"
    finally:
        subprocess.run(["tmux", "-S", str(inner), "kill-server"], capture_output=True, timeout=20)


def test_pyperclip_is_not_loaded_into_the_program() -> None:
    code = "import sys, ebtop.ui.clipboard; sys.exit('pyperclip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
