"""b marks a baseline, D shows what is different from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Start
from driving import Driving
from fakes import START_NS, FakeTimeline, empty_snapshot, stack

from ebtop.store.flame_diff import FlameDiff
from ebtop.store.flame_paths import Shape, path_of
from ebtop.store.flame_tree import FlameTree
from ebtop.store.records import StackRecord
from ebtop.store.rows import CommandRow, PeerRow, RetransmitPeerRow, Snapshot
from ebtop.ui import themes
from ebtop.ui.baseline import DiffWindow
from ebtop.ui.diff_icicle import DiffIcicle, style_of
from ebtop.ui.palette import Palette
from ebtop.ui.screens.difference import DifferenceScreen
from tests.unit.file_makers import record

SECOND = 10**9


def command(comm: str, execs: int, running: int = 0, at_s: int = 0) -> CommandRow:
    time_ns = START_NS + at_s * SECOND
    return CommandRow(comm, running, execs, 0.0, 0, 0, 0, 0, None, None, time_ns, comm, None, (0,))


def peer(addr: str, opened: int, open_now: int, at_s: int = 0) -> PeerRow:
    time_ns = START_NS + at_s * SECOND
    return PeerRow(addr, 443, "out", open_now, opened, 0.0, 0, 0, 0, 0, 0, 0, time_ns, ("curl",))


def sent_again(addr: str, segments: int) -> RetransmitPeerRow:
    return RetransmitPeerRow(addr, 443, segments, 0.0, (("rto", segments),), 1, START_NS, ("curl",))


def shown(at_s: int, *stacks: StackRecord, **tables: object) -> Snapshot:
    time_ns = START_NS + at_s * SECOND
    moved = tuple(each._replace(time_ns=time_ns) for each in stacks)
    return empty_snapshot(time_ns=time_ns, since_ns=START_NS - 60 * SECOND, stacks=moved, sampled_s=1.0, **tables)


BEFORE = shown(
    0,
    stack("main", "work", samples=80),
    stack("main", "idle", samples=20),
    commands=(command("ls", 10), command("cron", 3)),
    peers=(peer("10.0.0.1", 5, 1), peer("10.0.0.2", 1, 1)),
    retransmit_peers=(sent_again("10.0.0.1", 2),),
)
AFTER = shown(
    60,
    stack("main", "work", samples=100),
    stack("main", "spin", samples=300),
    commands=(command("ls", 20, at_s=50), command("cron", 3), command("backup", 7, at_s=55)),
    peers=(peer("10.0.0.1", 9, 2, 50), peer("10.0.0.2", 1, 0), peer("10.9.9.9", 4, 4, 55)),
    retransmit_peers=(sent_again("10.0.0.1", 42),),
)


async def compared(ui: Driving, store: FakeTimeline) -> DifferenceScreen:
    """A baseline, a minute, and the page."""
    store.next_snapshot = BEFORE
    await ui.tick()
    await ui.press("b")
    await ui.work_done()
    store.next_snapshot = AFTER
    await ui.tick()
    await ui.press("D")
    await ui.work_done()
    page = ui.app.screen
    assert isinstance(page, DifferenceScreen)
    return page


async def test_the_icicle_says_what_takes_more_and_less(start: Start) -> None:
    store = FakeTimeline()
    async with start(store) as ui:
        page = await compared(ui, store)
        screen = "\n".join(ui.screen())
        assert "▏* spin" in screen
        assert "+75.0" in screen
        assert "▏- work" in screen
        assert "-55.0" in screen
        assert "x idle" in screen
        assert "▏= main" in screen
        assert "+ more  - less  ~ chance  * new  x gone" in screen
        assert page.shown is not None
        assert (page.shown.before.samples, page.shown.after.samples) == (100, 400)


async def test_the_lists_say_who_is_new_and_who_is_gone(start: Start) -> None:
    store = FakeTimeline()
    async with start(store) as ui:
        page = await compared(ui, store)
        lines = [" ".join(line.split()) for line in page.text_view.text().splitlines()]
        assert lines[:8] == [
            "new commands: 1", "* backup", "gone commands: 1", "x cron", "new peers: 1", "* to 10.9.9.9:443",
            "gone peers: 1", "x to 10.0.0.2:443",
        ]  # fmt: skip
        assert "+ 2.0 → 40 10.0.0.1:443 curl" in lines
        assert "= 10 → 10 ls" not in lines


async def test_the_frame_under_the_cursor_is_told_in_full(start: Start) -> None:
    store = FakeTimeline()
    async with start(store) as ui:
        page = await compared(ui, store)
        await ui.press("down", "down", "down")
        text = ui.text(page.change_line)
        assert "80.0 % of the time before, 25.0 % after: -55.0 points, less" in text
        assert "work   native in app" in text


async def test_enter_zooms_and_escape_comes_back_step_by_step(start: Start) -> None:
    store = FakeTimeline()
    async with start(store) as ui:
        page = await compared(ui, store)
        await ui.press("down", "down", "enter")
        assert page.icicle.zoomed
        await ui.press("escape")
        assert not page.icicle.zoomed
        assert ui.app.screen is page
        await ui.press("escape")
        assert ui.app.screen is ui.app.live


async def test_without_a_baseline_the_key_says_what_to_press(start: Start) -> None:
    async with start() as ui:
        await ui.tick()
        await ui.press("D")
        assert ui.app.screen is ui.app.live
        assert "there is no baseline; b marks this moment, B takes one that was saved" in ui.screen()[-1]


async def test_a_saved_baseline_is_chosen_by_name(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    store = FakeTimeline()
    async with start(store) as ui:
        store.next_snapshot = AFTER
        await ui.tick()
        await ui.press("B")
        await ui.work_done()
        assert "no baseline is kept" in ui.screen()[-1]
        folder = tmp_path / "ebtop" / "baselines"
        folder.mkdir(parents=True)
        record(folder / "calm.ebtop", 60)
        (folder / "broken.ebtop").write_bytes(b"nothing of the sort")
        await ui.press("B")
        await ui.work_done()
        assert "broken" in "\n".join(ui.screen())
        await ui.press("enter")
        await ui.work_done()
        assert "broken.ebtop" in ui.screen()[-1], "it says why that one can't be read"
        await ui.press("B")
        await ui.work_done()
        await ui.press("down", "enter")
        await ui.work_done()
        assert "calm of 20" in ui.screen()[-1]
        await ui.press("D")
        await ui.work_done()
        page = ui.app.screen
        assert isinstance(page, DifferenceScreen)
        assert page.shown is not None
        assert not page.shown.reversed
        assert page.shown.before.samples > 0
        assert "calm of 20" in ui.screen()[0]
        assert "* backup" in page.text_view.text()


async def test_it_is_compared_again_while_time_goes_on(start: Start) -> None:
    store = FakeTimeline()
    async with start(store) as ui:
        page = await compared(ui, store)
        store.next_snapshot = shown(63, stack("main", "other", samples=4000))
        await ui.tick()
        await ui.work_done()
        assert page.shown is not None
        assert page.shown.after.samples == 4400
        assert "* other" in "\n".join(ui.screen())


async def test_a_moment_before_the_baseline_is_the_earlier_side(start: Start) -> None:
    store = FakeTimeline()
    async with start(store) as ui:
        store.next_snapshot = AFTER
        await ui.tick()
        await ui.press("b")
        await ui.work_done()
        store.past = lambda time_ns: BEFORE._replace(stacks=(), sampled_s=0.0)
        store.given = [span for span in store.given if span.time_ns > BEFORE.time_ns]
        ui.app.go_to(BEFORE.time_ns)
        await ui.work_done()
        await ui.press("D")
        await ui.work_done()
        page = ui.app.screen
        assert isinstance(page, DifferenceScreen)
        assert page.shown is not None
        assert page.shown.reversed
        assert page.shown.before.snapshot.time_ns == BEFORE.time_ns
        assert "(moment shown) against" in ui.screen()[0]


def test_every_theme_tells_more_from_less_and_has_a_sign_without_colours() -> None:
    for name, _ in themes.available():
        palette = Palette(themes.load(name))
        more, less, same = (palette.style(style, "base") for style in ("diff:more!", "diff:less!", "diff:same"))
        if palette.mono:
            assert more == less
        else:
            assert len({more, less, same}) == 3
        for role in ("match:", "ghost:", "self:"):
            palette.style(f"{role}diff:more!", "base")


def test_a_strong_change_is_drawn_in_full_and_what_may_be_chance_is_not() -> None:
    def style(before: int, after: int, samples: tuple[int, int]) -> str:
        trees = []
        for part in (before, after):
            tree = FlameTree()
            tree.add(path_of(stack("a"), Shape()), part)
            tree.add(path_of(stack("b"), Shape()), 1000 - part)
            trees.append(tree)
        diff = FlameDiff(*trees, samples)
        return style_of(diff, next(node for node in range(len(diff.tree)) if diff.tree.frame(node).name == "a"))

    assert style(100, 400, (0, 0)) == "diff:more!"
    assert style(400, 100, (0, 0)) == "diff:less!"
    assert style(100, 105, (0, 0)) == "diff:more"
    assert style(100, 100, (0, 0)) == "diff:same"
    assert style(100, 400, (20, 1000)) == "diff:more!"
    assert style(100, 130, (100, 100)) == "diff:same"


def test_a_narrow_frame_keeps_its_sign() -> None:
    trees = []
    for samples in (10, 90):
        tree = FlameTree()
        tree.add(path_of(stack("main", "grown", samples=samples), Shape()), samples)
        tree.add(path_of(stack("main", "rest", samples=100), Shape()), 100)
        trees.append(tree)
    icicle = DiffIcicle()
    icicle.window = DiffWindow(FlameDiff(*trees))
    tree = icicle.window.tree
    grown = next(node for node in range(len(tree)) if tree.frame(node).name == "grown")
    assert icicle._label(grown, 2) == "▏+"
    assert icicle._label(grown, 3) == "▏+ "
    assert icicle._label(grown, 8).startswith("▏+ gr")
