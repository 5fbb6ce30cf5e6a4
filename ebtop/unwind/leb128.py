"""Numbers of variable length, as DWARF writes them."""

from __future__ import annotations

_BITS_MAX = 63


def unsigned(data: bytes, at: int) -> tuple[int, int]:
    """The number at an offset, and the offset behind it. Raises IndexError at the end, ValueError when too long."""
    byte = data[at]
    at += 1
    value = byte & 0x7F
    shift = 7
    while byte & 0x80:
        if shift > _BITS_MAX:
            raise ValueError("number too long")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, at


def signed(data: bytes, at: int) -> tuple[int, int]:
    """Like `unsigned`, in two's complement."""
    start = at
    value, at = unsigned(data, at)
    bits = 7 * (at - start)
    return value - (1 << bits) if value >> (bits - 1) & 1 else value, at
