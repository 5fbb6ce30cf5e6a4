"""`ebtop export` and `ebtop diff` on snapshot files, as they are called."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from ebtop import cli
from tests.unit.file_makers import record
from tests.unit.pprof_reader import read_pprof

Output = pytest.CaptureFixture[bytes]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "a.ebtop"
    record(path, 40)
    return path


def lines(output: Output) -> list[str]:
    return output.readouterr().err.decode().splitlines()


def test_each_ending_writes_its_format_for_its_owner_alone(snapshot: Path, tmp_path: Path, capfdbinary: Output) -> None:
    begins = {
        "x.folded": b"# ebtop on web1", "x.pb.gz": b"\x1f\x8b", "x.speedscope.json": b'{"$schema"', "x.svg": b"<?xml",
        "x.html": b"<!DOCTYPE html>", "x.ndjson": b'{"type": "header"', "x.csv": b"type,time,pid", "x.md": b"# ebtop",
    }  # fmt: skip
    for name, begin in begins.items():
        target = tmp_path / name
        assert cli.main(["export", str(snapshot), "-o", str(target)]) == 0
        assert target.read_bytes().startswith(begin)
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == sorted(begins)
    said = lines(capfdbinary)
    assert len(said) == len(begins)
    assert all("lost" in line and "masked" in line for line in said)


def test_a_pipe_gets_the_data_and_nothing_else(snapshot: Path, capfdbinary: Output) -> None:
    assert cli.main(["export", str(snapshot), "--format", "pprof", "-o", "-"]) == 0
    written = capfdbinary.readouterr()
    assert read_pprof(written.out).samples
    assert written.err == b""


def test_options_choose_what_is_exported(snapshot: Path, capfdbinary: Output) -> None:
    def exported(*arguments: str) -> list[dict[str, object]]:
        assert cli.main(["export", str(snapshot), "--format", "ndjson", *arguments]) == 0
        return [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]

    everything = exported()
    late = exported("--from", "-10s", "--filter", "type:exec")
    assert {each["type"] for each in late} == {"header", "exec", "end"}
    assert 0 < len(late) < sum(each["type"] in ("header", "exec", "end") for each in everything)
    pid, comm = next((each["pid"], each["comm"]) for each in everything if each["type"] == "exec")
    of_process = exported("--pid", f"{pid},1", "--comm", "nobody*", "--comm", str(comm))
    assert {(each["pid"], each["comm"]) for each in of_process[1:-1]} == {(pid, comm)}
    assert of_process[0]["filter"]


def test_nothing_is_replaced_without_force(snapshot: Path, tmp_path: Path, capfdbinary: Output) -> None:
    target = tmp_path / "x.svg"
    target.write_text("mine")
    assert cli.main(["export", str(snapshot), "-o", str(target)]) == 1
    assert lines(capfdbinary) == [f"ebtop: {target} exists; name another file, or add --force to replace it"]
    assert target.read_text() == "mine"
    assert cli.main(["export", str(snapshot), "-o", str(target), "--force"]) == 0
    assert target.read_text().startswith("<?xml")


def test_a_link_is_replaced_and_not_followed(snapshot: Path, tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "x.svg"
    precious.write_text("mine")
    link.symlink_to(precious)
    assert cli.main(["export", str(snapshot), "-o", str(link)]) == 1
    assert cli.main(["export", str(snapshot), "-o", str(link), "--force"]) == 0
    assert precious.read_text() == "mine"
    assert not link.is_symlink()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-o", "x.txt"], 2, "in which format?"),
        (["--format", "xml"], 2, "there is no format 'xml'"),
        (["-o", "missing/x.svg"], 1, "there is no folder missing"),
        (["-o", "folder.svg"], 1, "it is a folder"),
        (["--format", "csv", "--from", "noon"], 2, "'noon' is not a time"),
        (["--format", "csv", "--from", "-1s", "--to", "-5s"], 2, "the range is empty"),
        (["--format", "csv", "--filter", "pid:x"], 2, "pid"),
        (["--format", "csv", "--pid", "x"], 2, "'x' is not a pid"),
        (["--format", "csv", "--kind", "x"], 2, "invalid choice"),
    ],
)
def test_wrong_usage_is_one_line(
    snapshot: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: Output,
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.svg").mkdir()
    assert cli.main(["export", str(snapshot), *arguments]) == code
    (line,) = lines(capfdbinary)
    assert says in line
    assert os.listdir(tmp_path) == ["folder.svg"]


@pytest.mark.parametrize("content", [b"", b"not a snapshot", b"SQLite format 3\0" + b"x" * 5000])
def test_what_is_no_snapshot_is_one_line_and_stays_as_it_is(
    tmp_path: Path, capfdbinary: Output, content: bytes
) -> None:
    foreign = tmp_path / "x.ebtop"
    foreign.write_bytes(content)
    assert cli.main(["export", str(foreign), "-o", str(tmp_path / "x.svg")]) == 1
    assert len(lines(capfdbinary)) == 1
    assert foreign.read_bytes() == content
    assert os.listdir(tmp_path) == ["x.ebtop"]


def test_a_folder_that_can_not_be_written_to_is_one_line(snapshot: Path, capfdbinary: Output) -> None:
    assert cli.main(["export", str(snapshot), "-o", "/proc/x.svg"]) == 1
    (line,) = lines(capfdbinary)
    assert line.startswith("ebtop: can't write /proc/x.svg: ")


def test_diff_is_markdown_on_a_pipe_and_says_both_sides(snapshot: Path, tmp_path: Path, capfdbinary: Output) -> None:
    other = tmp_path / "b.ebtop"
    record(other, 30, seed=9)
    assert cli.main(["diff", str(snapshot), str(other)]) == 0
    text = capfdbinary.readouterr().out.decode()
    assert text.startswith("# Difference: ebtop on web1")
    assert "- before: " in text
    assert "- after: " in text
    for name in ("d.svg", "d.html", "d.md", "d.json"):
        assert cli.main(["diff", str(snapshot), str(other), "-o", str(tmp_path / name)]) == 0
    document = json.loads((tmp_path / "d.json").read_text())
    assert document["before"]["host"] == "web1"
    assert document["functions"]
    assert cli.main(["diff", str(snapshot), str(other), "-o", "x.csv"]) == 2
