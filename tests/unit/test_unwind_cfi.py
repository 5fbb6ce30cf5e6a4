"""CFI programs, instruction by instruction: what holds where."""

from __future__ import annotations

import pytest
from unwind_samples import CODE, START, cie, eh_frame, table, uleb

from ebtop.unwind.rule import SIGNAL, STOP, UNSUPPORTED, Cfa, FramePointer, Rule

CALLED = Rule(Cfa.REGISTER, 7, cfa_offset=8)
"""What holds at the first instruction of every function."""
PUSHED = Rule(Cfa.REGISTER, 7, FramePointer.AT_CFA, cfa_offset=16, frame_pointer_offset=-16)
FRAMED = PUSHED._replace(cfa_register=6)
PLT = b"\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22"


def rules_of(instructions: bytes, *offsets: int, first: bytes | None = None) -> list[Rule]:
    """The rules at bytes of a function of 64 KiB that has these instructions."""
    made = table(eh_frame([(CODE, 0x10000, instructions)], first))
    assert made.left_out == 0
    return [made.rule(CODE + offset) for offset in offsets]


def test_an_ordinary_function() -> None:
    instructions = (
        b"\x41\x0e\x10\x86\x02"  # push rbp
        b"\x43\x0d\x06"  # mov rbp, rsp
        b"\x4a\x0a"  # leave and ret in the middle
        b"\x0c\x07\x08\x41\x0b"  # the way before
        b"\x60\xc6\x0c\x07\x08"
    )
    offsets = (0, 1, 3, 4, 13, 14, 15, 46, 47, 60)
    assert rules_of(instructions, *offsets) == [
        *(CALLED, PUSHED, PUSHED, FRAMED, FRAMED),
        PUSHED._replace(cfa_offset=8),
        *(FRAMED, FRAMED, CALLED, CALLED),
    ]


def test_distances_of_all_sizes() -> None:
    grown = [b"\x0e" + bytes([n]) for n in (16, 24, 32, 40)]
    instructions = (
        b"\x41" + grown[0] + b"\x02\x10" + grown[1] + b"\x03\x00\x10" + grown[2] + b"\x04\x00\x20\x00\x00" + grown[3]
    )
    found = rules_of(instructions, 0, 1, 0x10, 0x11, 0x1010, 0x1011, 0x3010, 0x3011)
    assert [rule.cfa_offset for rule in found] == [8, 16, 16, 24, 24, 32, 32, 40]


def test_a_step_of_nothing_leaves_one_row() -> None:
    assert rules_of(b"\x0e\x10\x40\x0e\x18\x41\x02\x00\x0e\x20", 0, 1)[0].cfa_offset == 24


