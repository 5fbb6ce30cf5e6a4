"""Files that somebody else made: one clear line each, the original untouched, and nothing of theirs is run."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ebtop.errors import EbtopError
from ebtop.store.file.reader import SnapshotFile
from ebtop.store.history.codec import pack
from ebtop.store.source import NodeLoad
from tests.unit.file_makers import record
from tests.unit.record_makers import at

SECONDS = 34


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("good") / "good.ebtop", SECONDS, execs=8, connections=8, stacks=6).path


@pytest.fixture
def path(good: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copy(good, tmp_path / "a.ebtop"))


def spoil(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            database.execute(statement)
    database.close()


def read_all(path: Path) -> None:
    """Everything that a screen, an export or a report asks for."""
    file = SnapshotFile(path)
    try:
        assert file.host
        assert file.health() is not None
        list(file.records())
        list(file.stacks())
        file.ticks()
        file.snapshot()
        file.at(at(20))
        file.spans(10, at(30))
        assert isinstance(file.incomplete, tuple)
        file.notes()
        file.modules()
        file.checks()
        file.known_containers()
        file.narrowed_at(at(20))
        assert file.period is not None
    finally:
        file.close()


def refused(path: Path) -> str:
    """What is said of a file that can't be read; it is as it was afterwards, with nothing new beside it."""
    before, beside = path.read_bytes() if path.is_file() else b"", sorted(os.listdir(path.parent))
    with pytest.raises(EbtopError) as caught:
        read_all(path)
    line = caught.value.line()
    assert "\n" not in line
    assert str(path) in line
    assert line.isprintable()
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert sorted(os.listdir(path.parent)) == beside
    return line


def test_the_good_one_is_read_and_stays_as_it_is(good: Path) -> None:
    before, beside = good.read_bytes(), sorted(os.listdir(good.parent))
    read_all(good)
    assert good.read_bytes() == before
    assert sorted(os.listdir(good.parent)) == beside


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"#!/bin/sh\nexit 1\n", "not a snapshot of ebtop: it is no SQLite database"),
        (b"SQLite format 3\0", "can't read"),
        (b"SQLite format 3\0" + bytes(5000), "can't read"),
        (b"SQLite format 3\0" + random.Random(4).randbytes(20_000), "can't read"),
    ],
    ids=["empty", "script", "magic", "zeros", "noise"],
)
def test_what_is_no_snapshot(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "a.ebtop"
    path.write_bytes(content)
    assert says in refused(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "it is not a file" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EbtopError, match="it is not a file"):
        SnapshotFile(tmp_path / "pipe")
    with pytest.raises(EbtopError, match="No such file"):
        SnapshotFile(tmp_path / "missing.ebtop")


def test_another_programs_database(tmp_path: Path) -> None:
    path = tmp_path / "a.ebtop"
    spoil(path, "CREATE TABLE chapters(id)")
    assert "some other SQLite database" in refused(path)


def test_a_newer_version(path: Path) -> None:
    spoil(path, "PRAGMA user_version = 2")
    assert "it is of version 2, this ebtop reads up to 1; take a newer ebtop" in refused(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_truncated_file(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))
    refused(path)


@pytest.mark.parametrize("table", ["facts", "chapters", "keyframes", "segments"])
def test_a_missing_table(path: Path, table: str) -> None:
    spoil(path, f"DROP TABLE {table}")
    assert f"no table {table}" in refused(path)


def test_tables_that_only_help_may_be_missing(path: Path) -> None:
    for table in ("users", "containers", "note_rows", "gap_rows", "second_rows", "health_blocks", "modules", "checks"):
        spoil(path, f"DROP TABLE {table}")
    read_all(path)


@pytest.mark.parametrize(
    "lie",
    [
        "CREATE VIEW {table} AS SELECT * FROM {table}_real",
        "CREATE VIEW {table} AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
        "CREATE VIEW {table} AS SELECT load_extension('/tmp/evil.so')",
        "CREATE VIRTUAL TABLE {table} USING fts5(id)",
    ],
)
@pytest.mark.parametrize("table", ["facts", "chapters", "segments", "keyframes"])
def test_a_view_in_the_place_of_a_table_is_never_asked(path: Path, table: str, lie: str) -> None:
    spoil(path, f"ALTER TABLE {table} RENAME TO {table}_real", lie.format(table=table))
    assert f"no table {table}" in refused(path)


def test_triggers_and_columns_that_compute_are_never_run(path: Path) -> None:
    spoil(
        path,
        "CREATE TRIGGER t AFTER INSERT ON facts BEGIN DELETE FROM chapters; END",
        "ALTER TABLE note_rows RENAME TO note_rows_real",
        "CREATE TABLE note_rows(time_ns INTEGER, "
        "text TEXT GENERATED ALWAYS AS (hex(zeroblob(time_ns * 1000))) VIRTUAL)",
        "INSERT INTO note_rows(time_ns) VALUES (5)",
    )
    file = SnapshotFile(path)
    assert file.notes() == []
    assert file.at(at(20)).execs


CHANGES = [
    "UPDATE chapters SET start_ns = 'x'",
    "UPDATE chapters SET start_ns = NULL WHERE id = 2",
    "UPDATE chapters SET segments = -1",
    "UPDATE chapters SET segments = 9223372036854775807",
    "UPDATE chapters SET segments = segments + 1",
    "UPDATE chapters SET first_segment = 9223372036854775807",
    "UPDATE chapters SET start_ns = -start_ns WHERE id = 2",
    "UPDATE chapters SET first_batch = 0",
    "UPDATE keyframes SET state = 'text'",
    "UPDATE keyframes SET state = zeroblob(1000)",
    "DELETE FROM keyframes",
    "UPDATE segments SET events = 1",
    "UPDATE segments SET events = NULL",
    "UPDATE segments SET events = zeroblob(1000000)",
    "UPDATE segments SET stacks = zeroblob(10)",
    "UPDATE segments SET newest_ns = 'x'",
    "DELETE FROM segments WHERE id = 3",
    "UPDATE health_blocks SET seconds = zeroblob(100)",
]


@pytest.mark.parametrize("change", CHANGES)
def test_values_that_can_not_be(path: Path, change: str) -> None:
    try:
        spoil(path, change)
    except sqlite3.IntegrityError:
        spoil(path, *_without_constraints(change))
    refused(path)


def _without_constraints(change: str) -> list[str]:
    """The same on a table that takes anything."""
    table = change.split()[1]
    return [f"CREATE TABLE loose AS SELECT * FROM {table}", f"DROP TABLE {table}",
            f"ALTER TABLE loose RENAME TO {table}", change]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE facts SET value = zeroblob(50) WHERE name LIKE 'host%'",
        "UPDATE facts SET value = 'x' WHERE name LIKE 'period%'",
        "UPDATE facts SET value = '[[[[' WHERE name = 'collection.probes'",
        "DELETE FROM facts",
        "UPDATE second_rows SET execs = 'many', narrowed = 7",
        "UPDATE users SET name = zeroblob(9)",
        "INSERT INTO note_rows VALUES ('x', 'y'), (1, zeroblob(3)), (5, char(27) || '[31mred')",
        "INSERT INTO gap_rows VALUES ('x', 'y', 'z')",
        "INSERT INTO modules VALUES (1, 2, 3, 4)",
        "INSERT INTO checks VALUES (1, 'kernel', 'evil', 1, 2, 3)",
        "UPDATE containers SET runtime = 5",
        "UPDATE strings SET text = zeroblob(8)",
    ],
)
def test_what_is_wrong_beside_the_history_does_no_harm(path: Path, change: str) -> None:
    spoil(path, change)
    read_all(path)
    file = SnapshotFile(path)
    assert all(note.text.isprintable() for note in file.notes())
    assert file.host.name.isprintable()


