from __future__ import annotations

from ebtop.store.completeness import NO_FRAME, Completeness, completeness, end_of
from ebtop.store.records import Frame, StackRecord
from ebtop.store.why_cut import why_cut
from ebtop.unwind import ends
from tests.unit.record_makers import stack

FP = ends.NO_FRAME_POINTERS


def cut(*frames: Frame, why: str = FP, **more: object) -> StackRecord:
    return stack(1, frames=frames, complete=False, cut=why)._replace(**more)  # type: ignore[arg-type]


def native(name: str, module: str) -> Frame:
    return Frame(name, "native", module)


def summed(*stacks: StackRecord, kind: str = "cpu", process: tuple[str, int] | None = None) -> Completeness:
    return completeness(stacks, kind, process, lambda: False)


def test_every_reason_is_explained_in_sentences() -> None:
    for reason in ends.REASONS:
        told = why_cut(reason)
        assert not told.why.startswith("It is cut:"), reason
        assert told.mend
    assert why_cut("").why == "It is cut: nobody noted why."


def test_a_cut_stack_ends_in_the_binary_of_its_outermost_frame() -> None:
    libc, kernel = native("read", "libc.so.6"), Frame("do_syscall_64", "kernel", "")
    assert end_of(cut(libc, native("inner", "app"), kernel)) == "libc.so.6"
    assert end_of(cut(kernel)) == NO_FRAME
    assert end_of(cut(Frame("[unknown]", "unknown", ""), libc)) == "[unknown]"


def test_where_native_frames_are_missing_under_python_ones_the_binary_is_that_of_the_rest() -> None:
    frames = (Frame("main", "interpreted", "app.py"), Frame("[native frames missing]", "cut", ""), native("f", "libz"))
    assert end_of(cut(*frames)) == "libz"


def test_shares_are_of_weights_by_process_reason_and_binary() -> None:
    found = summed(
        stack(1, "main", samples=6, pid=1, comm="a"),
        cut(native("f", "libc"), samples=3, pid=1, comm="a"),
        cut(native("g", "libz"), samples=1, pid=2, comm="b"),
        cut(native("g", "libc"), why="stack not readable", samples=2, pid=2, comm="b"),
        stack(1, "main", samples=100, kind="offcpu", amount=100),
    )
    assert (found.all.weight, found.all.whole, found.all.samples) == (12, 6, 12)
    assert {who: (t.weight, t.whole, t.cut) for who, t in found.processes.items()} == {
        ("a", 1): (9, 6, 3),
        ("b", 2): (3, 0, 3),
    }
    assert {why: t.weight for why, t in found.reasons.items()} == {FP: 4, "stack not readable": 2}
    assert {end: t.weight for end, t in found.ends.items()} == {
        (FP, "libc"): 3, (FP, "libz"): 1, ("stack not readable", "libc"): 2,
    }  # fmt: skip


def test_one_process_or_all_of_a_name() -> None:
    stacks = [stack(1, "main", samples=n, pid=n, comm="a") for n in (1, 2)] + [stack(1, "main", comm="b")]
    assert summed(*stacks, process=("a", 2)).all.weight == 2
    assert summed(*stacks, process=("a", 0)).all.weight == 3


def test_frames_without_a_name_are_one_a_file_whatever_their_address() -> None:
    addresses = (Frame("[libx+0x1]", "unknown", "libx"), Frame("[libx+0x2]", "unknown", "libx"))
    found = summed(stack(1, frames=(native("main", "app"), *addresses), samples=5), stack(1, "main", samples=4))
    assert {frame: t.weight for frame, t in found.unnamed.items()} == {Frame("[libx]", "unknown", "libx"): 5}


def test_off_the_cpu_it_is_time() -> None:
    found = summed(
        stack(1, "main", kind="offcpu", amount=70, samples=0),
        cut(native("f", "libc"), kind="offcpu", amount=30),
        kind="offcpu",
    )
    assert (found.all.whole, found.all.cut) == (70, 30)


def test_it_stops_when_nobody_wants_it_any_more() -> None:
    assert completeness([stack(1, "main")] * 3, "cpu", None, lambda: True).all.weight == 0
