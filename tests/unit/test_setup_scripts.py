"""bin/ebtop and bin/test in a made-up checkout, without a network: its environment has a stand-in for Python.

The stand-in writes its arguments to a journal; as `-m ebtop` it prints them, one a line.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
PYTHON = """#!/bin/sh
printf '%s\\n' "$*" >>"{journal}"
case "$*" in
*"-m pip install"*) sleep 0.2 ;;
*"-m ebtop"*) printf '%s\\n' "$@" ;;
esac
"""


class Checkout:
    """A copy of the scripts, with an environment that looks complete after `stamp()`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.script = root / "bin" / "ebtop"
        self.venv = root / ".venv"
        self.journal = root / "journal"
        shutil.copytree(ROOT / "bin", root / "bin")
        shutil.copy(ROOT / "pyproject.toml", root)
        (root / "ebtop").mkdir()
        (self.venv / "bin").mkdir(parents=True)
        python = self.venv / "bin" / "python"
        python.write_text(PYTHON.format(journal=self.journal))
        python.chmod(0o755)
        shims = root / "shims"
        shims.mkdir()
        (shims / "apt-get").write_text("#!/bin/sh\nexit 1\n")
        (shims / "apt-get").chmod(0o755)
        self.environment = {"PATH": f"{shims}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(root), "PIP_NO_INDEX": "1"}

    def run(
        self, *args: str, script: Path | None = None, cwd: str | Path = "/", privileged: bool = True
    ) -> subprocess.CompletedProcess[str]:
        drop = not privileged and os.geteuid() == 0
        return subprocess.run(
            [str(script or self.script), *args],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=self.environment,
            cwd=cwd,
            user=NOBODY if drop else None,
            group=NOBODY if drop else None,
            extra_groups=[] if drop else None,
        )

    def set_up(self) -> None:
        """Let the scripts themselves complete the environment."""
        done = self.run("doctor")
        assert (done.returncode, done.stdout) == (0, "-I\n-m\nebtop\ndoctor\n"), done.stderr
        self.journal.unlink()

    def calls(self, part: str) -> int:
        return sum(part in line for line in self.journal.read_text().splitlines())


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    """In a directory that every user can reach."""
    directory = tempfile.mkdtemp(prefix="ebtop-checkout-")
    os.chmod(directory, 0o755)
    try:
        yield Checkout(Path(directory).resolve() / "a checkout")
    finally:
        shutil.rmtree(directory)


def test_the_second_start_only_starts_the_program(checkout: Checkout) -> None:
    checkout.set_up()
    done = checkout.run("replay", "two words", "", "*")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "-I\n-m\nebtop\nreplay\ntwo words\n\n*\n"
    assert checkout.journal.read_text().count("\n") == 1


def test_it_starts_from_anywhere_and_through_links(checkout: Checkout, tmp_path: Path) -> None:
    checkout.set_up()
    link, link_to_link, directory = tmp_path / "ebtop", tmp_path / "again", tmp_path / "opt"
    link.symlink_to(checkout.script)
    link_to_link.symlink_to("ebtop")
    directory.symlink_to(checkout.root)
    for script in (link, link_to_link, directory / "bin" / "ebtop"):
        assert checkout.run("doctor", script=script).stdout.endswith("doctor\n")
    assert checkout.run("doctor", script=Path("bin/ebtop"), cwd=checkout.root).returncode == 0
    assert subprocess.run(["sh", "ebtop", "doctor"], cwd=checkout.root / "bin", capture_output=True).returncode == 0


def test_it_starts_in_a_deleted_directory(checkout: Checkout, tmp_path: Path) -> None:
    checkout.set_up()
    gone = tmp_path / "gone"
    gone.mkdir()
    command = 'cd "$1" && rmdir "$1" && exec "$2" doctor'
    done = subprocess.run(["sh", "-c", command, "sh", str(gone), str(checkout.script)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "-I\n-m\nebtop\ndoctor\n")


def test_changed_dependencies_are_installed_once(checkout: Checkout) -> None:
    checkout.set_up()
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    first, second = checkout.run("doctor"), checkout.run("doctor")
    assert "setting up" in first.stderr
    assert (first.returncode, second.returncode, second.stderr) == (0, 0, "")
    assert checkout.calls("-m pip install") == 1


def test_two_first_starts_set_up_once(checkout: Checkout) -> None:
    starts = [
        subprocess.Popen([str(checkout.script), "doctor"], env=checkout.environment, stdin=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [start.wait(60) for start in starts] == [0, 0, 0]
    assert checkout.calls("-m pip install") == 1
    assert checkout.calls("-m ebtop") == 3


def test_a_set_up_that_failed_says_why_and_is_begun_afresh(checkout: Checkout) -> None:
    (checkout.venv / "ebtop-incomplete").touch()
    (checkout.venv / "left over").touch()
    done = checkout.run("doctor")
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, done.stdout) == (1, "")
    assert "making a virtual environment" in done.stderr
    assert last.startswith("ebtop: can't install the Python packages: No matching distribution found")
    assert "PIP_INDEX_URL" in last
    log = Path(last.rpartition("(log: ")[2].rstrip(")"))
    assert "ERROR" in log.read_text()
    log.unlink()
    assert not (checkout.venv / "left over").exists()
    assert not (checkout.venv / "ebtop-run").exists()
    assert (checkout.venv / "ebtop-incomplete").exists()


def test_a_copied_checkout_gets_an_environment_of_its_own(checkout: Checkout) -> None:
    checkout.set_up()
    copy = checkout.root.parent / "copy"
    shutil.copytree(checkout.root, copy)
    done = checkout.run("doctor", script=copy / "bin" / "ebtop")
    assert f"making a virtual environment in {copy}/.venv" in done.stderr
    Path(done.stderr.rpartition("(log: ")[2].strip().rstrip(")")).unlink()


@pytest.mark.parametrize("command", [[], ["live"], ["trace", "exec", "--json"], ["record", "-o", "x"], ["--rate", "9"]])
def test_without_privileges_one_line_says_what_is_needed(checkout: Checkout, command: list[str]) -> None:
    done = checkout.run(*command, privileged=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "needs root, or the capabilities CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN" in done.stderr
    assert done.stderr.rstrip().endswith(" ".join([f"run: sudo {checkout.script}", *command]))


@pytest.mark.parametrize("command", [["--help"], ["--version"], ["live", "--help"], ["doctor"], ["replay", "x"]])
def test_what_loads_nothing_needs_no_privileges(checkout: Checkout, command: list[str]) -> None:
    checkout.set_up()
    done = checkout.run(*command, privileged=False)
    assert (done.returncode, done.stdout.split()) == (0, ["-I", "-m", "ebtop", *command])


def test_the_whole_test_run_needs_root(checkout: Checkout) -> None:
    done = checkout.run(script=checkout.root / "bin" / "test", privileged=False)
    assert done.returncode == 1
    assert "kernel tests load eBPF programs and need root" in done.stderr


def test_an_environment_behind_a_link_is_never_cleared(checkout: Checkout, tmp_path: Path) -> None:
    theirs = tmp_path / "their-environment"
    checkout.venv.rename(theirs)
    (theirs / "ebtop-run").write_text("made for another checkout\n")
    checkout.venv.symlink_to(theirs)
    done = checkout.run("trace", "exec")
    assert done.returncode == 1
    assert "is a link to an environment that belongs to another checkout" in done.stderr
    assert (theirs / "bin" / "python").exists()
