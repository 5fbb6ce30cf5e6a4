from __future__ import annotations

import pytest

from ebtop.session.naming import until_schedule
from ebtop.store.records import Frame


def kernel(*names: str) -> tuple[Frame, ...]:
    return tuple(Frame(name, "kernel", "") for name in names)


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        (kernel("futex_wait", "schedule", "__schedule", "bpf_trace_run4", "bpf_prog_1_on_switch"), 2),
        (kernel("futex_wait", "schedule", "__schedule"), 2),
        (kernel("do_exit", "__schedule", "bpf_prog_1_on_switch"), 2),
        (kernel("futex_wait", "schedule"), 2),
        ((Frame("__schedule", "native", "prog"), *kernel("schedule", "__schedule", "[unknown]")), 2),
        ((Frame("__schedule", "native", "prog"), Frame("main", "native", "prog")), 2),
        ((), 0),
    ],
)
def test_our_own_frames_are_left_out_of_what_was_taken_off_a_cpu(taken: tuple[Frame, ...], left: int) -> None:
    assert until_schedule(taken) == taken[:left]
