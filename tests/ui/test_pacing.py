"""What is drawn when, on links of every speed: a fake terminal that answers when the test says so, and a fake clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ebtop.ui.link import Link
from ebtop.ui.pacing import Pacer, Part

LINE = 100
"""Bytes of every line."""


class FakeTerminal:
    """Counts what it is sent; `answer` is its reply to the latest question."""

    def __init__(self) -> None:
        self.link = Link()
        self.on_answer: Callable[[], None] | None = None
        self.caught_up = True
        self.typed = False
        self.questions = 0

    def ask(self) -> None:
        self.questions += 1
        self.caught_up = False

    def answer(self) -> None:
        self.caught_up = True
        assert self.on_answer is not None
        self.on_answer()


class FakeWidget:
    """Lines of text, and what of them the terminal has."""

    def __init__(self, height: int) -> None:
        self.shown = True
        self.lines = [""] * height
        self.sent = [""] * height
        self.log: list[str] = []

    def cost(self, line: int) -> int:
        return LINE

    def send(self, lines: Sequence[int]) -> None:
        for line in lines:
            self.sent[line] = self.lines[line]
            self.log.append(self.lines[line])


class Bench:
    """A pacer with widgets on a fake terminal."""

    def __init__(self, *heights: int, window: int | None = None, terminal: bool = True) -> None:
        self.terminal = FakeTerminal()
        if window is not None:
            self.terminal.link.answered(0.0, 0, 0.0)
            self.terminal.link.window = window
        self.later: list[Callable[[], None]] = []
        self.pacer = Pacer(self.terminal if terminal else None, self.later.append, clock=lambda: 1.0)
        self.widgets = [FakeWidget(height) for height in heights]
        self.second = 0

    def show(self, widget: FakeWidget, text: str, lines: Sequence[int] | None = None) -> None:
        wanted = list(range(len(widget.lines)) if lines is None else lines)
        for line in wanted:
            widget.lines[line] = text
        self.pacer.show(widget, wanted)

    def tick(self, *widgets: FakeWidget) -> None:
        """A frame of some or all widgets, in which every line shows the number of the second it is drawn in."""
        self.second += 1
        self.pacer.draw([Part(widget, partial(self._draw, widget)) for widget in widgets or self.widgets])
        self.run()

    def _draw(self, widget: FakeWidget) -> None:
        self.show(widget, str(self.second))

    def run(self) -> None:
        """What is to happen when all was sent happens."""
        while self.later:
            self.later.pop(0)()

    def answer(self) -> None:
        self.terminal.answer()
        self.run()

    @property
    def sent(self) -> int:
        return sum(len(widget.log) for widget in self.widgets)


def test_a_quick_link_gets_the_whole_frame_and_one_question() -> None:
    bench = Bench(10, 20)
    bench.tick()
    assert all(line == "1" for widget in bench.widgets for line in widget.sent)
    assert bench.terminal.questions == 1


def test_without_a_terminal_everything_is_drawn() -> None:
    bench = Bench(3, 3, terminal=False)
    bench.tick()
    bench.tick()
    assert [widget.sent for widget in bench.widgets] == [["2"] * 3] * 2


def test_a_frame_is_skipped_while_the_one_before_is_not_shown() -> None:
    bench = Bench(10)
    bench.tick()
    bench.tick()
    assert bench.widgets[0].sent == ["1"] * 10


def test_what_was_skipped_is_drawn_when_the_terminal_has_answered() -> None:
    bench = Bench(10)
    bench.tick()
    bench.tick()
    bench.answer()
    assert bench.widgets[0].sent == ["2"] * 10


def test_on_a_slow_link_no_more_than_the_window_is_on_its_way() -> None:
    bench = Bench(10, 10, window=5 * LINE)
    bench.tick()
    assert bench.sent == 5
    bench.answer()
    assert bench.sent == 10


def test_every_part_gets_its_turn_however_slow_the_link() -> None:
    bench = Bench(1, 10, 10, 10, window=3 * LINE)
    for _ in range(30):
        bench.tick()
        bench.answer()
    assert all(int(line) > 10 for widget in bench.widgets for line in widget.sent)


def test_a_line_that_waits_is_sent_as_it_is_when_its_turn_comes() -> None:
    bench = Bench(10, window=5 * LINE)
    bench.tick()
    bench.second = 7
    bench.widgets[0].lines = ["7"] * 10
    bench.answer()
    assert bench.widgets[0].sent == ["1"] * 5 + ["7"] * 5


def test_a_part_that_waits_is_drawn_as_it_is_when_its_turn_comes() -> None:
    bench = Bench(5, 5, window=5 * LINE)
    bench.tick()
    bench.second = 7
    bench.answer()
    assert [widget.sent for widget in bench.widgets] == [["1"] * 5, ["7"] * 5]


def test_what_a_key_changes_goes_before_the_frame_and_at_once() -> None:
    bench = Bench(10, 2, window=5 * LINE)
    frame, cursor = bench.widgets
    bench.tick(frame)
    assert frame.sent.count("1") == 5
    bench.show(cursor, "moved")
    assert cursor.sent == ["moved"] * 2


def test_keys_alone_do_not_flood_a_slow_link_either() -> None:
    bench = Bench(40, window=5 * LINE)
    for number in range(10):
        bench.show(bench.widgets[0], str(number))
        bench.run()
    assert bench.sent <= 10
    for _ in range(8):
        bench.answer()
    assert set(bench.widgets[0].sent) == {"9"}


def test_a_line_that_a_key_has_changed_is_not_sent_again_for_the_frame() -> None:
    bench = Bench(10, window=5 * LINE)
    bench.tick()
    bench.show(bench.widgets[0], "key", [9])
    for _ in range(5):
        bench.answer()
    assert bench.widgets[0].log.count("key") == 1


def test_on_a_quick_link_a_key_that_came_in_is_drawn_before_the_rest_of_the_frame() -> None:
    bench = Bench(1, 1)
    order: list[str] = []
    first, second = bench.widgets

    def draw_first() -> None:
        order.append("first part")
        bench.terminal.typed = True

    def act() -> None:
        order.append("key")
        bench.terminal.typed = False

    bench.later.append(act)
    bench.pacer.draw([Part(first, draw_first), Part(second, lambda: order.append("second part"))])
    bench.run()
    assert order == ["first part", "key", "second part"]


def test_a_lost_answer_is_not_waited_for_for_ever() -> None:
    bench = Bench(10, window=5 * LINE)
    bench.tick()
    bench.terminal.caught_up = True  # given up
    bench.tick()
    assert bench.sent == 10


def test_lines_of_what_is_not_shown_any_more_are_forgotten() -> None:
    bench = Bench(10, 5, window=5 * LINE)
    gone, other = bench.widgets
    bench.tick()
    gone.shown = False
    bench.answer()
    assert (len(gone.log), other.sent) == (5, ["1"] * 5)


def test_parts_of_another_screen_replace_those_that_wait() -> None:
    bench = Bench(5, 5, 5, window=5 * LINE)
    view, pane, page = bench.widgets
    bench.tick(view, pane)
    bench.tick(page)
    bench.answer()
    assert (pane.sent, page.sent) == ([""] * 5, ["2"] * 5)


def test_a_link_is_narrowed_to_what_it_brings_in_a_moment() -> None:
    link = Link()
    link.answered(took_s=4.0, sent=20_000, now_s=4.0)
    assert link.slow
    assert link.window == 1500


def test_a_long_way_is_not_a_slow_one() -> None:
    link = Link()
    link.answered(took_s=0.8, sent=20_000, now_s=1.0)
    assert link.slow
    assert link.wants_latency(1.0)
    link.answered(took_s=0.79, sent=20, now_s=2.0)
    assert not link.wants_latency(3.0)
    for _ in range(10):
        link.answered(took_s=0.8, sent=link.window, now_s=3.0)
    assert not link.slow


def test_a_slow_link_stays_narrow() -> None:
    link = Link()
    link.answered(took_s=4.0, sent=20_000, now_s=4.0)
    link.answered(took_s=0.05, sent=20, now_s=5.0)
    for second in range(20):
        link.answered(took_s=0.05 + link.window / 5000, sent=link.window, now_s=6.0 + second)
    assert 1000 <= link.window <= 2000


def test_a_link_that_gets_better_is_widened_again() -> None:
    link = Link()
    link.answered(took_s=4.0, sent=20_000, now_s=4.0)
    for _ in range(20):
        link.answered(took_s=0.01, sent=link.window, now_s=5.0)
    assert not link.slow


def test_small_frames_say_nothing_of_how_much_fits() -> None:
    link = Link()
    link.answered(took_s=4.0, sent=20_000, now_s=4.0)
    window = link.window
    for _ in range(20):
        link.answered(took_s=0.05, sent=300, now_s=5.0)
    assert link.window == window
