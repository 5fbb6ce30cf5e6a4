"""The tables of types and fields that libjvm.so exports. Source: vmStructs.hpp of OpenJDK (gHotSpotVMStructs)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from ebtop.process.memory import ProcessMemory, UnreadableMemory

_ENTRIES_MAX = 8192
_STRIDE_MAX = 256
_CHUNK = 1 << 16
_STRUCTS = ("TypeName", "FieldName", "TypeString", "IsStatic", "Offset", "Address")
_STRUCT_OFFSETS = [f"gHotSpotVMStructEntry{what}Offset" for what in _STRUCTS]
_TYPE_OFFSETS = ["gHotSpotVMTypeEntryTypeNameOffset", "gHotSpotVMTypeEntrySizeOffset"]
_STRUCT_TABLE = ["gHotSpotVMStructs", "gHotSpotVMStructEntryArrayStride", *_STRUCT_OFFSETS]
_TYPE_TABLE = ["gHotSpotVMTypes", "gHotSpotVMTypeEntryArrayStride", *_TYPE_OFFSETS]
EXPORTS = tuple([name.encode() for name in (*_STRUCT_TABLE, *_TYPE_TABLE)])
"""The symbols of libjvm.so that are needed."""
_WIDTHS = {
    b"bool": 1, b"u1": 1, b"char": 1, b"u2": 2, b"short": 2, b"int16_t": 2, b"uint16_t": 2, b"unsigned short": 2,
    b"u4": 4, b"int": 4, b"unsigned int": 4, b"int32_t": 4, b"uint32_t": 4, b"uint": 4, b"jint": 4,
}  # fmt: skip


class UnknownVm(Exception):
    """Not a HotSpot, or one whose tables lack what is needed."""


class Field(NamedTuple):
    """A field of a type of the JVM."""

    offset: int
    """In the object; the address of a static field."""
    width: int
    """Bytes."""


class VmStructs:
    """Fields and sizes by name, as one running JVM says."""

    def __init__(self, fields: dict[tuple[bytes, bytes], Field], sizes: dict[bytes, int]) -> None:
        self._fields = fields
        self._sizes = sizes

    def field(self, *places: tuple[str, str]) -> Field:
        """The first of (type, field) that there is: they moved between versions. Raises UnknownVm."""
        for kind, name in places:
            found = self._fields.get((kind.encode(), name.encode()))
            if found is not None:
                return found
        raise UnknownVm("no field " + " or ".join([f"{kind}.{name}" for kind, name in places]))

    def has(self, kind: str, name: str) -> bool:
        return (kind.encode(), name.encode()) in self._fields

    def size(self, kind: str) -> int:
        """Bytes of a type. Raises UnknownVm."""
        found = self._sizes.get(kind.encode())
        if not found:
            raise UnknownVm(f"no type {kind}")
        return found


def read_vm_structs(memory: ProcessMemory, exports: Mapping[bytes, int]) -> VmStructs:
    """`exports`: the addresses of `EXPORTS` in the process. Raises UnknownVm, UnreadableMemory."""
    missing = [name.decode() for name in EXPORTS if name not in exports]
    if missing:
        raise UnknownVm(f"libjvm.so has no {missing[0]}")
    values = {name: memory.u64(address) for name, address in exports.items()}
    strings = _Strings(memory)
    fields = {}
    for type_name, field_name, kind, static, offset, address in _entries(memory, values, _STRUCT_TABLE):
        if type_name and field_name:
            width = _width(strings.at(kind)) if kind else 8
            place = address if static & 0xFFFFFFFF else offset
            fields[strings.at(type_name), strings.at(field_name)] = Field(place, width)
    sizes = {strings.at(name): size for name, size in _entries(memory, values, _TYPE_TABLE) if name}
    return VmStructs(fields, sizes)


def _entries(memory: ProcessMemory, values: Mapping[bytes, int], names: list[str]) -> list[list[int]]:
    """Rows of an exported array, their members in the order of the names of their offsets."""
    at, stride, *offsets = [values[name.encode()] for name in names]
    if not 0 < stride <= _STRIDE_MAX or any(offset + 8 > stride for offset in offsets):
        raise UnknownVm("its tables make no sense")
    rows: list[list[int]] = []
    step = _CHUNK - _CHUNK % stride
    while len(rows) < _ENTRIES_MAX:
        data = memory.read_some(at, step)
        for begin in range(0, len(data) - stride + 1, stride):
            row = [struct.unpack_from("<Q", data, begin + offset)[0] for offset in offsets]
            if not row[0]:
                return rows
            rows.append(row)
        if len(data) < stride:
            break
        at += len(data) - len(data) % stride
    raise UnknownVm("its tables do not end")


def _width(kind: bytes) -> int:
    return _WIDTHS.get(kind.removeprefix(b"volatile ").strip(), 8)


class _Strings:
    """Names lie close together: whole pages are read once."""

    def __init__(self, memory: ProcessMemory) -> None:
        self._memory = memory
        self._pages: dict[int, bytes] = {}

    def at(self, address: int) -> bytes:
        page, skip = divmod(address, 4096)
        text, nul, _ = self._page(page)[skip:].partition(b"\0")
        if not nul:
            text += self._page(page + 1).partition(b"\0")[0]
        return text

    def _page(self, number: int) -> bytes:
        if number not in self._pages:
            try:
                self._pages[number] = self._memory.read(number * 4096, 4096)
            except UnreadableMemory:
                self._pages[number] = b"\0"
        return self._pages[number]
