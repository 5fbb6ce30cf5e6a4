"""The pure parts of drawing: layout, widths, buckets, costs."""

from __future__ import annotations

import itertools
import random

import pytest
from fakes import START_NS, FakeSource, probe_health
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

from ebtop.store.flame_tree import FlameTree
from ebtop.store.records import Frame
from ebtop.store.source import ProgramCost
from ebtop.ui.glyphs import to_ascii
from ebtop.ui.histogram import quantile, rows
from ebtop.ui.icicle_layout import FRAME, MIN_CELLS, REST, SELF, layout
from ebtop.ui.moment import CostMeter
from ebtop.ui.strips import LeanStrip, fit
from ebtop.ui.table import Column, choose


def frame(name: str) -> Frame:
    return Frame(name, "native", "")


def random_tree(seed: int) -> FlameTree:
    rng = random.Random(seed)
    tree = FlameTree()
    for _ in range(rng.randint(1, 400)):
        tree.add([frame(rng.choice("abcdefghij")) for _ in range(rng.randint(1, 9))], rng.randint(1, 50))
    return tree


@pytest.mark.parametrize("seed", range(12))
def test_layout_gives_no_cell_twice_and_none_to_what_it_does_not_stand_for(seed: int) -> None:
    tree, width = random_tree(seed), 120
    total = tree.total
    spans = layout(tree, 0, width, 50, {})
    assert spans[0] == [(0, width, 0, FRAME, 0)]
    above = {0: (0, width)}
    for row in spans[1:]:
        below = {}
        for before, span in itertools.pairwise(row):
            assert before.right <= span.left
        for left, right, node, role, hidden in row:
            owner = tree.parent[node] if role == FRAME else node
            assert above[owner][0] <= left < right <= above[owner][1], "outside of its caller"
            if role == FRAME:
                below[node] = (left, right)
                assert abs((right - left) - total[node] * width / total[0]) <= 1
            if role == REST:
                narrow = [c for c in tree.children(node) if 0 < total[c] * width < MIN_CELLS * total[0]]
                assert hidden == len(narrow)
                assert abs((right - left) - sum(total[c] for c in narrow) * width / total[0]) <= 1
            if role == SELF:
                assert tree.own[node] > 0
        above = below


def test_layout_draws_every_frame_that_is_wide_enough() -> None:
    tree = random_tree(3)
    drawn = {span.node for row in layout(tree, 0, 200, 50, {}) for span in row if span.role == FRAME}
    wide = {n for n in range(len(tree)) if tree.total[n] * 200 >= MIN_CELLS * tree.total[0]}
    assert drawn == wide


def test_layout_of_a_zoomed_frame_fills_the_width() -> None:
    tree = FlameTree()
    tree.add([frame("a"), frame("b")], 1)
    tree.add([frame("c")], 9)
    a = next(n for n in tree.children(0) if tree.frame(n).name == "a")
    assert [(s.left, s.right) for s in layout(tree, a, 80, 9, {})[0]] == [(0, 80)]


def test_edges_stay_where_they_were_for_less_than_a_cell() -> None:
    tree = FlameTree()
    left, right = tree.add([frame("a")], 500), tree.add([frame("b")], 500)
    edges: dict[int, int] = {}
    layout(tree, 0, 100, 5, edges)
    assert edges[left] == 50
    tree.shift(right, 15)
    layout(tree, 0, 100, 5, edges)
    assert edges[left] == 50, "49.3 cells is less than one off"
    tree.shift(right, 40)
    layout(tree, 0, 100, 5, edges)
    assert edges[left] == 47


def test_no_samples_no_rows() -> None:
    assert layout(FlameTree(), 0, 80, 10, {}) == []


@pytest.mark.parametrize("text", ["short", "exactly10!", "much too long for it", "漢字漢字漢字漢字", "é" * 30, ""])
@pytest.mark.parametrize("width", [0, 1, 2, 5, 10])
def test_fit_takes_exactly_the_width(text: str, width: int) -> None:
    for right in (False, True):
        for middle in (False, True):
            assert cell_len(fit(text, width, right=right, middle=middle)) == width


def test_fit_keeps_the_port_of_a_long_address() -> None:
    assert fit("[2001:db8:85a3::8a2e:370:7334]:5432", 20, middle=True) == "[2001:db8:8…34]:5432"


