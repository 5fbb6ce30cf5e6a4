"""The doctor on the running kernel, compared with what the kernel says in other ways."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ebtop.kernel.doctor import Check, run_checks
from ebtop.kernel.doctor.attempts import Attempts

NOBODY = 65534


@pytest.fixture(scope="module")
def checks() -> dict[str, Check]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return {check.name: check for check in run_checks()}


def test_the_machine_that_runs_the_tests_is_ready(checks: dict[str, Check]) -> None:
    assert [c for c in checks.values() if c.status == "fail"] == []
    assert checks["kernel"].value == os.uname().release


def test_lockdown_and_modules_are_read_without_a_visible_mount(checks: dict[str, Check]) -> None:
    before = Path("/proc/self/mounts").read_text()
    again = {check.name: check for check in run_checks()}
    assert Path("/proc/self/mounts").read_text() == before
    assert again["lsm"].value == checks["lsm"].value
    assert again["lsm"].status == "ok"


def test_attempts_leave_no_descriptor_behind() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    attempts = Attempts()
    before = os.listdir("/proc/self/fd")
    attempts.load_program()
    attempts.enable_stats()
    attempts.open_sampler()
    attempts.open_tracefs()
    attempts.read_securityfs("lsm")
    with pytest.raises(FileNotFoundError):
        attempts.read_securityfs("no-such-file")
    assert os.listdir("/proc/self/fd") == before


def test_json_and_exit_code_of_the_command() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    code = "import sys; from ebtop.kernel import doctor; sys.exit(doctor.main(json=True))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    report = json.loads(done.stdout)
    assert (done.returncode, report["ready"], done.stderr) == (0, True, "")
    assert all(set(check) == {"name", "status", "value", "need", "fix"} for check in report["checks"])


def test_a_user_without_privileges_is_told_what_is_missing() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become nobody")
    # Privileges go after the import: the checkout may lie where only root can read.
    code = f"""import os, sys
from ebtop.kernel import doctor
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
sys.exit(doctor.main())"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (1, "")
    assert "missing CAP_BPF, CAP_PERFMON" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(("redirection", "why"), [(">/dev/full", "No space left on device"), (">&-", "is closed")])
def test_an_output_that_takes_nothing_is_one_line(redirection: str, why: str) -> None:
    command = f'exec "$0" -m ebtop doctor {redirection}'
    done = subprocess.run(["sh", "-c", command, sys.executable], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert re.fullmatch(rf"ebtop: the findings can't be written: .*{why}\n", done.stderr)


def test_a_reader_that_went_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "ebtop", "doctor"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert done.stderr == ""