def test_texts_that_would_move_a_cursor_are_made_printable(path: Path) -> None:
    evil = "\x1b[2J\x1b]52;c;ZXZpbA==\x07"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE facts SET value = ? WHERE name = 'host.name'", (evil,))
        database.execute("INSERT INTO note_rows VALUES (?, ?)", (at(5), evil))
    database.close()
    file = SnapshotFile(path)
    assert file.host.name == r"\x1b[2J\x1b]52;c;ZXZpbA==\x07"
    assert file.notes()[0].text == r"\x1b[2J\x1b]52;c;ZXZpbA==\x07"


def test_a_bomb_is_not_unpacked(path: Path) -> None:
    bomb = zlib.compress(bytes(200 << 20), 1)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE keyframes SET state = ?", (bomb,))
        database.execute("UPDATE health_blocks SET seconds = ?", (bomb,))
    database.close()
    assert "damaged" in refused(path)


def test_a_block_of_another_type_is_refused(path: Path) -> None:
    other = zlib.compress(pack(NodeLoad(1.0, (1.0, 1.0, 1.0), 1, 1, None)))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE keyframes SET state = ?", (other,))
    database.close()
    refused(path)


def _damages(rnd: random.Random) -> Iterator[Callable[[bytearray], None]]:
    def flip(data: bytearray) -> None:
        for _ in range(rnd.randint(1, 200)):
            data[rnd.randrange(100, len(data))] ^= 1 << rnd.randrange(8)

    def zero(data: bytearray) -> None:
        start = rnd.randrange(100, len(data))
        data[start : start + 5000] = bytes(len(data[start : start + 5000]))

    def move(data: bytearray) -> None:
        pages = len(data) // 4096
        a, b = 4096 * rnd.randrange(1, pages), 4096 * rnd.randrange(1, pages)
        data[a : a + 4096], data[b : b + 4096] = data[b : b + 4096], data[a : a + 4096]

    while True:
        yield rnd.choice((flip, zero, move))


def test_whatever_is_changed_in_it_there_is_an_answer_or_one_line(good: Path, tmp_path: Path) -> None:
    rnd = random.Random(11)
    path = tmp_path / "a.ebtop"
    read = failed = 0
    said: list[str] = []
    for _, damage in zip(range(40), _damages(rnd), strict=False):
        data = bytearray(good.read_bytes())
        damage(data)
        path.write_bytes(data)
        try:
            read_all(path)
            read += 1
        except EbtopError as error:
            failed += 1
            said.append(error.line())
        assert path.read_bytes() == data
    assert all(line.isprintable() for line in said)
    assert failed > 10, (read, failed)


def test_a_foreign_log_beside_it_is_one_line_or_nothing(path: Path) -> None:
    for content in (b"", b"junk", random.Random(5).randbytes(100_000)):
        Path(f"{path}-wal").write_bytes(content)
        read_all(path)
