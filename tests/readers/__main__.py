"""Exports a snapshot in every format, opens each with a reader that nobody here wrote, and says what they saw.

    python -m tests.readers [FILE.ebtop] [--pictures FOLDER]

Needs chromium, golang-go and jq (packages of the distribution), node with puppeteer-core and speedscope (`npm install
puppeteer-core speedscope` in $READERS_MODULES), and Python's protobuf. Without a file a made-up one is recorded, whose
names are hostile.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from ebtop import cli
from ebtop.export.formats import FORMATS
from tests.unit.file_makers import Recording
from tests.unit.hostile_text import hostile_batches

_HERE = Path(__file__).parent
_MODULES = Path(os.environ.get("READERS_MODULES", ".")).resolve()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.readers")
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--pictures", type=Path, default=None, help="where screenshots go")
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="ebtop-readers-") as made:
        folder = Path(made)
        pictures = options.pictures or folder
        pictures.mkdir(exist_ok=True)
        snapshot = options.file or hostile_file(folder / "hostile.ebtop")
        for each in FORMATS.values():
            assert cli.main(["export", str(snapshot), "-o", str(folder / f"x{each.endings[0]}")]) == 0
        for ending in ("svg", "html"):
            assert cli.main(["diff", str(snapshot), str(snapshot), "-o", str(folder / f"diff.{ending}")]) == 0
        for name, reader in _readers(folder, pictures):
            try:
                print(f"{name}: {reader()}")
            except (AssertionError, OSError, ImportError, ValueError, subprocess.CalledProcessError) as error:
                failed += 1
                said = getattr(error, "stderr", "") or getattr(error, "stdout", "") or ""
                print(f"{name}: FAILED: {type(error).__name__}: {error} {said[-600:]}")
    return 1 if failed else 0


def _readers(folder: Path, pictures: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    for name in ("x.svg", "x.html", "diff.svg", "diff.html"):
        yield f"Chromium {name}", partial(chromium, folder / name, pictures)
    yield "speedscope", lambda: speedscope(folder / "x.speedscope.json", pictures)
    yield "go tool pprof", lambda: go_pprof(folder / "x.pb.gz")
    yield "protobuf", lambda: protobuf(folder / "x.pb.gz")
    yield "jq", lambda: jq(folder / "x.ndjson")
    yield "csv", lambda: csv_reader(folder / "x.csv")


def hostile_file(path: Path) -> Path:
    recording = Recording(path)
    for number, batch in enumerate(hostile_batches()):
        recording.take(number + 1, batch)
    recording.close()
    return path


def chromium(path: Path, pictures: Path) -> str:
    seen = _driven([path.suffix[1:], str(path), str(pictures)])
    opened, clicked, searched = seen["opened"], seen["clicked"], seen["searched"]
    assert opened["frames"] > 0
    assert clicked["shown"] < opened["shown"] or opened["shown"] < 5
    assert seen["reset"]["shown"] == opened["shown"]
    assert seen["narrow"]["width"] < opened["width"]
    assert not seen["markup"]["pwned"]
    return f"{opened['shown']} frames, a click on {clicked['on']!r} leaves {clicked['shown']}, {searched['found']}"


def speedscope(path: Path, pictures: Path) -> str:
    release = _MODULES / "node_modules" / "speedscope" / "dist" / "release"
    seen = _driven(["speedscope", str(path), str(pictures), str(release)])
    assert "samples of" in seen["title"]
    return f"{seen['title'][:100]}"


def _driven(arguments: list[str]) -> dict[str, object]:
    done = subprocess.run(
        ["node", str(_HERE / "drive.mjs"), *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    seen: dict[str, object] = json.loads(done.stdout)
    assert not seen["errors"]
    assert not seen["requests"]
    return seen


def go_pprof(path: Path) -> str:
    def run(*arguments: str) -> str:
        command = ["go", "tool", "pprof", *arguments, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    assert "lost" in run("-comments")
    top = run("-top", "-nodecount=3").splitlines()
    assert "pid:" in run("-tags").replace("pid :", "pid:")
    return next(line for line in top if "Duration" in line)


def protobuf(path: Path) -> str:
    from tests.readers.profile_proto import read

    profile = read(path)
    for table in (profile.mapping, profile.location, profile.function):
        assert [each.id for each in table] == list(range(1, len(table) + 1))
    assert all(len(sample.value) == len(profile.sample_type) for sample in profile.sample)
    return f"{len(profile.sample)} samples, {len(profile.location)} locations, {len(profile.mapping)} mappings"


def jq(path: Path) -> str:
    query = "[inputs | .type] | group_by(.) | map({(.[0]): length}) | add"
    done = subprocess.run(["jq", "-nc", query, str(path)], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def csv_reader(path: Path) -> str:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, strict=True))
    assert len({len(row) for row in rows}) == 1
    return f"{len(rows)} rows of {len(rows[0])} cells"


if __name__ == "__main__":
    sys.exit(main())
