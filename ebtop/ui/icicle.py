"""The icicle: call stacks with the root on top, as wide as their share of the samples."""

from __future__ import annotations

from textual import events
from textual.message import Message

from ebtop.store.flame_paths import title_of
from ebtop.store.flame_search import FrameSearch, Wanted
from ebtop.store.flame_window import FlameWindow
from ebtop.store.records import Frame
from ebtop.ui.cells import cells
from ebtop.ui.commands import bindings
from ebtop.ui.icicle_layout import FRAME, MIN_CELLS, REST, Span, layout
from ebtop.ui.stack_words import WORDS
from ebtop.ui.strips import Line, Run, StripWidget, fit
from ebtop.units import share

_PAGE = 8
_OF_A_PROCESS = ("thread", "state", "waker")
"""Kinds of frames that tell apart what belongs to one."""
_READABLE_CELLS = 12
"""How wide a match gets that was too narrow to see."""


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
        self.search: FrameSearch | None = None
        self._spans: list[list[Span]] = []
        self._edges: dict[int, int] = {}

    @property
    def zoomed(self) -> int:
        """The node on the top row."""
        return self.zooms[-1]

    def show(self, window: FlameWindow) -> None:
        """Draw another window from now on; cursor, zooms and search go along as far as it has the same frames."""
        old, self.window = self.window, window
        if window.shape == old.shape:
            self.cursor = window.tree.add(old.tree.frames_to(self.cursor), 0)
            self.zooms = [window.tree.add(old.tree.frames_to(node), 0) for node in self.zooms]
        else:
            self.cursor, self.zooms = self._same_frame(old.tree.frame(self.cursor)), [0]
        self._edges.clear()
        if self.search:
            self.search = FrameSearch(window.tree, self.search.wanted)

    def lines(self, width: int, height: int) -> list[Line]:
        self._keep_cursor_on_samples()
        if self.search:
            self.search.update()
        tree = self.window.tree
        crumbs = [self._breadcrumb(width)] if self.zoomed else []
        room = height - len(crumbs)
        below = self._rows_below_zoomed(self.cursor)
        depth = max(self.top, below - room + 1) + room
        self._spans = layout(tree, self.zoomed, width, depth, self._edges, self.window.shape.callers)
        marked = self._drawn_for(self.cursor)
        at = min(below, self._rows_below_zoomed(marked) + 1)
        self.top = max(0, at - room + 1, min(self.top, at))
        return crumbs + [self._line(row, marked) for row in self._spans[self.top : self.top + room]]

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

    def find(self, wanted: Wanted | None) -> None:
        """Mark what matches and go to the heaviest match that can be seen; None ends the search."""
        self.search = FrameSearch(self.window.tree, wanted) if wanted else None
        seen = [n for n in self.search.heaviest_first() if n in self._edges] if self.search else []
        self.move_to(seen[0] if seen and not self._on_match() else self.cursor)

    def go_to_heaviest(self) -> None:
        """To the heaviest match; zooms where it is narrow."""
        found = self.search.heaviest_first() if self.search else []
        if found:
            self._bring_into_view(found[0])
            self.move_to(found[0])

    def find_next(self, step: int) -> None:
        """To the match after (or with -1 before) the one under the cursor, heaviest first; zooms where it is narrow."""
        found = self.search.heaviest_first() if self.search else []
        if not found:
            return
        if self.cursor in found:
            node = found[(found.index(self.cursor) + step) % len(found)]
        else:
            node = found[0 if step > 0 else -1]
        self._bring_into_view(node)
        self.move_to(node)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # Enter on the top row is not the icicle's: it goes on to whoever knows more about the frame.
        # Nor is it on a stack's missing part, about which there is a page.
        goes_on = self.cursor == self.zoomed or self.window.tree.frame(self.cursor).kind == "cut"
        return not goes_on if action == "zoom_in" else True

    def action_down(self) -> None:
        self.move_to(self._heaviest_child(self.cursor))

    def action_up(self) -> None:
        if self.cursor != self.zoomed:
            self.move_to(max(0, self.window.tree.parent[self.cursor]))

    def action_side(self, step: int) -> None:
        """To the next frame of the same row, past what is too narrow to be one."""
        marked = self._drawn_for(self.cursor)
        role = FRAME if marked == self.cursor else REST
        for row in self._spans:
            at = next((n for n, span in enumerate(row) if span.node == marked and span.role == role), None)
            if at is None:
                continue
            beyond = row[at + 1 :] if step > 0 else row[:at][::-1]
            node = next((span.node for span in beyond if span.role == FRAME), None)
            if node is not None:
                self.move_to(node)
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
            self._zoom_to(self.cursor)
            self.move_to(self.cursor)

    def zoom_out(self) -> bool:
        """One zoom back; False = there is none."""
        if len(self.zooms) == 1:
            return False
        self.zooms.pop()
        self._edges.clear()
        self.move_to(self.cursor)
        return True

    def on_click(self, event: events.Click) -> None:
        if event.y == 0 and self.zoomed:
            self.zoom_out()
        elif span := self.span_at(event.x, event.y):
            self.move_to(span.node)
            if event.chain == 2:
                self.action_zoom_in()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_down()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_up()

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    def _zoom_to(self, node: int) -> None:
        self.zooms.append(node)
        self._edges.clear()

    def _bring_into_view(self, node: int) -> None:
        """Zoom as far as it takes to see a node: out where it is elsewhere, in where it is too narrow."""
        tree, width = self.window.tree, max(1, self.size.width)
        path = [0, *tree.path(node)]
        while self.zoomed not in path:
            self.zooms.pop()
        if self._wide(node):
            return
        wide = (n for n in path if tree.total[node] * width >= _READABLE_CELLS * tree.total[n])
        self._zoom_to(next(wide, node))

    def _on_match(self) -> bool:
        return self.search is not None and self.cursor in self._edges and self.search.matches_node(self.cursor)

    def _same_frame(self, frame: Frame) -> int:
        """Where a frame is in this window: where callers are shown among what ran, else where it is widest."""
        tree = self.window.tree
        if self.window.shape.callers:
            for node in tree.children(0):
                if tree.frame(node) == frame and tree.total[node]:
                    return node
        return tree.heaviest(frame)

    def _keep_cursor_on_samples(self) -> None:
        """A frame whose samples have all left the window hands the cursor to its caller."""
        tree = self.window.tree
        total = tree.total
        while self.cursor > 0 and not total[self.cursor] and self.cursor != self.zoomed:
            self.cursor = tree.parent[self.cursor]
        if self.zoomed and self.zoomed not in tree.path(self.cursor):
            self.cursor = self.zoomed

    def _drawn_for(self, node: int) -> int:
        """The node itself where it is drawn; else the one above it whose remainder it is part of."""
        while node != self.zoomed and node not in self._edges:
            node = self.window.tree.parent[node]
        return node

    def _rows_below_zoomed(self, node: int) -> int:
        tree = self.window.tree
        return len(tree.path(node)) - len(tree.path(self.zoomed))

    def _heaviest_child(self, node: int) -> int:
        """Of the children that are wide enough to be drawn, or of all below one that is not; else the node itself."""
        total = self.window.tree.total
        heaviest = max(self.window.tree.children(node), key=total.__getitem__, default=node)
        return heaviest if total[heaviest] and (self._wide(heaviest) or not self._wide(node)) else node

    def _wide(self, node: int) -> bool:
        """Whether a node is drawn, if not on the part that is scrolled to."""
        total = self.window.tree.total
        return total[node] * self.size.width >= MIN_CELLS * total[self.zoomed]

    def _breadcrumb(self, width: int) -> Line:
        """The way down to the top row; where it is too long its middle is left out."""
        tree = self.window.tree
        gone = (
            "" if tree.total[self.zoomed] else f"   no samples in the last {self.window.seconds:.0f} s, Esc zooms out"
        )
        names = [title_of(frame) for frame in tree.frames_to(self.zoomed)]
        first, room, kept = 0, width - len(" all › …") - len(gone), 0
        for first in range(len(names), 0, -1):
            kept += cells(names[first - 1]) + len(" › ")
            if kept > room and first < len(names):
                break
        else:
            first = 0
        runs: list[Run] = [(" all", "dim"), *([(" › …", "faint")] if first else [])]
        for name in names[first:]:
            runs += [(" › ", "faint"), (name, "text" if name is names[-1] else "dim")]
        return Line((*runs, (gone, "warn")) if gone else tuple(runs), "title")

    def _line(self, row: list[Span], marked: int) -> Line:
        search = self.search
        cursor = self.cursor if self.has_focus else -1
        runs: list[Run] = []
        x = 0
        for left, right, node, role, hidden in row:
            if left > x:
                runs.append((" " * (left - x), "text"))
            cells = right - left
            if role == FRAME:
                style = self._style_of(node)
                if node == cursor:
                    style = "chosen"
                elif search:
                    style = ("match:" if search.matches_node(node) else "ghost:") + style
                runs.append((self._label(node, cells), style))
            elif role == REST:
                text = f"+{hidden}"
                chosen = node == marked and cursor not in (-1, marked)
                dots = text.center(cells, "·") if len(text) <= cells else "·" * cells
                runs.append((dots, "chosen" if chosen else "dim"))
            else:
                runs.append(("░" * cells, "self:" + self._style_of(node)))
            x = right
        return Line(tuple(runs))

    def _style_of(self, node: int) -> str:
        return self._style(self.window.tree.frame(node))

    def _style(self, frame: Frame) -> str:
        return self.palette.frame("process" if frame.kind in _OF_A_PROCESS else frame.kind, frame.name)

    def _label(self, node: int, cells: int) -> str:
        """A name behind its edge, which tells frames apart where there is no colour; some say what share they are."""
        tree, window = self.window.tree, self.window
        frame = tree.frame(node)
        name, aside = title_of(frame), ""
        if node == 0:
            aside = WORDS[window.kind].per_second(window, tree.total[0])
            aside = "" if aside.startswith("-") else aside
        elif frame.kind in ("process", *_OF_A_PROCESS) or node == self.zoomed:
            aside = share(tree.total[node], tree.total[0])
        if aside and cells >= len(name) + len(aside) + 4:
            return "▏" + fit(name, cells - len(aside) - 2) + aside + " "
        if cells > 3:
            return "▏" + fit(name, cells - 1)
        return "▏" + fit(name, cells)[: cells - 1] if name.isascii() else "▏".ljust(cells)
