"""Artifacts of bpf/*.c, loaded into kernels that do not exist: what would the real one be given?"""

from __future__ import annotations

import ctypes
import errno
import os
import random
import struct
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from ebtop.errors import EbtopError
from ebtop.kernel.artifact import Artifact
from ebtop.kernel.attach import RawTracepoint
from ebtop.kernel.btf import Btf
from ebtop.kernel.module import Attachment, Module
from ebtop.kernel.relocation import MARK, Relocation, Target, header, scan
from ebtop.kernel.syscall import Cmd
from ebtop.kernel.tracefs import TracepointField
from tests.lab.artifacts import NAMES, artifact
from tests.unit.bytecode import LD_IMM64, PSEUDO_MAP_FD, Instruction, instructions
from tests.unit.made_up_btf import Field, MadeUpBtf

MARK_BITS = 0xFFFFFFFF << 32
Name = tuple[str, str]


class MadeUpKernel:
    """Has all that some relocations want, except what is `missing`, each at a place drawn by `seed`."""

    def __init__(self, relocations: tuple[Relocation, ...], seed: int, missing: frozenset[Name] = frozenset()) -> None:
        draw = random.Random(seed)
        wanted = {kind: {(r.scope, r.name) for r in relocations if r.kind in kinds} - missing for kind, kinds in KINDS}
        bit_fields = {(r.scope, r.name) for r in relocations if r.kind == "BITS_BYTE"}
        self.members = {
            name: Field(name[1], 1, *_draw_place(draw, name in bit_fields)) for name in sorted(wanted["members"])
        }
        self.enumerators = {name: draw.randrange(1 << 31) for name in sorted(wanted["enumerators"])}
        self.arguments = {name: draw.randrange(1, 12) for name, _ in sorted(wanted["tracepoints"])}
        self.fields = {name: draw.randrange(8, 4096) for name in sorted(wanted["fields"])}
        self.constants = {f"{scope}.{name}": draw.randrange(1 << 60) for scope, name in sorted(wanted["constants"])}
        self.target = Target(Btf(self._btf(draw)), self._tracepoint_fields, self.constants)

    def expects(self, relocation: Relocation) -> int | None:
        """The value that the program must be given, None for one third of a bit-field, which has no meaning alone."""
        kind, name = relocation.kind, (relocation.scope, relocation.name)
        values: Mapping[str, Callable[[], int]] = {
            "OFFSET": lambda: self.members[name].bit // 8 if name in self.members else 0,
            "HAS": lambda: int(name in self.members),
            "ENUM": lambda: self.enumerators.get(name, 0),
            "HAS_ENUM": lambda: int(name in self.enumerators),
            "TP_FIELD": lambda: self.fields.get(name, 0),
            "TP_ARGS": lambda: self.arguments.get(name[0], 0),
            "CONSTANT": lambda: self.constants[".".join(name)],
        }
        return values[kind]() if kind in values else None

    def _btf(self, draw: random.Random) -> bytes:
        made_up = MadeUpBtf()
        assert made_up.integer("u64", 8) == 1
        by_struct: dict[str, list[Field]] = {}
        for (scope, _), field in self.members.items():
            by_struct.setdefault(scope, []).append(field)
        for name, fields in by_struct.items():
            draw.shuffle(fields)
            made_up.struct(name, 1 << 16, *fields)
        for scope in {scope for scope, _ in self.enumerators}:
            made_up.enum(scope, {name: v for (of, name), v in self.enumerators.items() if of == scope})
        for name, arguments in self.arguments.items():
            made_up.tracepoint(name, arguments)
        return made_up.blob()

    def _tracepoint_fields(self, event: str) -> Mapping[str, TracepointField]:
        category, _, name = event.partition(":")
        found = {
            field.removeprefix(f"{name}__"): TracepointField(offset, 8)
            for (of, field), offset in self.fields.items()
            if of == category and field.startswith(f"{name}__")
        }
        if not found:
            raise FileNotFoundError(errno.ENOENT, "no such tracepoint")
        return found


KINDS = (
    ("members", ("OFFSET", "HAS", "BITS_BYTE")),
    ("enumerators", ("ENUM", "HAS_ENUM")),
    ("tracepoints", ("TP_ARGS",)),
    ("fields", ("TP_FIELD",)),
    ("constants", ("CONSTANT",)),
)


def _draw_place(draw: random.Random, bit_field: bool) -> tuple[int, int]:
    """(bit, width)"""
    return (draw.randrange(1 << 16), draw.randrange(1, 33)) if bit_field else (draw.randrange(1 << 13) * 8, 0)


