"""Search and the table of functions, against the stacks they were made from."""

from __future__ import annotations

import random

import pytest

from ebtop.store.flame_functions import FunctionTable
from ebtop.store.flame_paths import Shape, path_of
from ebtop.store.flame_search import FrameSearch, Wanted
from ebtop.store.flame_tree import FlameTree
from ebtop.store.records import Frame, StackRecord


def stack(*names: str, samples: int = 1, comm: str = "app", pid: int = 1) -> StackRecord:
    modules = {"read": "libc.so.6", "ssl_read": "libssl.so.3"}
    frames = tuple(Frame(name, "native", modules.get(name, "app")) for name in names)
    return StackRecord(0, pid, comm, 0, None, "cpu", samples, frames, True)


def tree_of(stacks: list[StackRecord], shape: Shape = Shape()) -> FlameTree:  # noqa: B008
    tree = FlameTree()
    for each in stacks:
        tree.add(path_of(each, shape), each.samples)
    return tree


def random_stacks(seed: int) -> list[StackRecord]:
    rng = random.Random(seed)
    names = ["main", "read", "ssl_read", "parse", "Parser", "walk"]
    return [
        stack(*rng.choices(names, k=rng.randint(1, 7)), samples=rng.randint(1, 9), comm=rng.choice(("app", "parsed")))
        for _ in range(rng.randint(1, 80))
    ]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("callers", [False, True])
def test_a_stack_with_several_matches_counts_once(seed: int, callers: bool) -> None:
    stacks = random_stacks(seed)
    search = FrameSearch(tree_of(stacks, Shape(callers=callers)), Wanted("pars"))
    truth = sum(s.samples for s in stacks if s.comm == "parsed" or any("pars" in f.name.lower() for f in s.frames))
    assert search.weight == truth


def test_what_comes_later_is_searched_too() -> None:
    stacks = random_stacks(9)
    tree = tree_of(stacks[:3])
    search = FrameSearch(tree, Wanted("read"))
    for late in stacks[3:]:
        tree.add(path_of(late, Shape()), late.samples)
        search.update()
    fresh = FrameSearch(tree, Wanted("read"))
    assert (search.weight, search.matches) == (fresh.weight, fresh.matches)


def test_text_is_found_in_names_pids_and_modules_in_any_case() -> None:
    tree = tree_of([stack("main", "ssl_read", pid=4321)], Shape("process"))

    def found(wanted: Wanted) -> list[str]:
        return [tree.frame(node).name for node in FrameSearch(tree, wanted).matches]

    assert found(Wanted("MAIN")) == ["main"]
    assert found(Wanted("libssl")) == ["ssl_read"]
    assert found(Wanted("(4321)")) == ["app"]
    assert found(Wanted("read", whole=True)) == []
    assert found(Wanted("ssl_read", whole=True)) == ["ssl_read"]
    assert found(Wanted("all")) == [], "the root is nobody's"


def test_matches_come_heaviest_first_and_without_those_that_left() -> None:
    tree = tree_of([stack("main", "read", samples=2), stack("read", "read", samples=9)])
    search = FrameSearch(tree, Wanted("read"))
    assert [tree.total[node] for node in search.heaviest_first()] == [9, 9, 2]
    outer, inner, _ = search.heaviest_first()
    assert tree.parent[inner] == outer
    tree.add(path_of(stack("main", "read"), Shape()), -2)
    assert len(search.heaviest_first()) == 2


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [Shape(), Shape("process"), Shape("thread", callers=True)])
def test_functions_against_the_stacks(seed: int, shape: Shape) -> None:
    stacks = random_stacks(seed)
    tree = tree_of(stacks[: len(stacks) // 2], shape)
    table = FunctionTable(tree, shape.callers)
    table.rows()
    for late in stacks[len(stacks) // 2 :]:
        tree.add(path_of(late, shape), late.samples)
    rows = table.rows()
    for row in rows:
        assert row.own == sum(s.samples for s in stacks if s.frames[-1] == row.frame)
        assert row.total == sum(s.samples for s in stacks if row.frame in s.frames)
    assert {row.frame for row in rows} == {frame for s in stacks for frame in s.frames}
    assert [row.own for row in rows] == sorted((row.own for row in rows), reverse=True)
