from __future__ import annotations

import random

from ebtop.store.flame_tree import CUT, FlameTree, FlameWindow, frames_of
from ebtop.store.records import Frame, StackRecord

SECOND = 10**9


def frames(*names: str) -> tuple[Frame, ...]:
    return tuple(Frame(name, "native", "app") for name in names)


def record(*names: str, samples: int = 1, comm: str = "app", complete: bool = True) -> StackRecord:
    return StackRecord(0, 1, comm, 0, None, "cpu", samples, frames(*names), complete)


def totals(tree: FlameTree) -> dict[tuple[str, ...], tuple[int, int]]:
    """Path of names -> (own, total) of every node with samples."""
    return {
        tuple(tree.frame(n).name for n in tree.path(node)): (tree.own[node], tree.total[node])
        for node in range(len(tree))
        if tree.total[node]
    }


def test_totals_include_everything_below() -> None:
    tree = FlameTree()
    tree.add(frames("main", "parse"), 3)
    tree.add(frames("main", "draw"), 4)
    tree.add(frames("main"), 1)
    tree.add(frames("other"), 2)
    assert totals(tree) == {
        (): (0, 10),
        ("main",): (1, 8),
        ("main", "parse"): (3, 3),
        ("main", "draw"): (4, 4),
        ("other",): (2, 2),
    }


def test_the_same_name_from_another_module_is_another_frame() -> None:
    tree = FlameTree()
    tree.add([Frame("read", "native", "libc")], 1)
    tree.add([Frame("read", "kernel", "")], 1)
    assert [tree.frame(node).kind for node in tree.children(0)] == ["native", "kernel"]


def test_siblings_stand_in_name_order_whenever_they_came() -> None:
    tree = FlameTree()
    for name in ("m", "a", "z", "b"):
        tree.add(frames("main", name), 1)
    main = tree.children(0)[0]
    assert [tree.frame(node).name for node in tree.children(main)] == ["a", "b", "m", "z"]


def test_recursion_is_a_path_and_counted_once_at_each_level() -> None:
    tree = FlameTree()
    tree.add(frames("f", "f", "f"), 5)
    assert totals(tree) == {(): (0, 5), ("f",): (0, 5), ("f", "f"): (0, 5), ("f", "f", "f"): (5, 5)}


def test_totals_are_right_after_nodes_were_added_to_a_summed_tree() -> None:
    tree = FlameTree()
    tree.add(frames("a"), 1)
    assert tree.total[0] == 1
    node = tree.add(frames("b", "c"), 0)
    assert tree.total[node] == 0
    tree.shift(node, 2)
    assert tree.total[0] == 3


def test_compacted_keeps_what_has_samples_and_what_is_wanted() -> None:
    tree = FlameTree()
    gone = tree.add(frames("old", "leaf"), 4)
    wanted = tree.add(frames("old", "cursor"), 2)
    kept = tree.add(frames("new", "leaf"), 7)
    tree.shift(gone, -4)
    tree.shift(wanted, -2)
    copy, renumbered = tree.compacted([wanted])
    assert totals(copy) == {(): (0, 7), ("new",): (0, 7), ("new", "leaf"): (7, 7)}
    assert copy.frame(renumbered[wanted]).name == "cursor"
    assert copy.own[renumbered[kept]] == 7
    assert gone not in renumbered
    assert len(copy) == 5


def test_a_cut_stack_hangs_under_a_marker() -> None:
    assert [frame.name for frame in frames_of(record("inner", complete=False))] == ["app", CUT.name, "inner"]
    assert [frame.name for frame in frames_of(record("main"))] == ["app", "main"]


def test_window_equals_a_tree_of_what_is_inside_it() -> None:
    """Against the truth: after each second the window must equal a fresh tree of the last 10 seconds."""
    rng = random.Random(1)
    window = FlameWindow(10)
    seconds: list[list[StackRecord]] = []
    for now in range(40):
        stacks = [
            record(*rng.choices("abcd", k=rng.randint(1, 5)), samples=rng.randint(1, 9), complete=rng.random() < 0.8)
            for _ in range(rng.randint(0, 6))
        ]
        seconds.append(stacks)
        window.add(now * SECOND, stacks, 1.0)
        inside = [stack for stacks in seconds[-10:] for stack in stacks]
        truth = FlameTree()
        for stack in inside:
            truth.add(frames_of(stack), stack.samples)
        assert totals(window.tree) == totals(truth)
        assert window.samples == sum(stack.samples for stack in inside)
        assert window.whole_samples == sum(stack.samples for stack in inside if stack.complete)
        assert window.sampled_s == min(now + 1, 10)


def test_window_forgets_stacks_that_never_come_back() -> None:
    window = FlameWindow(2)
    window.COMPACT_ABOVE = 100
    window._compact_at = 100
    renumbered: dict[int, int] = {}
    for now in range(200):
        window.add(now * SECOND, [record(f"once-{now}-{n}") for n in range(20)], 1.0)
        renumbered = window.compact() or renumbered
    assert renumbered, "it was never compacted"
    assert len(window.tree) < 250
    assert window.tree.total[0] == window.samples == 40
    assert sum(window.tree.own) == 40
