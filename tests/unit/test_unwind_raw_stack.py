"""Walking a copy of a stack: the same frames as the C library's unwinder, and a reason where it ends."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebtop.unwind.ends import End
from ebtop.unwind.raw_stack import STACK_DEPTH, FindRule, StackCopy, Walked, walk
from ebtop.unwind.rule import GAP, SIGNAL, STOP, UNSUPPORTED, Cfa, FramePointer, Rule
from tests.lab.build import NO_FRAME_POINTERS, binary
from tests.lab.dump_stack import dump

SP, FP = 7, 6
TOP = 0x7000_0000
CALLED = Rule(Cfa.REGISTER, SP, cfa_offset=8)


@pytest.mark.parametrize("flags", [NO_FRAME_POINTERS, ("-O0",), ("-O3", "-fomit-frame-pointer", "-mavx2")])
def test_same_frames_as_the_c_librarys_unwinder(flags: tuple[str, ...]) -> None:
    seen = dump(binary("dump_stack", "dump-stack", flags))
    walked = walk(seen.registers, seen.ip, False, seen.stack, seen.find_rule)
    assert walked.end == End.WHOLE
    # Both begin in write_stack, at other instructions; the frame that the signal interrupted has the next byte here.
    interrupted = [n for n, rule in enumerate(map(seen.find_rule, seen.addresses)) if rule == SIGNAL]
    assert len(interrupted) == 1
    seen.addresses[interrupted[0] + 1] += 1
    assert walked.addresses[1:] == seen.addresses[1:]
    assert len(walked.addresses) > 25


def test_every_shorter_copy_says_so() -> None:
    seen = dump(binary("dump_stack", "dump-stack", NO_FRAME_POINTERS))
    whole = walk(seen.registers, seen.ip, False, seen.stack, seen.find_rule).addresses
    used = len(seen.stack.data)
    for size in range(0, used, 509):
        cut = walk(seen.registers, seen.ip, False, seen.stack._replace(data=seen.stack.data[:size]), seen.find_rule)
        assert cut.addresses == whole[: len(cut.addresses)]
        assert cut.end in (End.READ_FAULT, End.WHOLE)
        assert (cut.end == End.WHOLE) == (len(cut.addresses) == len(whole))


def walked(
    words: Sequence[int],
    rules: Callable[[int], Rule | End],
    *,
    fp: int = 0,
    after: bool = False,
    registers: dict[int, int] | None = None,
) -> Walked:
    """A walk from pc 0x1000 and a stack of these words at TOP."""
    first = [0] * 16
    first[SP], first[FP] = TOP, fp
    for number, value in (registers or {}).items():
        first[number] = value
    return walk(first, 0x1000, after, StackCopy(TOP, struct.pack(f"={len(words)}Q", *words)), rules)


def by_pc(rules: dict[int, Rule | End]) -> FindRule:
    return lambda pc: rules.get(pc, GAP)


def test_a_call_is_looked_up_at_its_last_byte() -> None:
    assert walked([0x2000], by_pc({0x1000: CALLED, 0x1FFF: STOP})) == ([0x1000, 0x2000], End.WHOLE)
    assert walked([0x2000], by_pc({0xFFF: CALLED, 0x1FFF: STOP}), after=True) == ([0x1000, 0x2000], End.WHOLE)


def test_plt() -> None:
    rule = Rule(Cfa.PLT, SP, cfa_offset=11)
    pushed = lambda pc: rule if pc & 0xF000 == 0x1000 else STOP  # noqa: E731
    for low, words in ((0, [0x2000, 0]), (10, [0x2000, 0]), (11, [0, 0x2000]), (15, [0, 0x2000])):
        first = [0] * 16
        first[SP] = TOP
        found = walk(first, 0x1000 + low, False, StackCopy(TOP, struct.pack("=2Q", *words)), pushed)
        assert found.addresses[1:] == [0x2000]


def test_dereferenced_cfa() -> None:
    rule = Rule(Cfa.DEREF, FP, FramePointer.AT_FRAME_POINTER, cfa_offset=-8, cfa_offset2=16, frame_pointer_offset=0)
    words = [0, TOP + 24, 0x77, 0, 0x2000]
    found = walked(words, by_pc({0x1000: rule, 0x1FFF: Rule(Cfa.REGISTER, FP)}), fp=TOP + 16)
    assert found == ([0x1000, 0x2000], End.BAD_FRAME)  # rbp is 0x77 now, below the stack


def test_frame_pointer_from_the_stack_pointer_and_lost() -> None:
    at_sp = Rule(Cfa.REGISTER, SP, FramePointer.AT_STACK_POINTER, cfa_offset=16, frame_pointer_offset=0)
    assert walked([0, 0x2000], by_pc({0x1000: at_sp})) == ([0x1000, 0x2000], End.BASE)
    lost = Rule(Cfa.REGISTER, SP, FramePointer.LOST, cfa_offset=16)
    assert walked([0, 0x2000], by_pc({0x1000: lost}), fp=TOP + 8) == ([0x1000, 0x2000], End.BASE)


def test_return_address_in_a_register_holds_only_for_the_leaf() -> None:
    in_rdi = Rule(Cfa.REGISTER, SP, return_address=1 + 5)
    assert walked([0], by_pc({0x1000: in_rdi, 0x2FFF: STOP}), registers={5: 0x3000}).end == End.WHOLE
    assert walked([0x2000], by_pc({0x1000: CALLED, 0x1FFF: in_rdi})).end == End.BAD_FRAME
    grown = in_rdi._replace(cfa_offset=8)
    assert walked([0x2000, 0], by_pc({0x1000: CALLED, 0x1FFF: grown})).end == End.UNSUPPORTED


def test_another_register_as_base_is_believed_nearby() -> None:
    by_rbx = Rule(Cfa.REGISTER, 3, cfa_offset=16)
    rules = by_pc({0x1000: CALLED, 0x1FFF: by_rbx, 0x2FFF: STOP})
    assert walked([0x2000, 0, 0x3000], rules, registers={3: TOP + 8}) == ([0x1000, 0x2000, 0x3000], End.WHOLE)
    assert walked([0x2000, 0, 0x3000], rules, registers={3: TOP + (1 << 20)}).end == End.UNSUPPORTED
    assert walked([0x2000, 0, 0x3000], rules, registers={3: 0}).end == End.UNSUPPORTED


def test_signal_frames_bring_all_registers_back() -> None:
    words = [0] * 5 + [100 + n for n in range(15)] + [TOP + 8 * 30, 0x5000] + [0] * 8 + [0x6000]
    rules = by_pc({0x1000: SIGNAL, 0x5000: Rule(Cfa.REGISTER, SP, return_address=1 + 8), 0x63: STOP})
    assert walked(words, rules) == ([0x1000, 0x5001, 100], End.WHOLE)
    assert walked([*words[:21], 0], by_pc({0x1000: SIGNAL})).end == End.BAD_FRAME
    assert walked(words[:20], by_pc({0x1000: SIGNAL})).end == End.READ_FAULT


@pytest.mark.parametrize(
    ("rule", "end"),
    [
        (UNSUPPORTED, End.UNSUPPORTED),
        (End.NO_MAPPING, End.NO_MAPPING),
        (End.NO_TABLE, End.NO_TABLE),
        (Rule(Cfa.REGISTER, SP, cfa_offset=-8), End.BAD_FRAME),
        (Rule(Cfa.REGISTER, SP, cfa_offset=800), End.READ_FAULT),
        (Rule(Cfa.DEREF, SP, cfa_offset=800), End.READ_FAULT),
        (Rule(Cfa.REGISTER, SP, FramePointer.AT_CFA, cfa_offset=8, frame_pointer_offset=64), End.READ_FAULT),
        (Rule(99), End.UNSUPPORTED),
    ],
)
def test_why_it_ends_at_the_leaf(rule: Rule | End, end: End) -> None:
    assert walked([0x2000], by_pc({0x1000: rule})) == ([0x1000], end)


@pytest.mark.parametrize(
    ("fp", "words", "end"),
    [
        (0, [], End.BASE),
        (TOP + 1, [0, 0, 0], End.NO_INFORMATION),
        (TOP - 8, [0, 0, 0], End.NO_INFORMATION),
        (TOP, [0], End.NO_INFORMATION),
        (TOP, [0, 0], End.BASE),
        (TOP, [0, 17], End.NO_INFORMATION),
    ],
)
def test_why_frame_pointers_end(fp: int, words: list[int], end: End) -> None:
    assert walked(words, lambda _: GAP, fp=fp) == ([0x1000], end)


def test_frame_pointers() -> None:
    assert walked([TOP + 16, 0x2000, 0, 0x3000], lambda _: GAP, fp=TOP) == ([0x1000, 0x2000, 0x3000], End.BASE)


def test_too_deep() -> None:
    found = walked([0x2000] * 500, lambda _: CALLED)
    assert (len(found.addresses), found.end) == (STACK_DEPTH, End.TOO_DEEP)


rules = st.builds(
    Rule, *[st.integers(0, 255)] * 4, *[st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-64, 64)] * 3
)  # fmt: skip


@given(
    registers=st.lists(st.integers(0, (1 << 64) - 1) | st.integers(TOP, TOP + 64), min_size=16, max_size=16),
    data=st.binary(max_size=400),
    chosen=st.lists(rules | st.sampled_from(list(End)), min_size=1, max_size=8),
)
def test_nothing_that_is_there_raises(registers: list[int], data: bytes, chosen: list[Rule | End]) -> None:
    found = walk(registers, 0x1000, False, StackCopy(TOP, data), lambda pc: chosen[pc % len(chosen)])
    assert 1 <= len(found.addresses) <= STACK_DEPTH
