"""What unwinding must know about a machine: its registers by DWARF number, and what a call does."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.process.elf import EM_X86_64


class Machine(NamedTuple):
    """A kind of processor."""

    elf: int
    """e_machine of its ELF files."""
    stack_pointer: int
    frame_pointer: int
    return_address: int
    """The column that stands for the return address."""
    return_offset: int
    """Where a call leaves the return address, from the CFA."""
    registers: int
    """Registers a rule may name: those below."""


X86_64 = Machine(EM_X86_64, 7, 6, 16, -8, 16)

MACHINES = {machine.elf: machine for machine in (X86_64,)}
