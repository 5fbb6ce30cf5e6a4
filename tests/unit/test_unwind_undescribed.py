"""Functions that nothing describes: rules from their instructions, checked where the truth is known."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from symbols_samples import nm

from ebtop.process.elf import PF_X, BytesReader, ElfFile, FileReader
from ebtop.process.mappings import read_mappings
from ebtop.unwind.eh_frame import read_functions
from ebtop.unwind.ends import End
from ebtop.unwind.machine import X86_64
from ebtop.unwind.raw_stack import walk
from ebtop.unwind.rule import GAP, SIGNAL, STOP, Cfa, FramePointer, Rule, RuleSet
from ebtop.unwind.table import UnwindTable, build
from ebtop.unwind.undescribed import undescribed_functions
from ebtop.unwind.x86_frames import INSTRUCTIONS_MAX, frame_rules
from ebtop.unwind.x86_instructions import LONGEST, UnknownInstruction, decode
from tests.lab.build import NO_FRAME_POINTERS, binary
from tests.lab.dump_stack import dump

CALLED = Rule(Cfa.REGISTER, 7, cfa_offset=8)
ANY = st.integers(0, (1 << 64) - 1)
Assemble = Callable[[str], bytes]


def at_sp(offset: int, saved: int = 0) -> Rule:
    kind = FramePointer.AT_CFA if saved else FramePointer.UNCHANGED
    return Rule(Cfa.REGISTER, 7, kind, cfa_offset=offset, frame_pointer_offset=saved)


def by(register: int, offset: int, saved: int = 0) -> Rule:
    return at_sp(offset, saved)._replace(cfa_register=register)


def opened(path: Path) -> ElfFile:
    """A file for tests, which leave its descriptor to the end of the process."""
    return ElfFile(FileReader(os.open(path, os.O_RDONLY)))


def libc() -> Path:
    return next(Path(os.fsdecode(m.file.path)) for m in read_mappings(os.getpid()) if "libc.so" in m.file.label)


@pytest.fixture(scope="module")
def assemble(tmp_path_factory: pytest.TempPathFactory) -> Assemble:
    directory = tmp_path_factory.mktemp("assembled")

    def run(text: str) -> bytes:
        (directory / "a.s").write_text(text.replace(";", "\n") + "\n")
        subprocess.run(["as", "-o", directory / "a.o", directory / "a.s"], check=True)
        elf = opened(directory / "a.o")
        section = elf.section(b".text")
        assert section is not None
        return elf.data(section, 1 << 16)

    return run


def test_lengths_are_objdumps() -> None:
    path = libc()
    text = opened(path).section(b".text")
    assert text is not None
    code = opened(path).data(text, 1 << 24)[:120_000]
    stop = text.address + len(code)
    arguments = ["objdump", "-d", "-w", "-j", ".text", f"--stop-address={stop}", path]
    output = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    checked = 0
    for line in output.splitlines():
        address, tab, rest = line.partition(":\t")
        raw, _, name = rest.partition("\t")
        if tab and "(bad)" not in name and not name.startswith("fst"):  # fstcw and the like are two instructions
            at = int(address, 16) - text.address
            if at > len(code) - LONGEST:
                break
            assert decode(code, at).length == len(raw.split()), line
            checked += 1
    assert checked > 20_000


@pytest.mark.parametrize(
    "text",
    [
        "vaddps %zmm1, %zmm2, %zmm3{%k1}", "vpermq $3, %zmm1, %zmm2", "vfmadd231ps 64(%rax,%rcx,8), %ymm1, %ymm2",
        "vzeroupper", "movabs $0x1122334455667788, %rax", "mov $0x1234, %ax", "movabs 0x1122334455667788, %eax",
        "test $1, %al", "testl $1, (%rax)", "testw $1, (%rax)", "not %rax", "lock cmpxchg16b (%rdi)", "enter $8, $1",
        "mov %fs:0x28, %rax", "lea 0x10(,%rax,8), %rbx", "lea 0(%rip), %rax", "mov 8(%r12), %rax", "mov 8(%r13), %rax",
        "pclmulqdq $1, %xmm1, %xmm2", "sha256rnds2 %xmm1, %xmm2", "palignr $4, %xmm1, %xmm2", "pshufd $1, %xmm0, %xmm1",
        "vpshufd $1, %xmm0, %xmm1", "crc32q (%rax), %rbx", "popw (%rax)", "bt $3, %rax", "shld $3, %rax, %rbx",
        "jmp .+0x1000", "jne .+2", "jne .+0x1000", "ret $16", "in $3, %al", "mov (%eax), %ebx", "lea (%rax), %bx",
        "xabort $3", "vaddph %zmm1, %zmm2, %zmm3", "kmovq %k1, %rax", "prefetcht0 (%rax)", "endbr64", "ud2", "cpuid",
    ],
)  # fmt: skip
def test_lengths_of_the_unusual(assemble: Assemble, text: str) -> None:
    code = assemble(text)
    assert decode(code + b"\xcc" * 16, 0).length == len(code)


@given(code=st.binary(max_size=60))
def test_bytes_that_are_no_code(code: bytes) -> None:
    at = 0
    while at < len(code):
        try:
            length = decode(code, at).length
        except UnknownInstruction:
            break
        assert 1 <= length <= LONGEST
        at += length
    assert at <= len(code)


def test_same_rules_as_compilers_give() -> None:
    """Functions that have CFI, read as if they had none: what is found must be what the compiler said."""
    elf = opened(libc())
    truth = build(elf)
    functions = read_functions(elf, X86_64, RuleSet())
    spans = sorted(zip(functions.starts, functions.ends, strict=True))[::4]
    (segment,) = [s for s in elf.segments if s.flags & PF_X]
    told = same = differ = 0
    for start, end in spans:
        if truth.rule(start) != CALLED:
            continue  # part of a function that lies elsewhere
        code = elf.reader.read_at(segment.offset + start - segment.address, end - start)
        rules = frame_rules(code)
        told += bool(rules)
        same_here, differ_here = compare(code, rules, truth, start)
        same += same_here
        differ += differ_here
    assert told > 0.97 * len(spans) - 30
    assert same > 20_000
    assert differ < 0.005 * same


def compare(code: bytes, rules: list[tuple[int, Rule]], truth: UnwindTable, start: int) -> tuple[int, int]:
    """Instructions for which both say the same of the stack, and those for which they don't."""
    same = differ = at = 0
    changes = dict(rules)
    rule = None
    while rules and at < len(code):
        rule = changes.get(at, rule)
        try:
            instruction = decode(code, at)
        except UnknownInstruction:
            break
        right = truth.rule(start + at)
        at += instruction.length
        padding = instruction[1:3] in ((1, 0x1F), (0, 0x90))
        if rule is None or padding or right.cfa != Cfa.REGISTER or right.cfa_register != rule.cfa_register:
            continue  # from the stack pointer or from the frame pointer: both can be right
        if right.cfa_offset == rule.cfa_offset:
            same += 1
        else:
            differ += 1
    return same, differ


