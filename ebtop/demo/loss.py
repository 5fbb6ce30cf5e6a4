"""Lose what arrives at a socket, before TCP sees it, so that the peer sends it again.

A classic BPF filter on the socket does it: no nftables, no tc. What a listening socket has, those it accepts inherit.
A filter sees the segment from its TCP header on, and drops it by answering 0.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from ebtop.kernel import syscall

_SO_ATTACH_FILTER = 26
_LOAD_LENGTH, _LOAD_WORD, _LOAD_BYTE = 0x80, 0x20, 0x30
_JUMP_IF_ABOVE, _JUMP_IF_AT_LEAST, _JUMP_IF_BITS = 0x25, 0x35, 0x45
_RETURN = 0x06
_RANDOM = 0xFFFFF000 + 56
"""SKF_AD_OFF + SKF_AD_RANDOM: where a load gives a random word."""
_TCP_FLAGS, _SYN = 13, 0x02
_ALL = 0xFFFFFFFF
_HEADERS = 60
"""A TCP header with all its options: what is longer carries data."""


class Loss(NamedTuple):
    """Which share of the segments gets lost, 0..1."""

    syn: float = 0.0
    """Of those that open a connection: a SYN, or the SYN-ACK that answers it."""
    data: float = 0.0
    """Of those with a payload. Bare acknowledgements always arrive."""


NONE, ALL = Loss(), Loss(1.0, 1.0)


def lose(where: socket.socket, loss: Loss) -> None:
    """From now on, instead of what was lost there before."""
    program = b"".join((
        _step(_LOAD_BYTE, _TCP_FLAGS),
        _step(_JUMP_IF_BITS, _SYN, 0, 3),
        _step(_LOAD_WORD, _RANDOM),
        _step(_JUMP_IF_AT_LEAST, _below(loss.syn), 6, 0),
        _step(_RETURN, 0),
        _step(_LOAD_LENGTH, 0),
        _step(_JUMP_IF_ABOVE, _HEADERS, 0, 3),
        _step(_LOAD_WORD, _RANDOM),
        _step(_JUMP_IF_AT_LEAST, _below(loss.data), 1, 0),
        _step(_RETURN, 0),
        _step(_RETURN, _ALL),
    ))  # fmt: skip
    steps = bytearray(program)
    where.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(steps) // 8, syscall.pointer(steps)))


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    """struct sock_filter; jumps count the steps they skip."""
    return struct.pack("=HBBI", code, then, otherwise, value)


def _below(share: float) -> int:
    """The word that a random one is below with this probability."""
    return min(_ALL, round(share * _ALL))
