"""The facts of files that frames lie in: told once, kept by the timeline."""

from __future__ import annotations

import os

from ebtop.process.mappings import read_mappings
from ebtop.store.modules import MODULES_MAX
from ebtop.store.records import Batch, ModuleFacts
from ebtop.store.timeline import Timeline
from ebtop.symbols.symbolizer import Symbolizer
from tests.unit.record_makers import EPOCH, FakeClock
from tests.unit.symbols_samples import compiled, load

LIBC = ModuleFacts("libc.so.6", "/usr/lib/libc.so.6", "ab12", "dynsym")
OTHER = ModuleFacts("libc.so.6", "/srv/libc.so.6", "cd34", "symtab")


def timeline_of(*modules: tuple[ModuleFacts, ...]) -> Timeline:
    timeline = Timeline(FakeClock())
    for facts in modules:
        timeline.ingest(Batch(EPOCH, [], modules=facts))
    return timeline


def test_all_files_of_one_name_are_kept() -> None:
    assert timeline_of((LIBC,), (OTHER, LIBC)).modules() == (LIBC, OTHER)


def test_later_facts_of_a_file_count() -> None:
    better = LIBC._replace(symbols="debug file")
    assert timeline_of((LIBC,), (), (better,)).modules() == (better,)


def test_the_oldest_of_too_many_go() -> None:
    many = tuple([LIBC._replace(path=f"/srv/{number}") for number in range(MODULES_MAX + 10)])
    kept = timeline_of(many[: MODULES_MAX // 2], many[MODULES_MAX // 2 :]).modules()
    assert kept == many[10:]


def test_a_file_is_told_once_with_its_path_and_build_id() -> None:
    symbolizer = Symbolizer()
    mapping = next(m for m in read_mappings(os.getpid()) if m.file.path.rpartition(b"/")[2].startswith(b"libc.so"))
    symbolizer.stack(os.getpid(), [mapping.start + 100, mapping.start + 5000], [])
    (facts,) = symbolizer.new_modules()
    path = mapping.file.path.decode()
    assert facts[:2] == (os.path.basename(path), path)
    with open(path, "rb") as file:
        assert bytes.fromhex(facts.build_id) in file.read(4096)
    symbolizer.stack(os.getpid(), [mapping.start + 100, mapping.start + 9000], [])
    assert symbolizer.new_modules() == ()


def test_where_the_names_of_a_file_come_from() -> None:
    assert load(compiled("pie", "-pie", "-fPIE")).symbols == "symtab"
    assert load(compiled("exporting", "-s", "-rdynamic")).symbols == "dynsym"
    assert load(compiled("static-stripped", "-s", "-static")).symbols == "none"
