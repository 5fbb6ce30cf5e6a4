"""The wire format of protocol buffers, as far as writing pprof profiles takes it."""

from __future__ import annotations

from collections.abc import Iterable

from ebtop.text import clean

_VARINT, _BYTES = 0, 2
_SMALL = tuple([bytes((n,)) for n in range(128)])


def varint(value: int) -> bytes:
    """An integer of 0 to 2**64-1, seven bits a byte, the lowest first."""
    if value < 128:
        return _SMALL[value]
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """An integer or bool field; nothing for 0, which is what readers take a missing one for."""
    return varint(field << 3 | _VARINT) + varint(value) if value else b""


def message(field: int, data: bytes) -> bytes:
    """A string or an embedded message."""
    return varint(field << 3 | _BYTES) + varint(len(data)) + data


def packed(field: int, values: Iterable[bytes]) -> bytes:
    """A repeated integer field, of varints that are encoded already."""
    return message(field, b"".join(values))


class Strings:
    """A table in which each string stands once; number 0 is the empty one."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}

    def __call__(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def all(self) -> list[bytes]:
        """By number, printable."""
        return [clean(text).encode() for text in self._numbers]