@pytest.mark.parametrize("text", ["plain", "▏frame…", "≥1 · ●", "漢字", "é"])
def test_ascii_takes_as_many_cells(text: str) -> None:
    assert to_ascii(text).isascii()
    assert len(to_ascii(text)) == cell_len(text)


def column(title: str, width: int, stretch: int = 0, rank: int = 0) -> Column[str]:
    return Column(title, width, str, "", stretch=stretch, rank=rank)


def test_columns_of_the_highest_rank_go_first() -> None:
    columns = [column("a", 10), column("b", 10, rank=2), column("c", 10, rank=1), column("d", 10, rank=2)]

    def titles(width: int) -> str:
        return "".join(chosen.title for chosen, _ in choose(columns, width))

    assert titles(43) == "abcd"
    assert titles(42) == "abc"
    assert titles(32) == "abc"
    assert titles(31) == "ac"
    assert titles(20) == "a"
    assert titles(3) == "a"


def test_stretching_columns_fill_the_width() -> None:
    chosen = choose([column("a", 5, stretch=1), column("b", 7), column("c", 5, stretch=2)], 52)
    assert [width for _, width in chosen] == [16, 7, 27]
    assert sum(width for _, width in chosen) + 2 == 52


def test_histogram_rows_join_neighbours_and_lose_nothing() -> None:
    ok = [0, 0, 3, 0, 7, 1, 0, 0, 2, 0]
    failed = [0, 0, 0, 1, 0, 0, 0, 0, 0, 4]
    for limit in range(1, 12):
        found = rows(ok, failed, limit)
        assert len(found) <= limit
        assert (found[0][0], found[-1][1]) == (2, 10)
        assert sum(row[2] for row in found) == sum(ok)
        assert sum(row[3] for row in found) == sum(failed)
        assert all(before[1] == after[0] for before, after in itertools.pairwise(found))
    assert rows([0, 0], [0], 5) == []


def test_quantile_is_the_upper_bound_of_its_bucket() -> None:
    assert quantile([0, 0, 50, 49], [0, 0, 0, 0, 0, 1], 0.5) == 3
    assert quantile([0, 0, 50, 49], [0, 0, 0, 0, 0, 1], 0.99) == 4
    assert quantile([0, 0, 50, 49], [0, 0, 0, 0, 0, 1], 1.0) == 6
    assert quantile([], [], 0.5) is None


def test_cost_counts_a_probe_loaded_in_between_from_zero() -> None:
    source, meter = FakeSource(), CostMeter()
    assert meter.measure(source.health()) is None
    source.time_ns = START_NS + 10**9
    reloaded = (ProgramCost("exec_prog", 99, 5, 8_000_000),)
    source.probes["exec"] = probe_health("exec", programs=reloaded)
    cost = meter.measure(source.health())
    assert cost is not None
    assert cost.probes["exec"] == pytest.approx(0.2), "8 ms of one second on 4 CPUs"
    assert cost.bpf == pytest.approx(0.2)


def test_lean_strip_sends_a_style_once_and_ends_with_a_reset() -> None:
    red, plain = Style(color="#ff0000"), Style()
    strip = LeanStrip([Segment("a", red), Segment("b", red), Segment("c", plain)], 3)
    console = Console(color_system="truecolor", force_terminal=True)
    assert strip.render(console) == "\x1b[0;38;2;255;0;0mab\x1b[39mc\x1b[0m"


def test_lean_strip_sends_no_colour_again_that_stays() -> None:
    red, green, bold = (Style.parse(f"{text} on #000011") for text in ("#ff0000", "#00ff00", "bold #00ff00"))
    console = Console(color_system="truecolor", force_terminal=True)
    strip = LeanStrip([Segment("a", red), Segment("b", green), Segment("c", bold), Segment("d", red)], 4)
    ground = "48;2;0;0;17"
    assert strip.render(console) == (
        f"\x1b[0;38;2;255;0;0;{ground}ma\x1b[38;2;0;255;0mb\x1b[0;1;38;2;0;255;0;{ground}mc"
        f"\x1b[0;38;2;255;0;0;{ground}md\x1b[0m"
    )
