"""Open the code cache of a running JVM."""

from __future__ import annotations

import os
from typing import NamedTuple

from ebtop.hotspot.code_cache import CodeCache
from ebtop.hotspot.methods import Methods
from ebtop.hotspot.vm_structs import EXPORTS, UnknownVm, read_vm_structs
from ebtop.process.elf import ElfError, ElfFile, FileReader, file_to_address
from ebtop.process.elf_lookup import find_exported
from ebtop.process.mappings import Mapping
from ebtop.process.memory import ProcessMemory, UnreadableMemory
from ebtop.process.open_mapped import open_mapped
from ebtop.process.processes import Process, Processes

_LIBRARY = b"/libjvm.so"


class Jvm(NamedTuple):
    """How one process's code cache and methods are read."""

    memory: ProcessMemory
    """Whoever opened the JVM closes it."""
    code_cache: CodeCache
    methods: Methods


def find_libjvm(process: Process) -> Mapping | None:
    """The executable mapping of the JVM's library; None where the process is no JVM."""
    return next((m for m in process.mappings if is_libjvm(m)), None)


def is_libjvm(mapping: Mapping) -> bool:
    """Whether a mapping is of a JVM's library, by its name."""
    return mapping.file.path.endswith(_LIBRARY)


def open_jvm(processes: Processes, process: Process, library: Mapping) -> Jvm:
    """Read its tables, some milliseconds. Raises UnknownVm, UnreadableMemory (also while the JVM is starting)."""
    opened = open_mapped(processes, process, library)
    if opened is None:
        raise UnreadableMemory("libjvm.so can not be opened")
    try:
        elf = ElfFile(FileReader(opened[0]))
        found = find_exported(elf, EXPORTS)
        address = file_to_address(elf.segments, library.offset)
    except ElfError as error:
        raise UnknownVm(f"libjvm.so: {error}") from error
    finally:
        os.close(opened[0])
    if address is None:
        raise UnknownVm("libjvm.so is mapped in a way of its own")
    bias = library.start - address
    memory = ProcessMemory(process.pid)
    try:
        structs = read_vm_structs(memory, {name: symbol.address + bias for name, symbol in found.items()})
        return Jvm(memory, CodeCache(structs), Methods(structs))
    except BaseException:
        memory.close()
        raise
