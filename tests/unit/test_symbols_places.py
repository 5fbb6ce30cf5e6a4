"""Stacks of places in files: named without a look at the process that was sampled."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ebtop.cpython.code_object import ENTRY, Text
from ebtop.cpython.told import Told, ToldFunctions
from ebtop.process.mappings import MappedFile, Mapping, Mappings
from ebtop.process.places import OFFSET_BITS, PLACE_IN_FILE, FileKey, Files, KnownFile, has_addresses, split
from ebtop.store.unnamed import ENDED, UNKNOWN
from ebtop.symbols.interpreters import GONE as NOT_READ
from ebtop.symbols.symbolizer import Symbolizer
from tests.unit.symbols_samples import compiled, nm

GONE = 1 << 22
"""A pid beyond what the kernel gives."""
PLACES = 40


def key_of(path: Path) -> FileKey:
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def known(path: Path, *, deleted: bool = False) -> KnownFile:
    key = key_of(path)
    file = MappedFile(key[0], key[1], os.fsencode(path), deleted=deleted)
    return KnownFile(key, GONE, Mapping(0x10000, 0x10000 + key[3], 0, file))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return Path(shutil.copy(compiled("places.so", "-shared", "-fPIC"), tmp_path))


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def functions() -> ToldFunctions:
    return ToldFunctions()


@pytest.fixture
def symbolizer(files: Files, functions: ToldFunctions) -> Symbolizer:
    return Symbolizer(files=files, functions=functions)


def place(number: int, offset: int) -> int:
    return PLACE_IN_FILE | number << OFFSET_BITS | offset


def in_function(path: Path, name: str) -> int:
    """The offset of the second byte of a function; the library is mapped as it lies on disk."""
    return nm(path)[name][0] + 1


def names(symbolizer: Symbolizer, user: list[int], pid: int = GONE) -> list[str]:
    return [frame.name for frame in symbolizer.stack(pid, user, [], whole_user=True).frames]


def test_a_place_is_a_number_and_an_offset() -> None:
    assert split(place(77, 0x1234)) == (77, 0x1234)
    assert has_addresses([place(1, 1), 0x7F0000000000])
    assert not has_addresses([place(1, 1), place(2, 1)])
    assert not has_addresses([])


def test_places_are_named_whoever_was_sampled(
    symbolizer: Symbolizer, files: Files, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = files.add(known(library))
    user = [place(number, in_function(library, name) + 1) for name in ("local_function", "global_function")]
    assert names(symbolizer, user) == ["alias_function", "local_function"]
    (module,) = symbolizer.new_modules()
    assert module.path == str(library)

    def nobody(*_: object) -> None:
        raise AssertionError("it looked at a process")

    monkeypatch.setattr("ebtop.process.processes.Processes.get", nobody)
    library.unlink()
    shifted = [at + 1 for at in user]
    assert names(symbolizer, shifted, 1) == ["alias_function", "local_function"]


def test_beside_addresses_of_a_process_that_is_gone(symbolizer: Symbolizer, files: Files, library: Path) -> None:
    number = files.add(known(library))
    user = [place(number, in_function(library, "local_function")), 0x7F0000001234]
    assert [f.name for f in symbolizer.stack(GONE, user, []).frames] == [ENDED.name, "local_function"]


def test_a_number_that_nobody_gave(symbolizer: Symbolizer) -> None:
    assert names(symbolizer, [place(99, 0x1000)]) == [UNKNOWN.name]


def test_a_file_that_was_replaced_has_nothing_to_say(symbolizer: Symbolizer, files: Files, library: Path) -> None:
    number = files.add(known(library))
    os.utime(library, ns=(0, 10**9))
    offset = in_function(library, "local_function")
    assert names(symbolizer, [place(number, offset)]) == [f"[{library.name}+{offset:#x}]"]


def test_one_that_no_path_leads_to_is_read_from_its_descriptor(
    symbolizer: Symbolizer, files: Files, library: Path
) -> None:
    file, offset = known(library, deleted=True), in_function(library, "local_function")
    fd = os.open(library, os.O_RDONLY)
    library.unlink()
    number = files.add(file, fd)
    assert names(symbolizer, [place(number, offset)]) == ["local_function"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


WORD = 0x1234_0000_7F00_1230
NAMED = Told(WORD, GONE, 7, Text(b"Work.run", 1, 8), Text(b"/srv/work.py", 1, 12))


def python_stack(symbolizer: Symbolizer, files: Files) -> list[int]:
    """Of a function that an evaluation called, in the CPython that runs this. Which file that is is known then."""
    own = symbolizer._processes.get(os.getpid())
    assert own is not None
    interpreter = symbolizer._interpreters.of(own)
    assert interpreter is not None
    evaluator = interpreter.build.evaluators[0].start + interpreter.bias + 64
    mapping = next(m for m in own.mappings if m.start <= evaluator < m.end)
    file = os.stat(os.fsdecode(mapping.file.path))
    number = files.add(KnownFile((file.st_dev, file.st_ino, file.st_mtime_ns, file.st_size), own.pid, mapping))
    evaluates = place(number, evaluator - mapping.start + mapping.offset)
    symbolizer.stack(GONE, [evaluates], [], whole_user=True)
    return [place(number, mapping.offset + 64), evaluates]


def test_python_functions_of_a_program_that_is_gone_are_named_by_what_the_kernel_told(
    symbolizer: Symbolizer, files: Files, functions: ToldFunctions
) -> None:
    user = python_stack(symbolizer, files)
    functions.put(NAMED)
    (frame, leaf) = symbolizer.stack(GONE, user, [], whole_user=True, interpreted=[WORD | ENTRY]).frames
    assert (frame.name, frame.file, frame.line, frame.kind) == ("Work.run", "/srv/work.py", 7, "interpreted")
    assert leaf.kind != "interpreted"
    # Another process's object may lie at the same address.
    (frame, _) = symbolizer.stack(GONE + 1, user, [], whole_user=True, interpreted=[WORD | ENTRY]).frames
    assert frame.name == NOT_READ.name


def test_a_name_that_comes_late_is_not_missed_for_good(
    symbolizer: Symbolizer, files: Files, functions: ToldFunctions
) -> None:
    user = python_stack(symbolizer, files)
    assert symbolizer.stack(GONE, user, [], whole_user=True, interpreted=[WORD]).frames[0].name == NOT_READ.name
    functions.put(NAMED)
    assert symbolizer.stack(GONE, user, [], whole_user=True, interpreted=[WORD]).frames[0].name == "Work.run"


def test_which_files_hold_python_is_said_once(symbolizer: Symbolizer, files: Files, library: Path) -> None:
    names(symbolizer, [place(files.add(known(library)), 0x1000)])
    assert symbolizer.interpreter_files() == {}
    number, _ = split(python_stack(symbolizer, files)[0])
    own = symbolizer._processes.get(os.getpid())
    assert own is not None
    interpreter = symbolizer._interpreters.of(own)
    assert interpreter is not None
    ((found, walking),) = symbolizer.interpreter_files().items()
    mapping = symbolizer._placed._files.get(number).mapping
    assert found == number
    runtime = interpreter.build.runtime + interpreter.bias
    assert walking.runtime + mapping.start - mapping.offset == runtime
    assert symbolizer.interpreter_files() == {}
    assert symbolizer._placed.runs_known_python(own.mappings)
    assert not symbolizer._placed.runs_known_python(Mappings([known(library).mapping]))


def test_of_many_places_the_memory_is_bounded(
    symbolizer: Symbolizer, files: Files, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebtop.symbols.placed_frames._PLACES_MAX", PLACES)
    number = files.add(known(library))
    for offset in range(0x1000, 0x1000 + 10 * PLACES):
        symbolizer.stack(GONE, [place(number, offset)], [], whole_user=True)
        assert len(symbolizer._placed._known) <= PLACES


def test_an_address_is_where_the_process_has_it(symbolizer: Symbolizer, files: Files, library: Path) -> None:
    file = known(library)
    number = files.add(file)
    mappings = Mappings([file.mapping._replace(start=0x7F0000000000, end=0x7F0000002000, offset=0x1000)])
    found = symbolizer._placed.addresses([place(number, 0x1010), 0x5000, place(number, 0x9000)], mappings)
    assert found == [0x7F0000000010, 0x5000, place(number, 0x9000)]
