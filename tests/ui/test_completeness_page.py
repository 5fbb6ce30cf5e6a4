"""The page that says how whole stacks are, and what would mend it."""

from __future__ import annotations

from conftest import Start
from fakes import START_NS, FakeTimeline, empty_snapshot, stack
from pane_host import hosted
from stage import staged

from ebtop.store.records import Frame, ModuleFacts, StackRecord
from ebtop.store.rows import StackSpan
from ebtop.ui.panes.cpu import CpuPane
from ebtop.ui.screens.completeness import CompletenessScreen

FP = "code without frame pointers"
STRIPPED = ModuleFacts("libx.so", "/usr/lib/libx.so", "abcd", "dynsym")


def cut(module: str, samples: int, why: str = FP, **more: object) -> StackRecord:
    frames = (Frame("inner", "native", module), Frame("[libx.so+0x10]", "unknown", "libx.so"))
    found = stack("x", samples=samples, complete=False)._replace(frames=frames, cut=why)
    return found._replace(**more)  # type: ignore[arg-type]


STACKS = (
    stack("main", "work", samples=60, comm="good")._replace(pid=10),
    cut("libc.so.6", 30, comm="bad", pid=20),
    cut("libcrypto.so.3", 10, why="stack not readable", comm="bad", pid=21),
)


def page(process: tuple[str, int] | None = None, *stacks: StackRecord, kind: str = "cpu") -> CompletenessScreen:
    spans = [StackSpan(START_NS, stacks or STACKS, 1.0)]
    return CompletenessScreen(lambda: spans, kind, "60 s", process, lambda: (STRIPPED,))


async def test_it_says_how_much_is_whole_why_not_and_what_would_mend_it() -> None:
    async with staged(page(), (120, 60)) as ui:
        await ui.app.workers.wait_for_complete()
        await ui.settle()
        text = ui.text()
    assert "60 % whole of 100 samples, 60 s" in text
    assert "30 samples   30 %  code without frame pointers" in text
    assert "--unwind tables" in text
    assert "ends in libc.so.6" in text
    assert "Where the node swaps" in text
    lines = text.splitlines()
    (bad,) = [line for line in lines if "bad (20)" in line]
    assert bad.split()[:5] == ["30", "samples", "0", "%", "whole"]
    (good,) = [line for line in lines if "good (10)" in line]
    assert "100 % whole" in good
    assert "[libx.so]" in text
    assert "libx.so is stripped: only the functions that it exports have names" in text
    assert "libcrypto.so.3: stack not readable" in text


async def test_it_is_about_one_process_if_asked_so() -> None:
    async with staged(page(("bad", 20)), (120, 60)) as ui:
        await ui.app.workers.wait_for_complete()
        await ui.settle()
        assert "0 % whole of 30 samples of bad (20)" in ui.text()
        assert "good (10)" not in ui.text()


async def test_when_nothing_is_cut_it_says_so() -> None:
    async with staged(page(None, stack("main")), (100, 30)) as ui:
        await ui.app.workers.wait_for_complete()
        await ui.settle()
        assert "100 % whole" in ui.text()
        assert "All are whole." in ui.text()


async def test_there_may_be_no_stacks_at_all() -> None:
    async with staged(page(kind="faults"), (100, 30)) as ui:
        await ui.app.workers.wait_for_complete()
        await ui.settle()
        assert "No stack of this kind is kept" in ui.text()


async def test_enter_on_a_cut_frame_is_about_whose_it_is() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*STACKS[1:])
        await ui.press("j", "j")
        assert ui.pane.window.tree.frame(ui.pane.icicle.cursor).kind == "cut"
        opened = ui.pane.page_of()
        assert isinstance(opened, CompletenessScreen)
        assert opened._process == ("bad", 0)
        # Enter does not zoom into it: it goes on to the app.
        assert ui.pane.icicle.check_action("zoom_in", ()) is False
        await ui.press("p", "j")
        await ui.press("i")
        await ui.press("k")
        assert ui.pane.page_of() is None


async def test_keys_open_it(start: Start) -> None:
    async with start(FakeTimeline(lambda: empty_snapshot(stacks=STACKS))) as ui:
        await ui.press("1", "j", "h", "j", "enter")
        await ui.work_done()
        assert isinstance(ui.app.screen, CompletenessScreen)
        assert "WHOLE STACKS" in ui.screen()[0]
        await ui.press("escape", "percent_sign")
        await ui.work_done()
        assert isinstance(ui.app.screen, CompletenessScreen)