class RecordingKernel:
    """Stands in for bpf(2): takes everything, and keeps what it was given."""

    def __init__(self) -> None:
        self.map_fds: list[int] = []
        self.programs: list[bytes] = []

    def bpf(self, command: Cmd, attribute: bytearray) -> int:
        if command == Cmd.PROG_LOAD:
            _, count, address = struct.unpack_from("=IIQ", attribute)
            self.programs.append(ctypes.string_at(address, count * 8))
        fd = os.open(os.devnull, os.O_RDONLY)
        if command == Cmd.MAP_CREATE:
            self.map_fds.append(fd)
        return fd


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> RecordingKernel:
    recording = RecordingKernel()
    monkeypatch.setattr("ebtop.kernel.syscall.bpf", recording.bpf)
    return recording


def load(of: Artifact, made_up: MadeUpKernel) -> None:
    """Give every program of the artifact to the kernel, as loading does."""
    environment: Any = SimpleNamespace(target=made_up.target)
    attachments = [Attachment(program.name, RawTracepoint("any")) for program in of.programs]
    Module(of, attachments, environment).close()


def loaded_immediates(of: Artifact, kernel: RecordingKernel) -> Iterator[tuple[Relocation, int]]:
    """Every relocation in the code and the immediate in its place; asserts that nothing else has changed."""
    for program, given in zip(of.programs, kernel.programs, strict=True):
        before, after = list(instructions(program.code)), list(instructions(given))
        assert len(before) == len(after)
        for was, became in zip(before, after, strict=True):
            if was.opcode == LD_IMM64 and was.source == PSEUDO_MAP_FD:
                assert became == was._replace(immediate=kernel.map_fds[was.immediate])
            elif was.opcode == LD_IMM64 and was.immediate & MARK_BITS == MARK:
                assert became._replace(immediate=was.immediate) == was
                yield of.relocations[was.immediate & 0xFFFFFFFF], became.immediate
            else:
                assert became == was


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_every_immediate_is_what_this_kernel_says(name: str, seed: int, kernel: RecordingKernel) -> None:
    made_up = MadeUpKernel(artifact(name).relocations, seed)
    load(artifact(name), made_up)
    patched = list(loaded_immediates(artifact(name), kernel))
    assert patched
    for relocation, value in patched:
        assert made_up.expects(relocation) in (value, None), relocation


def test_bit_fields_are_read_wherever_they_are(kernel: RecordingKernel) -> None:
    retransmits = artifact("retransmits")
    for seed in range(20):
        made_up = MadeUpKernel(retransmits.relocations, seed)
        kernel.programs.clear()
        kernel.map_fds.clear()
        load(retransmits, made_up)
        given = {r.kind: v for r, v in loaded_immediates(retransmits, kernel) if r.kind.startswith("BITS")}
        field = made_up.members["inet_connection_sock", "icsk_ca_state"]
        memory = random.Random(seed).randbytes(1 << 14)
        word = int.from_bytes(memory[given["BITS_BYTE"] : given["BITS_BYTE"] + 8], "little")
        read = (word << given["BITS_LEFT"] & (1 << 64) - 1) >> given["BITS_RIGHT"]
        assert read == int.from_bytes(memory, "little") >> field.bit & (1 << field.width) - 1


def values_of(of: Artifact, kernel: RecordingKernel, scope: str) -> dict[tuple[str, str], int]:
    """Kind and name to value, of one struct, enum or category."""
    return {(r.kind, r.name): v for r, v in loaded_immediates(of, kernel) if r.scope == scope}


def test_a_kernel_without_segment_counts(kernel: RecordingKernel) -> None:
    retransmits = artifact("retransmits")
    load(retransmits, MadeUpKernel(retransmits.relocations, 1, frozenset({("tcp_skb_cb", "tcp_gso_segs")})))
    assert values_of(retransmits, kernel, "tcp_skb_cb") == {("HAS", "tcp_gso_segs"): 0, ("OFFSET", "tcp_gso_segs"): 0}


def test_registers_of_another_architecture(kernel: RecordingKernel) -> None:
    program = artifact("exec")
    made_up = MadeUpKernel(program.relocations, 1, frozenset(("pt_regs", n) for n in ("di", "si", "dx")))
    load(program, made_up)
    given = values_of(program, kernel, "pt_regs")
    assert given["HAS", "di"] == given["OFFSET", "di"] == 0
    assert given["HAS", "orig_x0"] == 1
    assert given["OFFSET", "orig_x0"] == made_up.members["pt_regs", "orig_x0"].bit // 8


