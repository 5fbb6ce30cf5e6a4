"""Where a program depends on the kernel, and how the loader fills that in.

In C a dependency is a macro (OFFSET, HAS, ENUM... in bpf/ebtop.h) whose first two arguments are names. The
build gives every pair a number; the compiled program holds `MARK | number` as a 64-bit immediate; the loader
replaces it by what the running kernel's BTF, a tracepoint's format file or a load-time constant says.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ebtop.errors import EbtopError
from ebtop.kernel.btf import Btf, Member
from ebtop.kernel.tracefs import TracepointField

MARK = 0xEB70F000_00000000
_MARK_HIGH_WORD = MARK >> 32
_LD_IMM64 = 0x18
_PSEUDO_MAP_FD = 1
_INSN_BYTES = 8

# C macro -> the relocations one use of it needs
_MACROS = {
    "OFFSET": ("OFFSET",),
    "READ": ("OFFSET",),
    "HAS": ("HAS",),
    "READ_BITS": ("BITS_BYTE", "BITS_LEFT", "BITS_RIGHT"),
    "ENUM": ("ENUM",),
    "HAS_ENUM": ("HAS_ENUM",),
    "TP_FIELD": ("TP_FIELD",),
    "READ_TP_FIELD": ("TP_FIELD",),
    "TP_ARGS": ("TP_ARGS",),
    "CONSTANT": ("CONSTANT",),
}
_USE = re.compile(r"\b(" + "|".join(_MACROS) + r")\(\s*(\w+)\s*,\s*(\w+)\s*[,)]")
_COMMENT_OR_DEFINE = re.compile(r"/\*.*?\*/|^[ \t]*#[ \t]*define(?:\\\n|[^\n])*", re.DOTALL | re.MULTILINE)


class Relocation(NamedTuple):
    """One number that the kernel decides."""

    kind: str
    scope: str
    """Struct, enum, tracepoint category, tracepoint or probe."""
    name: str
    """Member, enumerator, event__field or constant."""


def scan(source: str) -> list[Relocation]:
    """Every relocation that a C source uses, in the order of first use; macro definitions are not uses."""
    code = _COMMENT_OR_DEFINE.sub("", source)
    found: dict[Relocation, None] = {}
    for macro, scope, name in _USE.findall(code):
        for kind in _MACROS[macro]:
            found[Relocation(kind, scope, name)] = None
    return list(found)


def header(relocations: Iterable[Relocation]) -> str:
    """relocations.h: a number for each relocation."""
    return "".join(f"#define RELOC_{r.kind}_{r.scope}__{r.name} {i}\n" for i, r in enumerate(relocations))


class Target:
    """What a program is fitted to: a kernel's types, its tracepoint formats, and this run's constants."""

    def __init__(
        self,
        btf: Btf,
        tracepoint_fields: Callable[[str], Mapping[str, TracepointField]],
        constants: Mapping[str, int],
    ) -> None:
        """`tracepoint_fields` maps "category:event" to its fields and may raise OSError when there is none."""
        self.btf = btf
        self._tracepoint_fields = tracepoint_fields
        self._constants = constants
        self._structs: dict[str, int] = {}
        self._members: dict[tuple[str, str], Member | None] = {}
        self._enums: dict[str, dict[str, int] | None] = {}

    def resolve(self, relocations: Iterable[Relocation], constants: Mapping[str, int] | None = None) -> list[int]:
        """The value of each relocation. What the kernel lacks is 0, and its HAS is 0 as well.

        `constants` count for these alone, and before those of this run.
        Raises EbtopError when something is absent and the program never asks whether its struct or enum has what
        it needs: such a program would read at offset 0 and believe it.
        """
        relocations = list(relocations)
        unseen = {r.scope for r in relocations} - self._structs.keys()
        self._structs.update(dict.fromkeys(unseen, 0))
        self._structs.update(self.btf.structs(unseen))
        self._check_present(relocations)
        own = {Relocation("CONSTANT", *name.split(".")): value for name, value in (constants or {}).items()}
        return [own[r] if r in own else getattr(self, "_" + r.kind.lower())(r.scope, r.name) for r in relocations]

    def _check_present(self, relocations: list[Relocation]) -> None:
        asked = {r.scope for r in relocations if r.kind in ("HAS", "HAS_ENUM")}
        for kind, scope, name in relocations:
            if scope in asked:
                continue
            if (kind in ("OFFSET", "BITS_BYTE") and not self._has(scope, name)) or (
                kind == "ENUM" and not self._has_enum(scope, name)
            ):
                raise EbtopError(f"this kernel has no {scope}.{name}", "not in its BTF", "report this kernel's version")

    def _member(self, struct_name: str, name: str) -> Member | None:
        key = (struct_name, name)
        if key not in self._members:
            type_id = self._structs[struct_name]
            self._members[key] = self.btf.member(type_id, name) if type_id else None
        return self._members[key]

    def _enum_value(self, enum: str, name: str) -> int | None:
        if enum not in self._enums:
            self._enums[enum] = self.btf.enum_values(enum)
        return (self._enums[enum] or {}).get(name)

    def _offset(self, struct_name: str, name: str) -> int:
        member = self._member(struct_name, name)
        return member.bit_offset // 8 if member else 0

    def _has(self, struct_name: str, name: str) -> int:
        return int(self._member(struct_name, name) is not None)

    def _bits(self, struct_name: str, name: str) -> tuple[int, int, int]:
        """(byte to read 8 bytes from, shift left, shift right) for a little-endian bit-field or plain member."""
        member = self._member(struct_name, name)
        if member is None:
            return 0, 0, 63
        width = member.bit_width or member.byte_size * 8
        byte = member.bit_offset // 64 * 8
        start = member.bit_offset - byte * 8
        if start + width > 64:
            byte, start = member.bit_offset // 8, member.bit_offset % 8
        return byte, 64 - start - width, 64 - width

    def _bits_byte(self, struct_name: str, name: str) -> int:
        return self._bits(struct_name, name)[0]

    def _bits_left(self, struct_name: str, name: str) -> int:
        return self._bits(struct_name, name)[1]

    def _bits_right(self, struct_name: str, name: str) -> int:
        return self._bits(struct_name, name)[2]

    def _enum(self, enum: str, name: str) -> int:
        return self._enum_value(enum, name) or 0

    def _has_enum(self, enum: str, name: str) -> int:
        return int(self._enum_value(enum, name) is not None)

    def _tp_field(self, category: str, name: str) -> int:
        event, _, field = name.rpartition("__")
        try:
            fields = self._tracepoint_fields(f"{category}:{event}")
        except OSError:
            return 0  # no such tracepoint: no program will be attached to it
        if field not in fields:
            what = f"{category}:{event} has no field {field}"
            raise EbtopError(what, "not in its format file", "report this kernel's version")
        return fields[field].offset

    def _tp_args(self, tracepoint: str, _: str) -> int:
        return self.btf.raw_tracepoint_args(tracepoint) or 0

    def _constant(self, probe: str, name: str) -> int:
        try:
            return self._constants[f"{probe}.{name}"]
        except KeyError:
            raise EbtopError("a BPF program wants a constant nobody gave", f"{probe}.{name}", "report this") from None


def replace_maps(code: bytes, new: Mapping[int, int]) -> bytes:
    """The code with the number of every map it loads replaced (positions by file descriptors, or the reverse)."""
    result = bytearray(code)
    at = 0
    while at < len(result):
        if result[at] == _LD_IMM64:
            if result[at + 1] >> 4 == _PSEUDO_MAP_FD:
                struct.pack_into("<I", result, at + 4, new[struct.unpack_from("<I", result, at + 4)[0]])
            at += _INSN_BYTES
        at += _INSN_BYTES
    return bytes(result)


def marked(code: bytes | bytearray) -> list[tuple[int, int]]:
    """(byte position of the instruction, relocation number) of every marked immediate, in order."""
    found = []
    at = 0
    while at < len(code):
        if code[at] == _LD_IMM64:
            low, high = struct.unpack_from("<I", code, at + 4)[0], struct.unpack_from("<I", code, at + 12)[0]
            if high == _MARK_HIGH_WORD:
                found.append((at, low))
            at += _INSN_BYTES
        at += _INSN_BYTES
    return found


def patch(code: bytearray, values: list[int]) -> None:
    """Replace every marked immediate by the value of its relocation."""
    for at, number in marked(code):
        value = values[number] & 0xFFFFFFFF_FFFFFFFF
        struct.pack_into("<I", code, at + 4, value & 0xFFFFFFFF)
        struct.pack_into("<I", code, at + 12, value >> 32)
