from __future__ import annotations

import random

from ebtop.store.flame_tree import FlameTree
from ebtop.store.records import Frame


def frames(*names: str) -> tuple[Frame, ...]:
    return tuple(Frame(name, "native", "app") for name in names)


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
    assert [tree.frame(node).kind for node in tree.children(0)] == ["kernel", "native"]


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


def test_totals_are_right_however_much_changed_since_they_were_asked_for() -> None:
    """Few changes are carried up one by one, many are summed anew: both against a plain sum."""
    rng = random.Random(5)
    tree = FlameTree()
    nodes = [tree.add(frames(*rng.choices("abcdefgh", k=rng.randint(1, 8))), 1) for _ in range(600)]
    for changes in (1, 3, 400, 2, 0, 250):
        for node in rng.choices(nodes, k=changes):
            tree.shift(node, rng.choice((1, 5, -tree.own[node])))
        below = [0] * len(tree)
        for node in range(len(tree)):
            for above in (0, *tree.path(node)):
                below[above] += tree.own[node]
        assert list(tree.total) == below


def test_the_heaviest_of_a_frame_is_the_outermost_of_equals() -> None:
    tree = FlameTree()
    tree.add(frames("light", "f"), 2)
    tree.add(frames("heavy", "f", "f"), 9)
    assert [frame.name for frame in tree.frames_to(tree.heaviest(frames("f")[0]))] == ["heavy", "f"]
    assert tree.heaviest(frames("nowhere")[0]) == 0


def test_compacted_keeps_what_has_weight() -> None:
    tree = FlameTree()
    gone = tree.add(frames("old", "leaf"), 4)
    kept = tree.add(frames("new", "leaf"), 7)
    tree.shift(gone, -4)
    copy, renumbered = tree.compacted()
    assert totals(copy) == {(): (0, 7), ("new",): (0, 7), ("new", "leaf"): (7, 7)}
    assert copy.own[renumbered[kept]] == 7
    assert gone not in renumbered
    assert len(copy) == 3