@pytest.mark.parametrize(
    ("text", "last"),
    [
        pytest.param("nop", CALLED, id="leaf"),
        pytest.param("push %rbx; push %rbp; push %r12; nop", at_sp(32, -24), id="pushes"),
        pytest.param("pushq $1; pushfq; popfq; nop", at_sp(16), id="other pushes"),
        pytest.param("pushq (%rax); nop", at_sp(16), id="push memory"),
        pytest.param("sub $0x1000, %rsp; add $8, %rsp; nop", at_sp(0x1000), id="room"),
        pytest.param("add $-128, %rsp; nop", at_sp(136), id="room by adding"),
        pytest.param("lea -0x48(%rsp), %rsp; nop", at_sp(0x50), id="room by address"),
        pytest.param("sub $0x40, %rsp; mov %rbp, 0x10(%rsp); nop", at_sp(0x48, -0x38), id="moved"),
        pytest.param("sub $0x40, %rsp; mov %rbp, (%rsp); nop", at_sp(0x48, -0x48), id="moved to top"),
        pytest.param("sub $0x400, %rsp; mov %rbp, 0x200(%rsp); nop", at_sp(0x408, -0x208), id="moved far"),
        pytest.param("push %rbp; mov %rsp, %rbp; sub $32, %rsp; nop", by(6, 16, -16), id="framed"),
        pytest.param(
            "nop; push %rbp; mov %rsp, %rbp; pushq $2; jmp 2f; 1: pushq (%rax); 2: dec %rcx; jge 1b; push %r9; call 1b",
            by(6, 16, -16), id="framed later, pushes in a loop"),
        pytest.param("nop; push %rbp; mov %rsp, %rbp; push %rdi; mov %rax, %rbp; nop", at_sp(24, -16), id="frame lost"),
        pytest.param("mov %rsp, %r11; and $-64, %rsp; nop", by(11, 8), id="by r11"),
        pytest.param("push %rbx; mov %rsp, %rbx; and $-64, %rsp; cmp $5, %rbx; nop", by(3, 16), id="by rbx"),
        pytest.param("mov %rsp, %rax; push %rbx; mov %rax, %rsp; nop", CALLED, id="back by a copy"),
        pytest.param("mov %rsp, %rbx; sub %rcx, %rsp; nop", by(3, 8), id="room of any size"),
        pytest.param("mov %rsp, %rbx; lea (%rsp,%rcx), %rsp; nop", by(3, 8), id="address of any size"),
        pytest.param("test %rdi, %rdi; je 1f; push %rbx; pop %rbx; 1: nop", CALLED, id="early way out"),
        pytest.param("push %rbx; jmp 2f; 1: pop %rbx; ret; 2: jmp 1b; ud2; nop", at_sp(16), id="behind a jump"),
        pytest.param("and $0x0f, %ah; mov %ah, %ch; nop", CALLED, id="ah is not rsp"),
    ],
)  # fmt: skip
def test_what_the_stack_looks_like_at_the_end(assemble: Assemble, text: str, last: Rule) -> None:
    assert frame_rules(assemble(text))[-1][1] == last


