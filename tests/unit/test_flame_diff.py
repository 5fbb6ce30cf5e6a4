from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from ebtop.export.diff import compare_extracts, diff_json, diff_report, diff_svg
from ebtop.export.extract import Extract
from ebtop.export.markdown import markdown_lines
from ebtop.store.evidence_diff import Side, compare
from ebtop.store.flame_diff import FlameDiff, compare_functions, sign_of, step_of
from ebtop.store.flame_functions import FunctionTable, functions_of, without
from ebtop.store.flame_paths import Shape, path_of
from ebtop.store.flame_tree import FlameTree
from ebtop.store.records import Frame, StackRecord
from tests.unit.evidence_maker import ListedEvidence
from tests.unit.record_makers import connect, exec_, retransmit, stack, tcp


def tree(*stacks: StackRecord) -> FlameTree:
    made = FlameTree()
    for each in stacks:
        made.add(path_of(each, Shape()), each.samples)
    return made


def node(of: FlameTree, *names: str) -> int:
    at = 0
    for name in names:
        at = next(child for child in of.children(at) if of.frame(child).name == name)
    return at


def test_shares_do_not_depend_on_how_long_each_side_is() -> None:
    before = tree(stack(1, "a"), stack(1, "b"))
    diff = FlameDiff(before, tree(stack(1, "a", samples=900), stack(1, "b", samples=100)))
    a, b = node(diff.tree, "prog", "a"), node(diff.tree, "prog", "b")
    assert (diff.before(a), diff.after(a)) == (0.5, 0.9)
    assert (diff.before(b), diff.after(b)) == (0.5, 0.1)
    assert diff.before(0) == diff.after(0) == 1.0
    assert diff.tree.total[a] / diff.tree.total[0] == pytest.approx(0.7)


def test_what_came_and_what_went_are_both_drawn() -> None:
    diff = FlameDiff(tree(stack(1, "old")), tree(stack(1, "new")))
    old, new = node(diff.tree, "prog", "old"), node(diff.tree, "prog", "new")
    assert (diff.before(old), diff.after(old)) == (1.0, 0.0)
    assert (diff.before(new), diff.after(new)) == (0.0, 1.0)
    assert diff.tree.total[old] == diff.tree.total[new] > 0


def test_a_side_of_nothing_changes_no_width() -> None:
    diff = FlameDiff(FlameTree(), tree(stack(1, "a", samples=3), stack(1, "b")))
    assert diff.tree.total[node(diff.tree, "prog", "a")] / diff.tree.total[0] == pytest.approx(0.75)
    assert FlameDiff(FlameTree(), FlameTree()).tree.total[0] == 0


def test_signs_and_steps() -> None:
    assert [sign_of(*pair) for pair in ((0.1, 0.2), (0.2, 0.1), (0.1, 0.1005), (0, 0.2), (0.2, 0), (0, 0))] == [
        "+", "-", "=", "*", "x", "=",
    ]  # fmt: skip
    assert [step_of(0.5, 0.5 + delta) for delta in (0.0005, 0.002, 0.01, 0.03, 0.2, -0.2)] == [0, 1, 2, 3, 4, 4]


def test_what_may_be_chance_is_not_called_a_change() -> None:
    assert sign_of(0.10, 0.13, (100, 100)) == "~"
    assert step_of(0.10, 0.13, (100, 100)) == 0
    assert sign_of(0.10, 0.13, (100_000, 100_000)) == "+"
    assert sign_of(0.0, 0.02, (50, 50)) == "~"
    assert sign_of(0.0, 0.02, (5000, 5000)) == "*"
    assert sign_of(1.0, 1.0, (10, 10)) == "="
    # Of two times 400 samples, 5 % and 9 % differ by more than two standard deviations; 5 % and 8 % do not.
    assert [sign_of(0.05, share, (400, 400)) for share in (0.08, 0.09)] == ["~", "+"]


def test_functions_of_stacks_are_those_of_their_tree() -> None:
    unknown = Frame("[x.so+0x12]", "unknown", "x.so")
    stacks = [
        stack(1, "main", "a", "main", samples=2), stack(1, "main", "b", samples=3), stack(2, "b", pid=7, comm="other"),
        stack(1)._replace(frames=(Frame("main", "native", "prog"), unknown, unknown)),
    ]  # fmt: skip
    weighed = [(each, each.samples) for each in stacks]
    found = {row.frame: row for row in functions_of(weighed)}
    assert found == {row.frame: row for row in FunctionTable(tree(*stacks), callers=False).rows()}


def test_functions_without_those_of_some_stacks_are_those_of_the_others() -> None:
    some = [(stack(1, "main", "a"), 5), (stack(1, "main", "gone"), 2)]
    others = [(stack(1, "main", "a"), 3), (stack(1, "main", "b", "main"), 7)]
    left = without(functions_of([*some, *others]), functions_of(some))
    assert sorted(left) == sorted(functions_of(others))


