"""The icicle: call stacks with the root on top, as wide as their share of the samples."""

from __future__ import annotations

from textual import events
from textual.message import Message

from ebtop.store.flame_tree import FlameWindow
from ebtop.ui.commands import bindings
from ebtop.ui.icicle_layout import FRAME, REST, Span, layout
from ebtop.ui.strips import Line, Run, StripWidget, fit

_PAGE = 8


class Icicle(StripWidget, can_focus=True):
    """Draws a FlameWindow. The cursor is a node of its tree; zooming makes a node the top row."""

    BINDINGS = bindings("icicle")

    class CursorMoved(Message):
        """The cursor stands on another frame."""

    def __init__(self, window: FlameWindow) -> None:
        super().__init__()
        self.window = window
        self.cursor = 0
        self.zooms: list[int] = [0]
        self.top = 0
        self._spans: list[list[Span]] = []
        self._edges: dict[int, int] = {}

    @property
    def zoomed(self) -> int:
        """The node on the top row."""
        return self.zooms[-1]

    def renumber(self, nodes: dict[int, int]) -> None:
        """Nodes got other numbers (`FlameWindow.compact`)."""
        if nodes:
            self.cursor = nodes.get(self.cursor, 0)
            self.zooms = [nodes[n] for n in self.zooms if n in nodes]
            self._edges.clear()

    def lines(self, width: int, height: int) -> list[Line]:
        self._keep_cursor_on_samples()
        crumbs = [self._breadcrumb()] if self.zoomed else []
        room = height - len(crumbs)
        at = self._depth_of_cursor()
        self.top = max(0, at - room + 1, min(self.top, at))
        self._spans = layout(self.window.tree, self.zoomed, width, self.top + room, self._edges)
        return crumbs + [self._line(row, width) for row in self._spans[self.top :]]

    def span_at(self, x: int, y: int) -> Span | None:
        """The span under a cell of the widget."""
        row = y - (1 if self.zoomed else 0) + self.top
        if not 0 <= row < len(self._spans):
            return None
        return next((s for s in self._spans[row] if s.left <= x < s.right), None)

    def move_to(self, node: int) -> None:
        self.cursor = node
        self.redraw()
        self.post_message(self.CursorMoved())

    def action_down(self) -> None:
        self.move_to(self._heaviest_child(self.cursor))

    def action_up(self) -> None:
        if self.cursor != self.zoomed:
            self.move_to(max(0, self.window.tree.parent[self.cursor]))

    def action_side(self, step: int) -> None:
        for row in self._spans:
            nodes = [s.node for s in row if s.role == FRAME]
            if self.cursor in nodes:
                self.move_to(nodes[max(0, min(nodes.index(self.cursor) + step, len(nodes) - 1))])
                return

    def action_page(self, pages: int) -> None:
        for _ in range(_PAGE):
            self.action_down() if pages > 0 else self.action_up()

    def action_top(self) -> None:
        self.move_to(self.zoomed)

    def action_bottom(self) -> None:
        """To the end of the heaviest path below the cursor."""
        node, child = self.cursor, self._heaviest_child(self.cursor)
        while child != node:
            node, child = child, self._heaviest_child(child)
        self.move_to(node)

    def action_zoom_in(self) -> None:
        if self.cursor != self.zoomed:
            self.zooms.append(self.cursor)
            self._edges.clear()
            self.move_to(self.cursor)

    def action_zoom_out(self) -> None:
        if len(self.zooms) > 1:
            self.zooms.pop()
            self._edges.clear()
            self.move_to(self.cursor)

    def on_click(self, event: events.Click) -> None:
        if event.y == 0 and self.zoomed:
            self.action_zoom_out()
        elif span := self.span_at(event.x, event.y):
            self.move_to(span.node)
            if event.chain == 2:
                self.action_zoom_in()

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    def _keep_cursor_on_samples(self) -> None:
        """A frame whose samples have all left the window hands the cursor to its caller."""
        tree = self.window.tree
        total = tree.total
        while self.cursor > 0 and not total[self.cursor] and self.cursor != self.zoomed:
            self.cursor = tree.parent[self.cursor]
        if self.zoomed and self.zoomed not in tree.path(self.cursor):
            self.cursor = self.zoomed

    def _depth_of_cursor(self) -> int:
        tree = self.window.tree
        return len(tree.path(self.cursor)) - len(tree.path(self.zoomed))

    def _heaviest_child(self, node: int) -> int:
        """Of the children that are drawn; the node itself when there are none."""
        tree = self.window.tree
        drawn = [child for child in tree.children(node) if child in self._edges] or [
            child for child in tree.children(node) if node not in self._edges and tree.total[child] > 0
        ]
        return max(drawn, key=tree.total.__getitem__, default=node)

    def _breadcrumb(self) -> Line:
        tree = self.window.tree
        runs: list[Run] = [(" all", "dim")]
        for node in tree.path(self.zoomed):
            runs += [(" › ", "faint"), (tree.frame(node).name, "text" if node == self.zoomed else "dim")]
        if not tree.total[self.zoomed]:
            runs.append((f"   no samples in the last {self.window.seconds:.0f} s, Esc zooms out", "warn"))
        return Line(tuple(runs), "title")

    def _line(self, row: list[Span], width: int) -> Line:
        tree, frame_style = self.window.tree, self.palette.frame
        runs: list[Run] = []
        x = 0
        for left, right, node, role, hidden in row:
            if left > x:
                runs.append((" " * (left - x), "text"))
            frame = tree.frame(node)
            cells = right - left
            if role == FRAME:
                chosen = node == self.cursor and self.has_focus
                runs.append((_label(frame.name, cells), "chosen" if chosen else frame_style(frame.kind, frame.name)))
            elif role == REST:
                text = f"+{hidden}"
                runs.append((text.center(cells, "·") if len(text) <= cells else "·" * cells, "dim"))
            else:
                runs.append(("░" * cells, "self:" + frame_style(frame.kind, frame.name)))
            x = right
        return Line(tuple(runs))


def _label(name: str, cells: int) -> str:
    """A frame's name behind its edge; the edge tells frames apart where there is no colour."""
    return (
        "▏" + fit(name, cells - 1)
        if cells > 3
        else "▏" + fit(name, cells)[: cells - 1]
        if name.isascii()
        else "▏".ljust(cells)
    )
