"""A reader for BTF, the kernel's own description of its types: member offsets, enum values, tracepoint arguments.

Layout after Documentation/bpf/btf.rst. Types are kept as one array of u32 words; nothing is decoded
before it is asked for. Indexing the 126,000 types of a distribution kernel takes 50-80 ms.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ebtop.errors import EbtopError

VMLINUX = "/sys/kernel/btf/vmlinux"

_MAGIC = 0xEB9F
_PTR, _STRUCT, _UNION, _ENUM, _TYPEDEF, _FUNC, _FUNC_PROTO, _ENUM64 = 2, 4, 5, 6, 8, 12, 13, 19
_INT, _ARRAY = 1, 3
_TRANSPARENT = frozenset((8, 9, 10, 11, 18))  # typedef, volatile, const, restrict, type tag
# Words behind the three of every type: fixed ones by kind, and a number of words for each of vlen members.
_FIXED_WORDS = {_INT: 1, _ARRAY: 3, 14: 1, 17: 1}
_MEMBER_WORDS = {_STRUCT: 3, _UNION: 3, _ENUM: 2, _FUNC_PROTO: 2, 15: 3, _ENUM64: 3}
_POINTER_BYTES = 8


class Member(NamedTuple):
    """A struct member: offset from the start of the struct and width, both in bits; width 0 = not a bit-field."""

    bit_offset: int
    bit_width: int
    byte_size: int
    """Size of its type."""


class Btf:
    """The types of one BTF blob."""

    def __init__(self, blob: bytes) -> None:
        """Raises EbtopError when the blob is not BTF of this machine's byte order."""
        try:
            magic, _version, _flags, header, type_off, type_len, str_off, str_len = struct.unpack_from(
                "=HBBIIIII", blob, 0
            )
        except struct.error:
            raise EbtopError("BTF can't be read", "the file is shorter than its header") from None
        types, strings = header + type_off, header + str_off
        if magic != _MAGIC or types + type_len > len(blob) or strings + str_len > len(blob) or type_len % 4:
            raise EbtopError("BTF can't be read", "not BTF of this machine's byte order, or cut short")
        self._blob = blob
        self._words = memoryview(blob)[types : types + type_len].cast("I")
        self._strings, self._strings_end = strings, strings + str_len
        self._start = self._index()

    @classmethod
    def read(cls, path: str = VMLINUX) -> Btf:
        """The running kernel's types. Raises EbtopError when the kernel has none."""
        try:
            with open(path, "rb") as file:
                return cls(file.read())
        except OSError as error:
            raise EbtopError(
                "this kernel's types can't be read",
                f"{path}: {error.strerror}",
                "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (Debian 11+, Ubuntu 20.10+, RHEL 8.2+, Fedora 31+)",
            ) from None

    def structs(self, names: Iterable[str]) -> dict[str, int]:
        """Name to type id for structs, unions and typedefs of them; absent ones are left out."""
        return self._find(names, (_STRUCT, _UNION, _TYPEDEF))

    def member(self, type_id: int, name: str) -> Member | None:
        """A member of a struct or union, looked for in anonymous members too; None when it has none of that name."""
        type_id = self._resolve(type_id)
        if self._kind(type_id) not in (_STRUCT, _UNION):
            return None
        anonymous = []
        for member_name, member_type, bit_offset, bit_width in self._members(type_id):
            if member_name == name:
                return Member(bit_offset, bit_width, self._size(member_type))
            if not member_name:
                anonymous.append((member_type, bit_offset))
        for member_type, bit_offset in anonymous:
            inner = self.member(member_type, name)
            if inner is not None:
                return inner._replace(bit_offset=bit_offset + inner.bit_offset)
        return None

    def size(self, type_id: int) -> int:
        """Size of a type in bytes."""
        return self._size(type_id)

    def enum_values(self, name: str) -> dict[str, int] | None:
        """Enumerator to value of a named enum; None when there is no such enum."""
        values: dict[str, int] | None = None
        words = self._words
        for type_id in self._all(name, (_ENUM, _ENUM64)):
            start = self._start[type_id]
            step = _MEMBER_WORDS[self._kind(type_id)]
            bits = 32 * (step - 1)
            signed = words[start + 1] >> 31
            values = values or {}
            for at in range(start + 3, start + 3 + step * self._vlen(type_id), step):
                value = words[at + 1] | (words[at + 2] << 32 if bits == 64 else 0)
                if signed and value >> (bits - 1):
                    value -= 1 << bits
                values.setdefault(self._string(words[at]), value)
        return values

    def raw_tracepoint_args(self, name: str) -> int | None:
        """How many arguments a raw tracepoint passes; None when the kernel does not have it.

        Every tracepoint has a typedef btf_trace_NAME of its probe function, whose first parameter is
        the registration data and not an argument.
        """
        for type_id in self._all(f"btf_trace_{name}", (_TYPEDEF,)):
            pointer = self._words[self._start[type_id] + 2]
            prototype = self._words[self._start[pointer] + 2]
            if self._kind(pointer) == _PTR and self._kind(prototype) == _FUNC_PROTO:
                return self._vlen(prototype) - 1
        return None

    def function(self, name: str) -> int | None:
        """Type id of a kernel function (attach_btf_id), None when there is none of that name."""
        return next(self._all(name, (_FUNC,)), None)

    def _index(self) -> array[int]:
        """Position of every type's first word, by type id."""
        words, at, end = self._words, 0, len(self._words)
        starts = array("I", [0])
        fixed = [_FIXED_WORDS.get(kind, 0) for kind in range(32)]
        per_member = [_MEMBER_WORDS.get(kind, 0) for kind in range(32)]
        append = starts.append
        while at + 3 <= end:
            append(at)
            info = words[at + 1]
            kind = (info >> 24) & 31
            at += 3 + fixed[kind] + per_member[kind] * (info & 0xFFFF)
        if at != end:
            raise EbtopError("BTF can't be read", "its last type is cut short")
        return starts

    def _find(self, names: Iterable[str], kinds: tuple[int, ...]) -> dict[str, int]:
        wanted = {offset: name for name in names for offset in self._string_offsets(name)}
        found: dict[str, int] = {}
        words = self._words
        for type_id in range(1, len(self._start)):
            start = self._start[type_id]
            name = wanted.get(words[start])
            if name is not None and (words[start + 1] >> 24) & 31 in kinds:
                found.setdefault(name, type_id)
        return found

    def _all(self, name: str, kinds: tuple[int, ...]) -> Iterator[int]:
        offsets = set(self._string_offsets(name))
        words, starts = self._words, self._start
        if offsets:
            for type_id in range(1, len(starts)):
                start = starts[type_id]
                if words[start] in offsets and (words[start + 1] >> 24) & 31 in kinds:
                    yield type_id

    def _string_offsets(self, name: str) -> Iterator[int]:
        """Offsets at which exactly `name` stands; the kernel's strings are not repeated, a made-up BTF's may be."""
        needle, at = b"\0" + name.encode() + b"\0", self._strings
        while (at := self._blob.find(needle, at, self._strings_end)) >= 0:
            at += 1
            yield at - self._strings

    def _string(self, offset: int) -> str:
        start = self._strings + offset
        return self._blob[start : self._blob.index(b"\0", start)].decode("utf-8", "replace")

    def _kind(self, type_id: int) -> int:
        return (self._words[self._start[type_id] + 1] >> 24) & 31

    def _vlen(self, type_id: int) -> int:
        return self._words[self._start[type_id] + 1] & 0xFFFF

    def _resolve(self, type_id: int) -> int:
        while self._kind(type_id) in _TRANSPARENT:
            type_id = self._words[self._start[type_id] + 2]
        return type_id

    def _size(self, type_id: int) -> int:
        if type_id == 0:
            return 0
        type_id = self._resolve(type_id)
        kind, start = self._kind(type_id), self._start[type_id]
        if kind == _PTR:
            return _POINTER_BYTES
        if kind == _ARRAY:
            return self._size(self._words[start + 3]) * self._words[start + 5]
        return self._words[start + 2] if kind != _FUNC_PROTO else 0

    def _members(self, type_id: int) -> Iterator[tuple[str, int, int, int]]:
        start = self._start[type_id]
        has_bit_fields = self._words[start + 1] >> 31
        for at in range(start + 3, start + 3 + 3 * self._vlen(type_id), 3):
            name, member_type, offset = self._words[at : at + 3].tolist()
            width = offset >> 24 if has_bit_fields else 0
            yield self._string(name), member_type, offset & 0xFFFFFF if has_bit_fields else offset, width