@pytest.mark.parametrize(
    "text",
    ["push %rbx; ret", "pop %rax; pop %rax; ret", "mov %rax, %rsp; nop", "and $-64, %rsp; nop", "leave; ret",
     "xchg %rax, %rsp; nop", "xchg %rbx, %rsp; nop",
     "mov %rsp, %r11; and $-64, %rsp; mov $5, %r11; add %rax, %r11; nop", "mov (%rsi), %rsp; nop",
     "sub $8, %rsp; ret $8"],
)  # fmt: skip
def test_no_rule_is_better_than_a_wrong_one(assemble: Assemble, text: str) -> None:
    assert frame_rules(assemble(text)) == []


def test_constants_behind_the_code(assemble: Assemble) -> None:
    assert frame_rules(assemble("push %rbx; pop %rbx; ret") + b"\x06\x07\x62") == [
        (0, CALLED),
        (1, at_sp(16)),
        (2, CALLED),
    ]


def test_a_long_function_keeps_the_rule_of_its_body(assemble: Assemble) -> None:
    code = assemble("push %rbx; 1: jne 1b; .rept 300; push $1; pop %rax; .endr; pop %rbx; ret")
    assert frame_rules(code)[-1] == (3 + 3 * (INSTRUCTIONS_MAX - 2) // 2, at_sp(16))


def test_signal_return() -> None:
    assert frame_rules(b"\x48\xc7\xc0\x0f\0\0\0\x0f\x05") == [(0, SIGNAL)]


@given(code=st.binary(max_size=200))
def test_whatever_the_bytes_are(code: bytes) -> None:
    rules = frame_rules(code)
    offsets = [offset for offset, _ in rules]
    assert offsets == sorted(set(offsets))
    assert not rules or offsets[0] == 0
    assert all(rule.cfa in (Cfa.REGISTER, Cfa.SIGNAL) for _, rule in rules)


def test_through_functions_that_nothing_describes() -> None:
    path = binary("undescribed", "undescribed", NO_FRAME_POINTERS)
    seen = dump(path, "dump")
    assert len(seen.addresses) < 5, "the C library's unwinder finds no way"
    walked = walk(seen.registers, seen.ip, False, seen.stack, seen.find_rule)
    assert walked.end == End.WHOLE
    functions = {name: (a, a + size) for name, (a, size) in nm(path).items() if size}
    bias = seen.biases[str(path)]
    names = [
        next((name for name, (start, end) in functions.items() if start <= at - bias - 1 < end), "")
        for at in walked.addresses
    ]
    chain = ["by_pushes", "by_moves", "by_alignment", "by_arguments", "by_frame_pointer"]
    twice = [*chain, "by_pushes", "by_alignment", "by_moves", "by_pushes", "by_frame_pointer", "by_arguments", "dump"]
    assert names[names.index("dump") :][: len(twice)] == twice[::-1]
    assert "main" in names


def image_with_symbols(symbols: list[tuple[int, int]], code: bytes, entry: int = 0) -> bytes:
    """An ELF file of one executable section at 0x1000 and these functions (address, size), without .eh_frame."""
    table = bytes(24) + b"".join(struct.pack("<IBBHQQ", 0, 2, 0, 1, *symbol) for symbol in symbols)
    at = 0x1000 + len(code)
    header = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, entry, 64, at + len(table), 0, 64, 56, 1, 64, 3, 0)
    program = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, 0x1000, 0x1000, len(code), len(code), 0x1000)
    sections = [(0,) * 10, (0, 1, 6, 0x1000, 0x1000, len(code), 0, 0, 16, 0), (0, 2, 0, 0, at, len(table), 0, 1, 8, 24)]
    data = (b"\x7fELF\x02\x01\x01" + bytes(9) + header + program).ljust(0x1000, b"\0") + code + table
    return data + b"".join(struct.pack("<IIQQQQIIQQ", *section) for section in sections)


