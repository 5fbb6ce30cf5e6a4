from __future__ import annotations

import random

from ebtop.store.flame_paths import CUT, PROCESS, THREAD, WAKER, Shape, path_of, title_of
from ebtop.store.flame_tree import FlameTree
from ebtop.store.flame_window import FlameWindow, gather
from ebtop.store.focus_selections import OfFrame
from ebtop.store.records import Frame, StackRecord
from ebtop.store.rows import StackSpan

SECOND = 10**9
AT_50_HZ, AT_100_HZ = 20_000_000, 10_000_000


def frames(*names: str) -> tuple[Frame, ...]:
    return tuple(Frame(name, "native", "app") for name in names)


def record(*names: str, samples: int = 1, complete: bool = True, **more: object) -> StackRecord:
    stack = StackRecord(0, 1, "app", 0, None, "cpu", samples, frames(*names), complete)
    return stack._replace(**more)  # type: ignore[arg-type]


def totals(tree: FlameTree) -> dict[tuple[str, ...], tuple[int, int]]:
    """Path of titles -> (own, total) of every node with weight."""
    return {
        tuple(title_of(frame) for frame in tree.frames_to(node)): (tree.own[node], tree.total[node])
        for node in range(len(tree))
        if tree.total[node]
    }


def titles(stack: StackRecord, shape: Shape) -> list[str]:
    return [title_of(frame) for frame in path_of(stack, shape)]


def test_a_cut_stack_hangs_under_a_marker() -> None:
    assert titles(record("inner", complete=False), Shape()) == ["app", CUT.name, "inner"]
    assert titles(record("main"), Shape()) == ["app", "main"]


def test_processes_and_threads_are_told_apart_when_asked_for() -> None:
    stack = record("main", pid=7, thread="worker")
    assert titles(stack, Shape()) == ["app", "main"]
    assert titles(stack, Shape(PROCESS)) == ["app (7)", "main"]
    assert titles(stack, Shape(THREAD)) == ["app (7)", "worker", "main"]
    assert titles(stack._replace(thread=""), Shape(THREAD)) == ["app (7)", "app", "main"]


def waits(*names: str, ns: int, **more: object) -> StackRecord:
    return record(*names, **{"kind": "offcpu", "amount": ns, "state": "sleep", **more})


def test_what_waits_says_in_which_state_and_if_asked_for_who_woke_it() -> None:
    stack = waits("main", ns=5, waker="nginx", waker_pid=7)
    assert titles(stack, Shape()) == ["app", "[sleep]", "main"]
    assert titles(stack, Shape(WAKER)) == ["app (1)", "[sleep]", "woken by nginx (7)", "main"]
    assert titles(stack, Shape(WAKER, callers=True)) == ["main", "woken by nginx (7)", "[sleep]", "app (1)"]
    interrupted = stack._replace(waker="interrupt", waker_pid=0)
    assert titles(interrupted, Shape(WAKER))[2] == "woken by an interrupt"
    assert titles(stack._replace(waker="", waker_pid=0, samples=0), Shape(WAKER))[2] == "still blocked"


def test_other_kinds_weigh_what_they_amount_to() -> None:
    window = FlameWindow(10, Shape(WAKER), "offcpu")
    stacks = [
        waits("main", ns=3 * SECOND, waker="a", waker_pid=2, samples=2),
        waits("main", ns=SECOND, waker="b", waker_pid=3),
        waits("inner", ns=4 * SECOND, state="io", complete=False, samples=0),
    ]
    window.add(SECOND, stacks, 2.0)
    assert totals(window.tree)["app (1)", "[sleep]", "woken by a (2)", "main"] == (3 * SECOND, 3 * SECOND)
    assert totals(window.tree)["app (1)", "[sleep]", "woken by b (3)", "main"] == (SECOND, SECOND)
    assert (window.weight, window.whole_weight, window.samples) == (8 * SECOND, 4 * SECOND, 3)
    assert window.rate_of(window.weight) == 4 * SECOND
    copy = window.compacted()
    assert (copy.weight, copy.whole_weight, copy.kind) == (8 * SECOND, 4 * SECOND, "offcpu")
    for each in (window, copy):
        each.add(20 * SECOND, [], 1.0)
        assert (each.weight, each.whole_weight) == (0, 0)


def test_kinds_are_gathered_apart() -> None:
    spans = [
        StackSpan(SECOND, (record("main", samples=4), waits("main", ns=7)), 1.0),
        StackSpan(SECOND, (waits("main", ns=8),), 2.0, "offcpu"),
    ]
    on = gather(spans, SECOND, 60, Shape(), lambda: False)
    off = gather(spans, SECOND, 60, Shape(), lambda: False, "offcpu")
    assert (on.weight, on.sampled_s) == (4, 1.0)
    assert (off.weight, off.sampled_s) == (15, 2.0)


def test_a_process_without_a_name_is_known_by_its_pid() -> None:
    assert titles(record("main", comm="", pid=7), Shape()) == ["? (7)", "main"]


def test_code_without_symbols_is_one_frame_a_module() -> None:
    addresses = (Frame("[libz+0x10]", "unknown", "libz"), Frame("[libz+0x20]", "unknown", "libz"))
    unknown = Frame("[unknown]", "unknown", "")
    stack = record()._replace(frames=(addresses[0], unknown))
    assert titles(stack, Shape()) == ["app", "[libz]", "[unknown]"]
    window = FlameWindow(10)
    window.add(SECOND, [record()._replace(frames=(address,)) for address in addresses], 1.0)
    assert totals(window.tree)["app", "[libz]"] == (2, 2)
    passes = OfFrame("[libz]", "libz").predicate()
    assert passes(stack)
    assert not passes(record("main"))
    assert not OfFrame("[libz]", "app").predicate()(stack)


