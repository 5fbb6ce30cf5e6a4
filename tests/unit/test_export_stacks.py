from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ElementTree
from typing import Any

from ebtop.export.about import About, completeness
from ebtop.export.folded import folded_lines
from ebtop.export.icicle_cells import cells
from ebtop.export.pprof import pprof
from ebtop.export.speedscope import speedscope
from ebtop.export.stack_sums import EMPTY, Profile, profiles
from ebtop.export.stack_tree import StackTree
from ebtop.export.svg import svg
from ebtop.store.flame_tree import FlameTree
from ebtop.store.records import Frame, ModuleFacts, StackRecord
from tests.unit.evidence_maker import CONTAINER, MODULES, ListedEvidence
from tests.unit.pprof_reader import read_pprof
from tests.unit.record_makers import EPOCH, SECOND, stack

ABOUT = About("node1", "6.18.4", from_ns=EPOCH, until_ns=EPOCH + 10 * SECOND, masked=0)
PERIOD = 20_000_000
SVG = "{http://www.w3.org/2000/svg}"


def cpu(*names: str, samples: int = 1, **fields: Any) -> StackRecord:
    return stack(1, *names, samples=samples, period_ns=PERIOD, **fields)


def offcpu(*names: str, amount: int, **fields: Any) -> StackRecord:
    return stack(1, *names, kind="offcpu", amount=amount, **fields)


def only(*stacks: StackRecord) -> Profile:
    (found,) = profiles(stacks)
    return found


def test_the_same_stack_of_several_seconds_is_one_with_all_samples() -> None:
    found = only(cpu("main", "a"), cpu("main", "b", samples=5), cpu("main", "a", samples=2), cpu("main", "a", pid=7))
    assert [(s.record.pid, s.record.frames[-1].name, s.record.samples, s.weight) for s in found.stacks] == [
        (100, "b", 5, 5 * PERIOD), (100, "a", 3, 3 * PERIOD), (7, "a", 1, PERIOD),
    ]  # fmt: skip
    assert (found.samples, found.weight, found.unit) == (9, 9 * PERIOD, "nanoseconds")


def test_samples_of_another_rate_weigh_what_they_stand_for() -> None:
    found = only(cpu("a", samples=2), cpu("a")._replace(period_ns=PERIOD * 4), cpu("b", samples=5))
    assert {s.record.frames[0].name: s.weight for s in found.stacks} == {"a": 6 * PERIOD, "b": 5 * PERIOD}
    lines = list(folded_lines(found, ABOUT))
    assert lines[-2:] == ["prog;a 120000", "prog;b 100000"]
    assert "# counts are microseconds of on-CPU time #" in lines


def test_samples_of_an_unknown_period_are_counted() -> None:
    found = only(cpu("a", samples=2), stack(1, "b", samples=3))
    assert (found.unit, found.weight) == ("samples", 5)
    assert read_pprof(pprof([found], ABOUT)).sample_types == [("samples", "count")]


def test_kinds_are_kept_apart_and_weigh_what_they_are_about() -> None:
    fault = stack(1, "touch", kind="faults", amount=40, samples=2)
    found = profiles([fault, offcpu("wait", amount=5_000_000, samples=3), cpu("run")])
    assert [(p.kind, p.weight, p.unit) for p in found] == [
        ("cpu", PERIOD, "nanoseconds"), ("offcpu", 5_000_000, "nanoseconds"), ("faults", 40, "faults"),
    ]  # fmt: skip
    read = read_pprof(pprof(found, ABOUT))
    assert read.sample_types == [
        ("samples", "count"), ("cpu", "nanoseconds"), ("waits", "count"), ("offcpu", "nanoseconds"),
        ("fault_samples", "count"), ("faults", "count"),
    ]  # fmt: skip
    assert {names: values for names, values, _ in read.samples} == {
        ("run",): (1, PERIOD, 0, 0, 0, 0), ("wait",): (0, 0, 3, 5_000_000, 0, 0), ("touch",): (0, 0, 0, 0, 2, 40),
    }  # fmt: skip
    assert list(folded_lines(found[1], ABOUT))[-1] == "prog;wait 5000"
    assert list(folded_lines(found[2], ABOUT))[-1] == "prog;touch 40"