def test_the_most_changed_function_comes_first() -> None:
    before = functions_of([(stack(1, "main", "a"), 50), (stack(1, "main", "b"), 50)])
    after = functions_of([(stack(1, "main", "a"), 10), (stack(1, "main", "c"), 90)])
    changes = compare_functions(before, after)
    assert [(c.frame.name, round(c.own_before, 2), round(c.own_after, 2)) for c in changes] == [
        ("c", 0.0, 0.9), ("b", 0.5, 0.0), ("a", 0.5, 0.1), ("main", 0.0, 0.0),
    ]  # fmt: skip
    assert changes[-1].total_after == 1.0


def before_and_after() -> tuple[Extract, Extract]:
    before = ListedEvidence(
        [exec_(1, 5, "cron"), exec_(2, 6, "ls"), tcp("connect", 3, key=1), retransmit(4, 1), connect(5, "timeout")],
        [stack(1, "main", "work", samples=90), stack(1, "main", "idle", samples=10)],
        seconds=60.0,
    )
    after = ListedEvidence(
        [exec_(n, 5 + n, "backup") for n in range(10)]
        + [exec_(20, 40, "ls"), tcp("connect", 3, key=1, daddr="10.9.9.9", dport=5432), retransmit(4, 8)],
        [stack(1, "main", "work", samples=200), stack(1, "main", "spin", samples=800)],
        seconds=120.0,
    )
    return Extract(before), Extract(after)


def test_new_and_gone_commands_peers_and_pairs() -> None:
    diff = compare_extracts(*before_and_after()).diff
    assert diff.new_commands == ("backup",)
    assert diff.gone_commands == ("cron",)
    assert diff.new_peers == ("to 10.9.9.9:5432",)
    assert diff.gone_peers == ("to 10.0.0.2:443",)
    assert [(c.name, c.before, c.after, c.sign, c.who) for c in diff.retransmits] == [
        ("10.0.0.1 > 10.0.0.2 (port 443)", 1.0, 4.0, "+", "curl")
    ]
    assert [(c.name, c.sign) for c in diff.connects] == [("10.0.0.2:443 timeout", "x")]
    assert {c.name: c.sign for c in diff.commands} == {"backup": "*", "cron": "x", "ls": "-"}


def test_a_connection_that_stays_open_is_counted_when_it_is_opened_and_there_for_as_long() -> None:
    opened, still = tcp("connect", 1, key=1), tcp("live", 60, key=1)
    before, after = Side(60.0), Side(60.0)
    before.records([opened])
    after.records([still, tcp("live", 60, key=2, daddr="10.9.9.9")])
    diff = compare(before, after)
    assert [(c.name, c.before, c.after) for c in diff.peers] == [("to 10.0.0.2:443", 1.0, 0.0)]
    assert diff.new_peers == ("to 10.9.9.9:443",)
    assert diff.gone_peers == ()


def test_the_icicle_has_signs_colours_and_both_sides() -> None:
    root = ElementTree.fromstring(diff_svg(compare_extracts(*before_and_after())))
    svg = "{http://www.w3.org/2000/svg}"
    styles = {}
    for group in root.iter(f"{svg}g"):
        rect = group.find(f"{svg}rect")
        assert rect is not None
        styles[group.attrib["data-n"]] = rect.attrib["class"]
    assert styles["- work"] == "less4"
    assert styles["* spin"] == "more4"
    assert styles["x idle"] == "less4"
    assert styles["= main"] == "same"
    texts = [element.text or "" for element in root.iter(f"{svg}text")]
    assert any(text.startswith("before: 100 samples") for text in texts)
    assert any(text.startswith("after: 1,000 samples") for text in texts)


def test_a_function_that_only_calls_now_is_not_called_gone() -> None:
    before = ListedEvidence(stacks=[stack(1, "main", "work", samples=50), stack(1, "main", "work", "help", samples=50)])
    after = ListedEvidence(stacks=[stack(1, "main", "work", "help", samples=100)])
    report = diff_report(compare_extracts(Extract(before), Extract(after)), drawn=False)
    signs = {row[1]: row[0] for row in report.tables[0].rows}
    assert signs == {"work": "-", "help": "+"}


def test_json_and_markdown_say_the_same() -> None:
    comparison = compare_extracts(*before_and_after())
    document = json.loads(diff_json(comparison))
    spin = next(each for each in document["functions"] if each["function"] == "spin")
    assert (spin["sign"], spin["self_before"], spin["self_after"]) == ("*", 0.0, 0.8)
    assert document["new_commands"] == ["backup"]
    assert document["retransmits"][0]["who"] == "curl"
    text = list(markdown_lines(diff_report(comparison, drawn=False)))
    assert "- New commands: `backup`." in text
    assert "| `*` | `spin` | `prog` | 0.00 % | 80.0 % | 0.00 % | 80.0 % |" in text
