"""Where the programs of bpf/*.c read, when every relocation has a value that nothing else can have."""

from __future__ import annotations

import random

import pytest

from ebtop.kernel import relocation
from ebtop.kernel.artifact import Artifact, Program
from ebtop.kernel.compiler import compile_source
from ebtop.kernel.relocation import Relocation
from tests.lab.artifacts import VARIANTS, artifact
from tests.unit.bpf_machine import KernelRead, Machine
from tests.unit.bytecode import instructions

UNIT_BITS = 20
"""Relocation n says n+1 units; whatever lies below a unit is in the program itself."""
FEWEST_RUNS, MOST_RUNS = 200, 2000
MANY_STEPS = 300_000
"""Enough of a program whose reads have all run, also in fewer runs: cpython_find has one, and takes 17,000 steps."""
COVERED = 0.6
CONTROLLER = 4
REGISTERS_BYTES = 21 * 8
"""Saved at the end of a kernel stack, which here has room for nothing else."""
WITHOUT_READS = ("unwind_native", "cpython_walk", "cpython_tell")
"""They read the memory of processes, never the kernel's."""
ITERATORS = ("walk", "adopt")
OWN_MEMORY = {"walk": {2: 8, 3: 48}}
"""Key and value of the map that is walked through, struct bpf_iter__bpf_map_elem."""
MAPLE_TYPES = {"maple_leaf_64": 1, "maple_range_64": 2, "maple_arange_64": 3}
TREE_ROOT = [Relocation("OFFSET", "mm_struct", "mm_mt"), Relocation("OFFSET", "maple_tree", "ma_root")]
CALL, READ_KERNEL, READ_KERNEL_STR = 0x85, 113, 115


def values(of: Artifact, seed: int) -> list[int]:
    """What a kernel says that has some of what the artifact asks for."""
    draw = random.Random(seed)
    made = []
    for number, (kind, scope, name) in enumerate(of.relocations):
        if kind in ("OFFSET", "BITS_BYTE", "TP_FIELD"):
            # The root of a tree that a struct begins with is read at the sum of two: no other says the same.
            units = number + 1 + (len(of.relocations) if name == "ma_root" else 0)
            made.append(units << UNIT_BITS)
        elif kind in ("HAS", "HAS_ENUM"):
            made.append(draw.randrange(2))
        elif kind == "TP_ARGS":
            made.append(draw.randrange(13))
        elif kind == "CONSTANT" and scope == "ebtop":
            made.append(draw.choice((CONTROLLER, 0xFFFF)))
        elif kind == "CONSTANT" and scope == "unwind":
            made.append(REGISTERS_BYTES)
        elif kind == "ENUM" and scope == "maple_type":
            made.append(MAPLE_TYPES[name])
        else:
            made.append(3)
    return made


def tree_root(of: Artifact) -> int:
    """Where in a struct mm_struct its tree of mappings begins; -1 for a program that does not look at it."""
    if not all(r in of.relocations for r in TREE_ROOT):
        return -1
    units = [of.relocations.index(r) + 1 for r in TREE_ROOT]
    return sum(units) + len(of.relocations) << UNIT_BITS


def run(of: Artifact, program: Program, runs: int) -> tuple[set[KernelRead], float]:
    """Where it read in so many runs with other kernels and other events, and which part of its reads ran at all."""
    calls = {
        i.slot for i in instructions(program.code) if i.opcode == CALL and i.immediate in (READ_KERNEL, READ_KERNEL_STR)
    }
    reads: set[KernelRead] = set()
    executed: set[int] = set()
    steps = 0
    for seed in range(runs):
        code = bytearray(program.code)
        relocation.patch(code, values(of, seed))
        machine = Machine(of.maps, seed, tree_root(of), OWN_MEMORY.get(program.name, {}))
        machine.run(bytes(code))
        reads.update(machine.reads)
        executed |= machine.executed
        steps += machine.steps
        if calls <= executed and (seed >= FEWEST_RUNS or steps >= MANY_STEPS):
            break
    return reads, len(calls & executed) / len(calls) if calls else 1.0


def is_array_element(of: Artifact, read: KernelRead) -> bool:
    """Of an array within a struct: the cgroup of a controller, the nth register."""
    units, rest = divmod(read.offset, 1 << UNIT_BITS)
    place = of.relocations[units - 1]
    if place.name == "subsys":
        return place.scope in ("css_set", "cgroup") and rest == CONTROLLER * 8
    return (place.scope, place.name) == ("pt_regs", "regs") and rest in (0, 8, 16)


@pytest.mark.parametrize("name", VARIANTS)
def test_kernel_memory_is_reached_only_through_relocations(name: str) -> None:
    of = artifact(name)
    for program in of.programs:
        reads, covered = run(of, program, MOST_RUNS)
        assert reads or program.name in WITHOUT_READS
        assert covered >= COVERED, f"only {covered:.0%} of the reads of {program.name} ran"
        for read in reads:
            if read.is_direct:
                assert program.name in ITERATORS
                # struct bpf_iter_meta: its first member is in the ABI of iterators.
                assert read.offset == 0
            elif read.is_string and read.offset == 0:
                pass  # a char *, read from where it points to
            elif (program.name, read.offset) == ("unwind_file", 0):
                pass  # a node of a maple tree, read as a whole
            elif read.offset % (1 << UNIT_BITS):
                assert is_array_element(of, read), f"{program.name} reads at an offset of its own: {read}"
            else:
                assert read.offset > 0, f"{program.name} reads the start of an object: {read}"


BAD = """
#define OFFSET(type, member) ({ u64 value_; asm volatile("%0 = 0xEB70F00000000000 ll" : "=r"(value_)); value_; })

int on_event(void *ctx)
{
	u64 task = bpf_get_current_task(), value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)(ADDRESS));
	return value;
}
"""


@pytest.mark.parametrize(
    ("address", "offset"),
    [
        ("task", 0),
        ("task + 1234", 1234),
        ("task + OFFSET(task_struct, comm)", 1 << UNIT_BITS),
        ("task + OFFSET(task_struct, comm) + 8", (1 << UNIT_BITS) + 8),
    ],
)
def test_an_offset_of_its_own_would_be_seen(address: str, offset: int) -> None:
    bad = compile_source("bad", BAD.replace("ADDRESS", address))
    reads, covered = run(bad, bad.programs[0], 10)
    assert covered == 1
    assert {read.offset for read in reads} == {offset}