def test_a_part_taken_out_leaves_the_rest() -> None:
    early, late = cpu("main", "a", samples=5), cpu("main", "a", samples=2, uid=7)
    whole, part = only(early, late, cpu("b"), cpu("c", pid=9)), only(late, cpu("b"))
    left = list(whole.without(part))
    assert [(s.record.frames[-1].name, s.record.samples, s.weight) for s in left] == [
        ("a", 5, 5 * PERIOD), ("c", 1, PERIOD),
    ]  # fmt: skip


def test_completeness_says_how_much_is_whole() -> None:
    assert completeness(EMPTY) == "no samples of on-CPU time"
    assert completeness(only(cpu("a"))) == "1 sample of on-CPU time, 100 % of it with whole stacks"
    cut = only(cpu("a", samples=3), cpu("b", complete=False))
    assert completeness(cut) == "4 samples of on-CPU time, 75 % of it with whole stacks, the rest marked [cut]"


def test_pprof_has_the_leaf_first_labels_times_and_what_was_missed() -> None:
    about = ABOUT._replace(limits=("exec: can't see x",))
    evidence = ListedEvidence(stacks=[cpu("main", "work", cgroup="/web", thread="worker", samples=4, complete=False)])
    read = read_pprof(pprof(profiles(evidence.stacks()), about, MODULES, evidence.containers))
    assert read.samples == [
        (
            ("work", "main", "[cut]"),
            (4, 4 * PERIOD),
            {
                "pid": "100",
                "comm": "prog",
                "thread": "worker",
                "container": "web",
                "pod": "shop-1",
                "namespace": "prod",
            },
        )
    ]
    assert read.top[9] == [EPOCH]
    assert read.top[10] == [10 * SECOND]
    assert read.top[12] == [PERIOD]
    assert any("nothing was lost" in comment for comment in read.comments)
    assert any("0 % of it with whole stacks" in comment for comment in read.comments)
    assert "exec: can't see x" in read.comments


def test_pprof_names_files_with_build_ids_and_leaves_what_has_no_symbol_to_be_found() -> None:
    frames = (
        Frame("main", "native", "prog"), Frame("[libfoo.so+0x12ab]", "unknown", "libfoo.so"),
        Frame("[bare.so+0x10]", "unknown", "bare.so"), Frame("do_sys", "kernel", ""), Frame("f", "interpreted", "x.py"),
    )  # fmt: skip
    modules = (*MODULES, ModuleFacts("prog", "/opt/prog", "99"))
    read = read_pprof(pprof([only(cpu()._replace(frames=frames))], ABOUT, modules))
    ((names, _, _),) = read.samples
    assert names == ("f", "do_sys", "[bare.so+0x10]", "/usr/lib/libfoo.so+0x12ab", "main")
    mappings = {
        read.strings[each[5][0]]: (read.strings[each.get(6, [0])[0]], each.get(7, [0])[0]) for each in read.mappings
    }
    assert mappings == {
        "/opt/prog": ("99", 1), "/usr/lib/libfoo.so": ("abcdef0123456789", 0), "bare.so": ("", 0),
        "[kernel.kallsyms]": ("", 1),
    }  # fmt: skip


def test_a_service_is_no_container_in_labels() -> None:
    service = CONTAINER._replace(runtime="systemd")
    read = read_pprof(pprof([only(cpu("a", cgroup="/x"))], ABOUT, (), lambda cgroup: service))
    assert read.samples[0][2] == {"pid": "100", "comm": "prog", "thread": "prog"}


