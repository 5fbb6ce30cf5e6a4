"""BTF of kernels that do not exist: types written as Documentation/bpf/btf.rst lays them out."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _FWD, _TYPEDEF, _CONST = 1, 2, 3, 4, 5, 6, 7, 8, 10
_FUNC, _FUNC_PROTO, _VAR, _DATASEC, _FLOAT, _ENUM64 = 12, 13, 14, 15, 16, 19
_KIND_FLAG = 1 << 31


class Field(NamedTuple):
    """A member of a struct or union."""

    name: str
    """"" for an anonymous struct or union."""
    type: int
    """Type id."""
    bit: int
    """Offset in bits."""
    width: int = 0
    """In bits; 0 = not a bit-field."""


class MadeUpBtf:
    """Collects types; every method that makes one returns its id."""

    def __init__(self, types: Sequence[bytes] = ()) -> None:
        self._types: list[bytes] = list(types)
        self._strings = bytearray(b"\0")
        self._known: dict[str, int] = {"": 0}

    def blob(self) -> bytes:
        """The whole of it, as in /sys/kernel/btf/vmlinux."""
        types = b"".join(self._types)
        header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(self._strings))
        return header + types + bytes(self._strings)

    def integer(self, name: str, size: int) -> int:
        return self._add(name, _INT, 0, size, struct.pack("=I", size * 8))

    def pointer(self, to: int = 0) -> int:
        return self._add("", _PTR, 0, to)

    def array(self, element: int, count: int) -> int:
        return self._add("", _ARRAY, 0, 0, struct.pack("=III", element, element, count))

    def struct(self, name: str, size: int, *fields: Field) -> int:
        return self._composite(_STRUCT, name, size, fields)

    def union(self, name: str, size: int, *fields: Field) -> int:
        return self._composite(_UNION, name, size, fields)

    def enum(self, name: str, values: Mapping[str, int]) -> int:
        """Signed when a value is negative."""
        flag = _KIND_FLAG if min(values.values(), default=0) < 0 else 0
        body = b"".join(struct.pack("=II", self._string(n), v & 0xFFFFFFFF) for n, v in values.items())
        return self._add(name, _ENUM, len(values) | flag, 4, body)

    def enum64(self, name: str, values: Mapping[str, int]) -> int:
        """Signed when a value is negative."""
        flag = _KIND_FLAG if min(values.values(), default=0) < 0 else 0
        body = b"".join(
            struct.pack("=III", self._string(n), v & 0xFFFFFFFF, v >> 32 & 0xFFFFFFFF) for n, v in values.items()
        )
        return self._add(name, _ENUM64, len(values) | flag, 8, body)

    def typedef(self, name: str, of: int) -> int:
        return self._add(name, _TYPEDEF, 0, of)

    def const(self, of: int) -> int:
        return self._add("", _CONST, 0, of)

    def forward(self, name: str) -> int:
        """`struct NAME;`"""
        return self._add(name, _FWD, 0, 0)

    def function_type(self, parameters: int) -> int:
        return self._add("", _FUNC_PROTO, parameters, 0, struct.pack("=II", 0, 0) * parameters)

    def function(self, name: str, prototype: int) -> int:
        return self._add(name, _FUNC, 1, prototype)

    def tracepoint(self, name: str, arguments: int) -> int:
        """typedef void (*btf_trace_NAME)(void *, ...)."""
        return self.typedef(f"btf_trace_{name}", self.pointer(self.function_type(1 + arguments)))

    def one_of_each_other_kind(self) -> None:
        """Kinds that nobody asks for and everybody has to step over."""
        number = self.integer("unsigned char", 1)
        self._add("a_variable", _VAR, 0, number, struct.pack("=I", 1))
        self._add(".data", _DATASEC, 2, 16, struct.pack("=III", number, 0, 8) * 2)
        self._add("double", _FLOAT, 0, 8)
        self._add("a_tag", 17, 0, number, struct.pack("=i", -1))
        self._add("rcu", 18, 0, number)

    def _composite(self, kind: int, name: str, size: int, fields: Sequence[Field]) -> int:
        flag = _KIND_FLAG if any(field.width for field in fields) else 0
        body = b"".join(
            struct.pack("=III", self._string(f.name), f.type, f.width << 24 | f.bit if flag else f.bit) for f in fields
        )
        return self._add(name, kind, len(fields) | flag, size, body)

    def _add(self, name: str, kind: int, length: int, size_or_type: int, body: bytes = b"") -> int:
        info = kind << 24 | length
        self._types.append(struct.pack("=III", self._string(name), info, size_or_type) + body)
        return len(self._types)

    def _string(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = len(self._strings)
            self._strings += text.encode() + b"\0"
        return self._known[text]