@pytest.mark.parametrize(
    ("instructions", "rule"),
    [
        pytest.param(b"\x0c\x03" + uleb(4096), Rule(Cfa.REGISTER, 3, cfa_offset=4096), id="def_cfa"),
        pytest.param(b"\x12\x06\x7e", Rule(Cfa.REGISTER, 6, cfa_offset=16), id="def_cfa_sf"),
        pytest.param(b"\x13\x7c", CALLED._replace(cfa_offset=32), id="def_cfa_offset_sf"),
        pytest.param(b"\x0e" + uleb(70000), CALLED._replace(cfa_offset=70000), id="def_cfa_offset"),
        pytest.param(b"\x2e\x10", CALLED, id="GNU_args_size"),
        pytest.param(b"\x83\x03\x8c\x04", CALLED, id="offset of another register"),
        pytest.param(
            b"\x86" + uleb(300), CALLED._replace(frame_pointer=1, frame_pointer_offset=-2400), id="offset, far"
        ),
        pytest.param(b"\x05\x06\x02", CALLED._replace(frame_pointer=1, frame_pointer_offset=-16), id="offset_extended"),
        pytest.param(
            b"\x11\x06\x7d", CALLED._replace(frame_pointer=1, frame_pointer_offset=24), id="offset_extended_sf"
        ),
        pytest.param(b"\x2f\x06\x02", CALLED._replace(frame_pointer=1, frame_pointer_offset=16), id="negative_offset"),
        pytest.param(b"\x86\x02\x06\x06", CALLED, id="restore_extended"),
        pytest.param(b"\x86\x02\xc6", CALLED, id="restore"),
        pytest.param(b"\x86\x02\x08\x06", CALLED, id="same_value"),
        pytest.param(b"\x07\x06", CALLED._replace(frame_pointer=FramePointer.LOST), id="undefined frame pointer"),
        pytest.param(b"\x09\x06\x0c", CALLED._replace(frame_pointer=FramePointer.LOST), id="frame pointer in r12"),
        pytest.param(b"\x14\x06\x02", CALLED._replace(frame_pointer=FramePointer.LOST), id="val_offset"),
        pytest.param(b"\x15\x06\x02", CALLED._replace(frame_pointer=FramePointer.LOST), id="val_offset_sf"),
        pytest.param(b"\x16\x06\x02\x77\x08", CALLED._replace(frame_pointer=FramePointer.LOST), id="val_expression"),
        pytest.param(b"\x07\x10", STOP, id="return address undefined"),
        pytest.param(b"\x09\x10\x05", CALLED._replace(return_address=6), id="return address in rdi"),
        pytest.param(b"\x0e\x00\x09\x10\x10", UNSUPPORTED, id="return address in rip"),
        pytest.param(b"\x90\x02", UNSUPPORTED, id="return address elsewhere"),
        pytest.param(b"\x10\x10\x02\x77\x08", UNSUPPORTED, id="return address by expression"),
        pytest.param(b"\x0d\x11", UNSUPPORTED, id="CFA from a vector register"),
        pytest.param(b"\x0f\x02\x76\x10", Rule(Cfa.REGISTER, 6, cfa_offset=16), id="breg"),
        pytest.param(b"\x0f\x03\x76\x78\x06", Rule(Cfa.DEREF, 6, cfa_offset=-8), id="DRAP"),
        pytest.param(
            b"\x0f\x06\x77\xc0\x00\x06\x23\x08", Rule(Cfa.DEREF, 7, cfa_offset=64, cfa_offset2=8), id="OpenSSL"
        ),
        pytest.param(b"\x0f\x05\x77\x08\x06\x38\x22", Rule(Cfa.DEREF, 7, cfa_offset=8, cfa_offset2=8), id="lit8, plus"),
        pytest.param(b"\x0f\x0b" + PLT, Rule(Cfa.PLT, 7, cfa_offset=11), id="lazy PLT"),
        pytest.param(b"\x0f\x0b" + PLT[:-1] + b"\x1c", UNSUPPORTED, id="nearly a PLT"),
        pytest.param(b"\x0f\x01\x9c", UNSUPPORTED, id="another expression"),
        pytest.param(b"\x0f\x00", UNSUPPORTED, id="empty expression"),
        pytest.param(
            b"\x10\x06\x02\x76\x78", CALLED._replace(frame_pointer=2, frame_pointer_offset=-8), id="rbp at rbp-8"
        ),
        pytest.param(
            b"\x10\x06\x02\x77\x10", CALLED._replace(frame_pointer=3, frame_pointer_offset=16), id="rbp at rsp+16"
        ),
        pytest.param(b"\x10\x06\x02\x73\x10", CALLED._replace(frame_pointer=FramePointer.LOST), id="rbp at rbx+16"),
    ],
)
def test_instructions(instructions: bytes, rule: Rule) -> None:
    assert rules_of(instructions, 0) == [rule]


def test_restore_means_what_the_cie_says() -> None:
    first = cie(START + b"\x86\x05")
    assert rules_of(b"\x86\x02\x41\xc6", 0, 1, first=first) == [
        CALLED._replace(frame_pointer=1, frame_pointer_offset=-16),
        CALLED._replace(frame_pointer=1, frame_pointer_offset=-40),
    ]


def test_signal_frames() -> None:
    assert rules_of(b"\x0f\x03\x77\xa0\x01", 0, first=cie(augmentation=b"zRS")) == [SIGNAL]


@pytest.mark.parametrize(
    "instructions",
    [
        pytest.param(b"\x0b", id="restore_state without a state"),
        pytest.param(b"\x0a" * 1000, id="a thousand states"),
        pytest.param(b"\x3d\x00\x00\x00\x00\x00\x00", id="unknown instruction"),
        pytest.param(b"\x01\x00\x00\x00\x00", id="set_loc"),
        pytest.param(b"\x0e" + b"\xff" * 18, id="number too long"),
        pytest.param(b"\x0f\x7f\x77\x08", id="expression longer than the program"),
        pytest.param(b"\x0f\x05\x77\xc0\x00\x06\x23", id="expression without its operand"),
        pytest.param(b"\x00\x0e\x87", id="number cut short"),  # 3 bytes fill the entry, without padding
    ],
)
def test_damaged_programs_are_left_out(instructions: bytes) -> None:
    made = table(eh_frame([(CODE, 16, instructions), (CODE + 16, 16, b"\x0e\x10")]))
    assert made.left_out == 1
    assert made.rule(CODE).cfa == Cfa.GAP
    assert made.rule(CODE + 16).cfa_offset == 16
