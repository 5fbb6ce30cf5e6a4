"""Where the frames of a call tree go on a screen. Pure: no widget, no colour."""

from __future__ import annotations

from math import log2
from typing import NamedTuple

from ebtop.store.flame_tree import FlameTree

FRAME, REST, SELF = "frame", "rest", "self"
MIN_CELLS = 2
_STEPS = 1 / log2(1.5)


class Span(NamedTuple):
    """Cells [left, right) of one row."""

    left: int
    right: int
    node: int
    """The frame; for `rest` and `self` the frame they are part of."""
    role: str
    """frame; rest: children of `node` too narrow to draw, as one; self: samples that ended in `node`."""
    hidden: int = 0
    """How many frames a `rest` stands for."""


def layout(
    tree: FlameTree, root: int, width: int, depth: int, edges: dict[int, int], callers: bool = False
) -> list[list[Span]]:
    """Rows of spans, `root` on top, at most `depth` of them, each row from left to right.

    A frame's cells are its share of the root's samples. Siblings stand in name order, then what is too
    narrow for `MIN_CELLS`, then the frame's own samples: cells are never given to something they do not
    stand for. `edges` (node -> right edge) is kept between calls: an edge moves only when it is a whole
    cell off, so the picture does not shimmer and few lines are sent.

    `callers`: the tree is read from the functions that ran up to their callers. Then the heaviest of these
    functions come first, and what ends in a frame is not its own time.
    """
    total = tree.total
    whole = total[root]
    if whole <= 0 or width <= 0:
        return []
    rows, before = [[Span(0, width, root, FRAME)]], dict(edges)
    edges.clear()
    edges[root] = width
    # Of each frame in the last row: node, its first sample, its cells.
    level = [(root, 0, 0, width)]
    while level and len(rows) < depth:
        row: list[Span] = []
        below: list[tuple[int, int, int, int]] = []
        for node, first, left, right in level:
            sample, x, rest, hidden = first, left, 0, 0
            for child in _heavy_first(tree) if callers and not node else tree.children(node):
                samples = total[child]
                if samples <= 0:
                    continue
                if samples * width < MIN_CELLS * whole:
                    rest, hidden = rest + samples, hidden + 1
                    continue
                edge = _edge(sample + samples, width, whole, right, before.get(child))
                if edge > x:
                    row.append(Span(x, edge, child, FRAME))
                    below.append((child, sample, x, edge))
                    edges[child] = edge
                    x = edge
                sample += samples
            if hidden:
                edge = _edge(sample + rest, width, whole, right, None)
                if edge > x:
                    row.append(Span(x, edge, node, REST, hidden))
                    x = edge
            if not callers and x < right and tree.own[node] > 0:
                row.append(Span(x, right, node, SELF))
        if not row:
            break
        rows.append(row)
        level = below
    return rows


def _heavy_first(tree: FlameTree) -> list[int]:
    """The root's children by weight, in steps of a half, so that they seldom change places."""
    total = tree.total
    return sorted(tree.children(0), key=lambda node: -int(_STEPS * log2(1 + total[node])))


def _edge(samples: int, width: int, whole: int, limit: int, before: int | None) -> int:
    edge = round(samples * width / whole)
    if before is not None and before != edge and abs(samples * width - before * whole) < whole:
        edge = before
    return min(edge, limit)