def test_a_kernel_without_a_helper(kernel: RecordingKernel) -> None:
    program = artifact("exec")
    load(program, MadeUpKernel(program.relocations, 1, frozenset({("bpf_func_id", "BPF_FUNC_task_pt_regs")})))
    assert values_of(program, kernel, "bpf_func_id") == {("HAS_ENUM", "BPF_FUNC_task_pt_regs"): 0}


def test_a_kernel_without_system_call_tracepoints_still_gets_the_other_programs(kernel: RecordingKernel) -> None:
    program = artifact("exec")
    absent = frozenset((r.scope, r.name) for r in program.relocations if r.kind == "TP_FIELD")
    load(program, MadeUpKernel(program.relocations, 1, absent))
    assert set(values_of(program, kernel, "syscalls").values()) == {0}


def test_a_tracepoint_that_lacks_only_a_field_is_refused() -> None:
    program = artifact("exec")
    made_up = MadeUpKernel(program.relocations, 1, frozenset({("syscalls", "sys_enter_execve__argv")}))
    with pytest.raises(EbtopError, match=r"syscalls:sys_enter_execve has no field argv"):
        made_up.target.resolve(program.relocations)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_absent_and_never_asked_for_is_named(name: str) -> None:
    relocations = artifact(name).relocations
    guarded = {r.scope for r in relocations if r.kind in ("HAS", "HAS_ENUM")}
    needed = {(r.scope, r.name) for r in relocations if r.kind in ("OFFSET", "BITS_BYTE", "ENUM")}
    needed = {(scope, member) for scope, member in needed if scope not in guarded}
    assert needed
    for scope, member in needed:
        made_up = MadeUpKernel(relocations, 1, frozenset({(scope, member)}))
        with pytest.raises(EbtopError, match=rf"^this kernel has no {scope}\.{member}: "):
            made_up.target.resolve(relocations)


def test_a_refused_kernel_is_given_no_program_and_keeps_no_map(kernel: RecordingKernel) -> None:
    relocations = artifact("exec").relocations
    with pytest.raises(EbtopError, match=r"task_struct\.tgid"):
        load(artifact("exec"), MadeUpKernel(relocations, 1, frozenset({("task_struct", "tgid")})))
    assert not kernel.programs
    for fd in kernel.map_fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_a_constant_nobody_gave_is_named() -> None:
    relocations = [Relocation("CONSTANT", "connects", "min_latency_ns")]
    with pytest.raises(EbtopError, match=r"connects\.min_latency_ns"):
        Target(Btf(MadeUpBtf().blob()), lambda _: {}, {}).resolve(relocations)


def test_negative_values_fill_64_bits(kernel: RecordingKernel) -> None:
    program = artifact("connects")
    made_up = MadeUpKernel(program.relocations, 1)
    made_up.constants["connects.min_latency_ns"] = -2
    load(program, made_up)
    assert values_of(program, kernel, "connects") == {("CONSTANT", "min_latency_ns"): 2**64 - 2}


def test_scan_finds_uses_once_and_leaves_out_comments_and_definitions() -> None:
    source = """
    #define READ(type, member, destination, base) \\
        OFFSET(type, member)
    /* HAS(never, seen) */
    READ(task_struct, tgid, &x, y); READ(task_struct, tgid, &z, y);
    if (HAS( sock , sk_err )) READ_BITS(icsk, state, sk);
    NOT_A_READ(one, two);
    TP_ARGS(tcp_retransmit_skb, arguments)
    """
    found = scan(source)
    assert found == [
        Relocation("OFFSET", "task_struct", "tgid"),
        Relocation("HAS", "sock", "sk_err"),
        Relocation("BITS_BYTE", "icsk", "state"),
        Relocation("BITS_LEFT", "icsk", "state"),
        Relocation("BITS_RIGHT", "icsk", "state"),
        Relocation("TP_ARGS", "tcp_retransmit_skb", "arguments"),
    ]
    assert header(found).splitlines()[1] == "#define RELOC_HAS_sock__sk_err 1"


def test_decoding_is_right() -> None:
    """This file trusts its own decoder: a LD_IMM64 of map 3 into r1, then exit."""
    code = bytes.fromhex("181100000300000000000000020000009500000000000000")
    assert list(instructions(code)) == [
        Instruction(0, LD_IMM64, 1, PSEUDO_MAP_FD, 0, 2 << 32 | 3),
        Instruction(2, 0x95, 0, 0, 0, 0),
    ]
