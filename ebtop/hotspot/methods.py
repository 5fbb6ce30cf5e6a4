"""What a compiled method is called. Source: method.hpp, constMethod.hpp, constantPool.hpp, symbol.hpp of OpenJDK."""

from __future__ import annotations

import re
import struct

from ebtop.hotspot.vm_structs import VmStructs
from ebtop.process.memory import ProcessMemory

_NAME_MAX = 512
_HIDDEN = re.compile(rb"[+/]0x[0-9a-f]+$")
"""What is added to the name of a class that was made at run time, another each time."""


class Methods:
    """Reads names in one version of HotSpot."""

    def __init__(self, structs: VmStructs) -> None:
        """Raises UnknownVm."""
        self._const_method = structs.field(("Method", "_constMethod")).offset
        self._constants = structs.field(("ConstMethod", "_constants")).offset
        self._name_index = structs.field(("ConstMethod", "_name_index")).offset
        self._holder = structs.field(("ConstantPool", "_pool_holder")).offset
        self._pool_size = structs.size("ConstantPool")
        self._class_name = structs.field(("Klass", "_name")).offset
        self._length = structs.field(("Symbol", "_length"), ("Symbol", "_length_and_refcount"))
        self._body = structs.field(("Symbol", "_body")).offset

    def name(self, memory: ProcessMemory, method: int) -> bytes:
        """package.Class.method of a Method. Raises UnreadableMemory."""
        const_method = memory.u64(method + self._const_method)
        pool = memory.u64(const_method + self._constants)
        (index,) = struct.unpack("<H", memory.read(const_method + self._name_index, 2))
        name = self._symbol(memory, memory.u64(pool + self._pool_size + 8 * index))
        holder = self._symbol(memory, memory.u64(memory.u64(pool + self._holder) + self._class_name))
        return _HIDDEN.sub(b"", holder).replace(b"/", b".") + b"." + name

    def _symbol(self, memory: ProcessMemory, symbol: int) -> bytes:
        width = self._length.width
        length = int.from_bytes(memory.read(symbol + self._length.offset, width), "little")
        if width == 4:
            length >>= 16
        return memory.read(symbol + self._body, min(length, _NAME_MAX))