def test_callers_stand_below_what_they_call_and_the_process_last() -> None:
    stack = record("outer", "inner", complete=False, pid=7)
    assert titles(stack, Shape(PROCESS, callers=True)) == ["inner", "outer", CUT.name, "app (7)"]


def test_window_equals_a_tree_of_what_is_inside_it() -> None:
    """Against the truth: after each second the window must equal a fresh tree of the last 10 seconds."""
    rng = random.Random(1)
    for shape in (Shape(), Shape(PROCESS), Shape(THREAD, callers=True)):
        window = FlameWindow(10, shape)
        seconds: list[list[StackRecord]] = []
        for now in range(40):
            stacks = [
                record(
                    *rng.choices("abcd", k=rng.randint(1, 5)),
                    samples=rng.randint(1, 9),
                    complete=rng.random() < 0.8,
                    pid=rng.randint(1, 3),
                    thread=rng.choice(("", "worker")),
                )
                for _ in range(rng.randint(0, 6))
            ]
            seconds.append(stacks)
            window.add(now * SECOND, stacks, 1.0)
            inside = [stack for stacks in seconds[-10:] for stack in stacks]
            truth = FlameTree()
            for stack in inside:
                truth.add(path_of(stack, shape), stack.samples)
            assert totals(window.tree) == totals(truth)
            assert window.samples == sum(stack.samples for stack in inside)
            assert window.whole_samples == sum(stack.samples for stack in inside if stack.complete)
            assert window.sampled_s == min(now + 1, 10)


def test_compacting_changes_nothing_but_the_number_of_nodes() -> None:
    window = FlameWindow(2)
    for now in range(20):
        stacks = [record(f"once-{now}-{n}", period_ns=AT_50_HZ) for n in range(20)]
        window.add(now * SECOND, [*stacks, record("often", period_ns=AT_50_HZ)], 1.0)
    copy = window.compacted()
    assert len(window.tree) > 400
    assert len(copy.tree) == 1 + 1 + 41
    for now in (20, 21, 22):
        assert totals(copy.tree) == totals(window.tree)
        assert (copy.samples, copy.whole_samples, copy.sampled_s) == (
            window.samples, window.whole_samples, window.sampled_s,
        )  # fmt: skip
        assert copy.cpus_of(copy.tree.total[0]) == window.cpus_of(window.tree.total[0])
        for each in (window, copy):
            each.add(now * SECOND, [record("often", period_ns=AT_50_HZ)], 1.0)


def test_a_window_is_crowded_only_while_much_of_it_is_gone() -> None:
    window = FlameWindow(2)
    window.COMPACT_ABOVE = window._compact_at = 100
    most = 0
    for now in range(200):
        window.add(now * SECOND, [record(f"once-{now}-{n}") for n in range(20)], 1.0)
        if window.crowded:
            window = window.compacted()
            window.COMPACT_ABOVE, window._compact_at = 100, max(100, 2 * len(window.tree))
        most = max(most, len(window.tree))
    assert most < 150
    assert window.tree.total[0] == window.samples == 40


def test_samples_and_cpus_of_one_sampling_rate() -> None:
    """100 samples in 2 s, each of which stands for 20 ms, are one CPU busy all the time."""
    window = FlameWindow(60)
    window.add(SECOND, [record("hot", samples=60, period_ns=AT_50_HZ)], 1.0)
    window.add(2 * SECOND, [record("warm", samples=40, period_ns=AT_50_HZ)], 1.0)
    tree = window.tree
    hot = tree.heaviest(frames("hot")[0])
    assert window.exact
    assert window.samples_of(tree.total[hot]) == 60
    assert window.cpus_of(tree.total[hot]) == 0.6
    assert window.cpus_of(tree.total[0]) == 1.0


def test_shares_and_cpus_stay_right_when_the_rate_changes() -> None:
    """The same load before and after: twice the samples must not look like twice the time."""
    window = FlameWindow(60)
    window.add(SECOND, [record("before", samples=50, period_ns=AT_50_HZ)], 1.0)
    window.add(2 * SECOND, [record("after", samples=100, period_ns=AT_100_HZ)], 1.0)
    tree = window.tree
    before, after = (tree.total[tree.heaviest(frames(name)[0])] for name in ("before", "after"))
    assert before == after
    assert window.cpus_of(tree.total[0]) == 1.0
    assert window.samples == 150
    assert not window.exact
    window.add(61 * SECOND, [record("after", samples=100, period_ns=AT_100_HZ)], 1.0)
    assert window.exact, "what was sampled at the old rate has left the window"
    assert window.samples_of(window.tree.total[0]) == 200


def test_cpus_are_not_known_without_a_period() -> None:
    window = FlameWindow(60)
    assert window.cpus_of(0) is None
    window.add(SECOND, [record("hot", samples=60)], 1.0)
    assert window.cpus_of(60) is None
    assert window.samples_of(60) == 60


def test_gathered_is_what_was_added_second_by_second_up_to_the_moment() -> None:
    spans = [StackSpan(n * SECOND, (record(f"f{n % 3}", samples=n, period_ns=AT_50_HZ),), 1.0) for n in range(1, 30)]
    window = FlameWindow(10)
    for span in spans[:25]:
        window.add(span.time_ns, span.stacks, span.sampled_s)
    gathered = gather(spans, 25 * SECOND, 10, Shape(), lambda: False)
    assert totals(gathered.tree) == totals(window.tree)
    assert (gathered.samples, gathered.sampled_s) == (window.samples, window.sampled_s)
    assert gather(spans, 25 * SECOND, 10, Shape(), lambda: True).samples == 0, "nobody waits for it any more"
