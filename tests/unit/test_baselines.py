"""`ebtop baseline`: what it records, lists and removes, and how `diff` finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebtop import baselines, cli
from ebtop.errors import EbtopError, UsageError
from tests.unit.file_makers import record

Output = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "ebtop" / "baselines"


def test_saving_is_recording_a_minute_under_a_name(folder: Path) -> None:
    path = str(folder / "calm.ebtop")
    assert baselines.as_record(folder, ["calm"]) == [
        "record", "-o", path, "--duration", "60s", "--title", "baseline calm",
    ]  # fmt: skip
    assert baselines.as_record(folder, ["calm", "--duration=5m", "--title", "x", "--force"]) == [
        "record", "-o", path, "--duration=5m", "--title", "x", "--force",
    ]  # fmt: skip
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("arguments", [[], ["../x"], ["a/b"], [".hidden"], [""], ["-x"], ["a", "-o", "b"], ["x" * 65]])
def test_a_bad_name_or_another_output_is_wrong_usage(folder: Path, arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        baselines.as_record(folder, arguments)


def test_diff_takes_names_and_files(folder: Path, tmp_path: Path, capsys: Output) -> None:
    folder.mkdir(parents=True)
    record(folder / "calm.ebtop", 20)
    incident = tmp_path / "incident.ebtop"
    record(incident, 20, seed=5)
    assert cli.main(["diff", "calm", str(incident)]) == 0
    assert capsys.readouterr().out.startswith("# Difference: ")
    assert cli.main(["diff", "storm", str(incident)]) == 1
    assert capsys.readouterr().err == (
        "ebtop: there is no file and no baseline storm: baselines: calm; see ebtop baseline list\n"
    )
    assert baselines.find(folder, "x/y") == Path("x/y")


def test_they_are_listed_and_removed(folder: Path, capsys: Output) -> None:
    assert cli.main(["baseline", "list"]) == 0
    assert "there is no baseline" in capsys.readouterr().err
    folder.mkdir(parents=True)
    record(folder / "calm.ebtop", 20)
    (folder / "broken.ebtop").write_bytes(b"not a snapshot")
    assert cli.main(["baseline", "list"]) == 0
    broken, calm = capsys.readouterr().out.splitlines()
    assert calm.split()[0] == "calm"
    assert "web1" in calm
    assert "is not a snapshot of ebtop" in broken
    assert cli.main(["baseline", "rm", "calm"]) == 0
    assert not (folder / "calm.ebtop").exists()
    with pytest.raises(EbtopError, match="there is no baseline calm"):
        baselines.forget(folder, "calm")


@pytest.mark.parametrize("arguments", [["rm"], ["list", "x"], ["keep", "x"], []])
def test_wrong_usage_is_one_line(folder: Path, capsys: Output, arguments: list[str]) -> None:
    assert cli.main(["baseline", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
