"""Frozen minutes say what the timeline said; the process that writes them ends well and badly as it should."""

from __future__ import annotations

import json
import os
import pickle
import re
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ebtop.errors import EbtopError
from ebtop.store.evidence import Note
from ebtop.store.file.frozen import Frozen, Job
from ebtop.store.file.reader import SnapshotFile
from ebtop.store.past import Past
from ebtop.store.redact import MASK, Rules
from ebtop.store.timeline import Tick, Timeline
from ebtop.ui.freezing import _START, Freezer
from tests.unit.file_makers import COLLECTION, HOST, FakeSource, health
from tests.unit.history_workload import Node
from tests.unit.record_makers import EPOCH, SECOND, FakeClock, at, batch, exec_

SECONDS = 45


class Source(FakeSource):
    host, collection, hertz = HOST, COLLECTION, 49


class Lived:
    """A timeline with some history: a secret at second 33, a note at 35."""

    def __init__(self, *, secret: bool) -> None:
        self.clock = FakeClock()
        self.source = Source(self.clock)
        self.timeline = Timeline(self.clock)
        node = Node(5, execs=8, connections=8, stacks=4)
        for number in range(SECONDS):
            for arrives, each in node.second(number):
                self.clock.seconds = (arrives - EPOCH) / SECOND
                self.timeline.ingest(each)
            if number == 33 and secret:
                self.timeline.ingest(batch(exec_(33.9, 5, "mysql --password=hunter2 -h db")))
            if number == 35:
                self.timeline.note("password=hunter2 was tried")
            self.timeline.mark(Tick(self.clock(), self.timeline.rates(), health(self.clock())))

    def freeze(self, folder: Path, rules: Rules | None, title: str = "") -> SnapshotFile:
        self.told: list[str] = []
        self.done = Freezer(self.source, self.timeline, rules).freeze(title, "<svg/>", self.told.append)
        return SnapshotFile(self.done.file)


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_moment_is_as_it_was_and_the_bundle_lies_beside_it(there: Path) -> None:
    lived = Lived(secret=False)
    file = lived.freeze(there, Rules(), "slow checkout")
    assert_rows_are_complete(file)
    for second in (3.0, 29.0, 31.0, 38.5, 45.0):
        assert file.at(at(second)) == Past(lived.timeline._reach).at(at(second))
        assert file.spans(10, at(second)) == lived.timeline.spans(10, at(second))
    assert file.collection.title == "slow checkout"
    assert file.host == HOST
    assert file.masked == 1
    assert [note.text for note in file.notes()] == [f"password={MASK} was tried"]
    assert len(file.ticks()) == SECONDS
    assert file.checks()
    assert file.incomplete == ()
    assert re.fullmatch(r"ebtop_web1_\d{8}T\d{6}Z\.ebtop", lived.done.file.name)
    assert lived.done.file.parent == there
    assert {"summary.md", "cpu.svg", "cpu.pb.gz", "screen.svg", "doctor.json", lived.done.file.name} <= set(
        os.listdir(lived.done.folder)
    )
    assert stat.S_IMODE(os.stat(lived.done.folder).st_mode) == 0o700
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in lived.done.folder.iterdir()} == {0o600}
    assert json.loads((lived.done.folder / "doctor.json").read_text())["checks"]
    assert str(lived.done.file) in lived.done.text
    assert lived.done.whole
    assert any("%" in text for text in lived.told)


def test_secrets_are_masked_in_all_of_it(there: Path) -> None:
    lived = Lived(secret=True)
    file = lived.freeze(there, Rules())
    assert file.masked == 2
    for path in (lived.done.file, *lived.done.folder.iterdir()):
        assert b"hunter2" not in path.read_bytes(), path
    commands = [row.command for second in (36, 44) for row in file.at(at(second)).execs]
    assert commands.count(f"mysql '--password={MASK}' -h db") == 2
    stacks = sum(each.samples for each in file.stacks())
    assert stacks == sum(each.samples for span in lived.timeline.spans(1000, at(100)) for each in span.stacks)


def test_secrets_stay_where_that_was_asked_for(there: Path) -> None:
    lived = Lived(secret=True)
    file, again = lived.freeze(there, None), lived.freeze(there, None)
    assert file.path != again.path
    assert file.masked is None
    assert "NOT masked" in lived.done.text
    assert file.notes() == [Note(file.notes()[0].time_ns, "password=hunter2 was tried")]
    for second in (36.0, 44.0):
        assert file.at(at(second)) == Past(lived.timeline._reach).at(at(second))


def assert_rows_are_complete(file: SnapshotFile) -> None:
    ask = sqlite3.connect(file.path).execute
    assert ask("SELECT count(*) FROM execs").fetchone()[0] == sum(
        type(record).__name__ == "ExecRecord" for record in file.records()
    )
    assert ask("SELECT sum(samples) FROM stacks").fetchone()[0] == sum(each.samples for each in file.stacks())
    assert ask("SELECT count(*) FROM open_connections").fetchone()[0] == sum(row.open for row in file.snapshot().tcp)
    assert ask("SELECT container FROM execs LIMIT 1").fetchone() == ("shop",)


def test_nothing_to_freeze_is_said() -> None:
    clock = FakeClock()
    with pytest.raises(EbtopError, match="nothing to freeze"):
        Freezer(Source(clock), Timeline(clock), Rules()).freeze("", "", lambda _: None)


def test_where_nothing_can_be_written_is_said(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lived = Lived(secret=False)
    monkeypatch.setattr("ebtop.ui.freezing._free_path", lambda host: there / "missing" / "a.ebtop")
    with pytest.raises(EbtopError, match=r"can't write .*missing.*folder that exists"):
        lived.freeze(there, Rules())
    assert os.listdir(there) == []


def test_a_screen_that_ends_meanwhile_leaves_nothing_half(there: Path) -> None:
    lived = Lived(secret=False)
    frozen: Frozen = Freezer(lived.source, lived.timeline, Rules())._frozen("")
    job = Job(str(there / "a.ebtop"), Rules(), "")
    pieces = [pickle.dumps(piece) for piece in (job, *frozen.pieces())]
    done = subprocess.run(
        [sys.executable, "-c", _START, *sys.path], input=b"".join(pieces[: len(pieces) // 2]), capture_output=True
    )
    assert done.returncode == 1
    assert os.listdir(there) == []