def test_every_stack_format_of_nothing_is_whole() -> None:
    assert read_pprof(pprof([], ABOUT)).samples == []
    assert list(folded_lines(EMPTY, ABOUT))[2] == "# no samples of on-CPU time #"
    assert json.loads(speedscope([], ABOUT))["profiles"] == []
    assert "no samples" in svg(EMPTY, ABOUT)
    ElementTree.fromstring(svg(EMPTY, ABOUT))


def test_speedscope_has_all_and_each_process_and_what_was_missed() -> None:
    found = only(cpu("main", "a", samples=3), cpu("main", "b", pid=7, comm="other", complete=False))
    document = json.loads(speedscope([found], ABOUT))
    frames = [frame["name"] for frame in document["shared"]["frames"]]
    assert [(p["name"], p["endValue"], p["unit"]) for p in document["profiles"]] == [
        ("on-CPU time, all", 4 * PERIOD, "nanoseconds"),
        ("prog (100), on-CPU time", 3 * PERIOD, "nanoseconds"),
        ("other (7), on-CPU time", PERIOD, "nanoseconds"),
    ]
    paths = [[frames[n] for n in sample] for sample in document["profiles"][0]["samples"]]
    assert paths == [["prog", "main", "a"], ["other", "[cut]", "main", "b"]]
    assert document["profiles"][0]["weights"] == [3 * PERIOD, PERIOD]
    assert "nothing was lost" in document["name"]
    assert document["ebtop"]["lost"] == 0


def test_svg_draws_frames_as_wide_as_their_share_and_says_what_was_missed() -> None:
    found = only(cpu("main", "a", samples=3), cpu("main", "b", complete=False))
    root = ElementTree.fromstring(svg(found, ABOUT))
    widths = {}
    for group in root.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        assert rect is not None
        widths[group.attrib["data-n"], group.attrib["data-f"]] = float(rect.attrib["width"])
    assert widths["a", f"{PERIOD} {3 * PERIOD} 3"] == 899.5
    assert widths["b", f"0 {PERIOD} 4"] == 299.5
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert "4 samples of on-CPU time, 75 % of it with whole stacks, the rest marked [cut]" in texts
    assert "nothing was lost" in texts
    cut = next(g for g in root.iter(f"{SVG}g") if g.attrib["data-n"] == "[cut]")
    assert cut.attrib["class"] == "f cut"
    title = next(g.find(f"{SVG}title") for g in root.iter(f"{SVG}g") if g.attrib["data-n"] == "a")
    assert title is not None
    assert title.text == "a\n75.0 % of on-CPU time, 3 samples, 60ms\nnative, prog"


def test_what_is_too_narrow_is_one_remainder_that_says_how_much() -> None:
    tree = FlameTree()
    tree.add([Frame("wide", "native", "")], 1000)
    for n in range(50):
        tree.add([Frame("many", "native", ""), Frame(f"f{n}", "native", "")], 1)
    drawn = cells(tree, most=3)
    assert [(tree.frame(cell.node).name, cell.weight, cell.hidden) for cell in drawn] == [
        ("all", 1050, 0), ("many", 50, 0), ("many", 50, 50), ("wide", 1000, 0),
    ]  # fmt: skip
    assert cells(FlameTree()) == []


def test_a_tree_that_grows_where_it_is_looked_at_is_drawn_like_a_whole_one() -> None:
    chance = random.Random(1)
    names = [Frame(name, "native", "") for name in "abcd"]
    paths = [chance.choices(names, k=chance.randint(1, 6)) for _ in range(300)]
    weights = [chance.randrange(5) for _ in paths]
    grown, whole = StackTree(paths, weights), FlameTree()
    for path, weight in zip(paths, weights, strict=True):
        whole.add(path, weight)
    for most in (1, 20, 200, 10_000):
        drawn, expected = cells(grown, most), cells(whole, most)
        assert [cell[:3] + cell[4:] for cell in drawn] == [cell[:3] + cell[4:] for cell in expected]
        for cell, other in zip(drawn, expected, strict=True):
            assert grown.frames_to(cell.node) == whole.frames_to(other.node)
            assert grown.own(cell.node) == whole.own[other.node]