def made(symbols: list[tuple[int, int]], code: bytes, entry: int = 0) -> UnwindTable:
    return build(ElfFile(BytesReader(image_with_symbols(symbols, code.ljust(4096, b"\xcc"), entry))))


def test_symbols_of_all_kinds() -> None:
    push = b"\x53\x90\x90\x5b\xc3"
    code = bytearray(b"\xcc" * 4096)
    for at in (0x10, 0x100, 0x200, 0x300):
        code[at : at + len(push)] = push
    symbols = [
        (0x1010, 5), (0x1010, 3),  # an alias, and what is longer counts
        (0x1012, 8),  # within another
        (0x1100, 0),  # without a size: up to the next
        (0x1200, 5), (0x1300, 1 << 40), (0x9000, 5), (1 << 63, 1 << 63),
    ]  # fmt: skip
    table = made(symbols, bytes(code))
    assert [table.rule(at).cfa_offset for at in (0x100F, 0x1010, 0x1011, 0x1013, 0x1014, 0x1015)] == [
        0,
        8,
        16,
        16,
        8,
        0,
    ]
    assert [table.rule(at).cfa_offset for at in (0x1101, 0x11FF, 0x1201, 0x1205, 0x1301, 0x1FFF)] == [
        16,
        8,
        16,
        0,
        16,
        8,
    ]


def test_the_entry_has_no_caller() -> None:
    table = made([(0x1100, 16)], b"", entry=0x1080)
    assert [table.rule(at) for at in (0x107F, 0x1080, 0x1080 + 47, 0x1080 + 48)] == [GAP, STOP, STOP, GAP]
    assert made([(0x1080, 8)], b"", entry=0x1080).rule(0x1088) == GAP


def test_signal_returns_are_looked_up_one_byte_before() -> None:
    code = bytearray(b"\xcc" * 4096)
    code[0x80:0x89] = b"\x48\xc7\xc0\x0f\0\0\0\x0f\x05"
    table = made([(0x1080, 9)], bytes(code))
    assert [table.rule(at) for at in (0x107E, 0x107F, 0x1080, 0x1088, 0x1089)] == [GAP, SIGNAL, SIGNAL, SIGNAL, GAP]


def test_what_is_described_stays_so() -> None:
    elf = ElfFile(BytesReader(image_with_symbols([(0x1100, 0x40), (0x1200, 0x40)], b"\x90" * 4096)))
    found = undescribed_functions(elf, [(0x10F0, 0x1110), (0x1220, 0x1230)], RuleSet())
    assert [(start, end) for start, end, _ in found] == [(0x1200, 0x1220)]


@given(
    symbols=st.lists(
        st.tuples(
            st.integers(0xF00, 0x2100) | st.integers(0, (1 << 64) - 1),
            st.integers(0, 300) | st.integers(0, (1 << 64) - 1),
        ),
        max_size=20,
    ),
    code=st.binary(max_size=2000),
    entry=st.integers(0xF00, 0x2100) | ANY,
)
def test_whatever_the_symbols_say(symbols: list[tuple[int, int]], code: bytes, entry: int) -> None:
    table = made(symbols, code, entry)
    assert table.first_page in (0, 1, 2)
    assert len(table.pages) // 8 <= 2
