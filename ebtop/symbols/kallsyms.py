"""Functions of /proc/kallsyms, kept as its lines, compressed: there are 100,000 and more, and a profile shows a few
hundred. Only the lines around an address that is asked for are looked at."""

from __future__ import annotations

import re
import zlib
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ebtop.process.pause import pause

DIGITS = 16
"""Of an address, which a line begins with: "ffffffff81000000 T name", and for modules "\\t[module]" after that."""
_PIECE_BYTES = 1 << 13
_PIECES_OPEN = 16
_FUNCTION_TYPES = b"tTwW"
_TOLD = re.compile(rb"^(?!0+ )[0-9a-f]{%d} [%s] " % (DIGITS, _FUNCTION_TYPES), re.MULTILINE)
"""Matches what the line of a function begins with, unless its address is hidden."""
_FUNCTION_MAX = 1 << 16
"""kallsyms has no sizes: this far past its last symbol an address has no name any more."""


class KernelFunction(NamedTuple):
    """Where it is, as far as the lines around an address tell."""

    names: list[bytes]
    """As "name" or "name\\t[module]"."""
    begin: int
    end: int
    """Up to here no other one begins."""


class KernelFunctions:
    """Kernel functions by address."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        """Lines, compressed."""
        self._firsts: list[bytes] = []
        """The first line of each piece, up to its address."""
        self._open: OrderedDict[int, list[bytes]] = OrderedDict()
        """The lines of the pieces that were looked at last."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken."""
        texts = [*self.pieces, *(line for lines in self._open.values() for line in lines)]
        return sum(map(len, texts)) + 49 * len(texts) + (DIGITS + 41) * len(self._firsts)

    def append(self, lines: bytes) -> bool:
        """Take lines that go on where the last ended, in order of address. False: they do not, and are not taken."""
        if _TOLD.search(lines):
            addresses = [line[:DIGITS] for line in lines.splitlines()]
            if addresses != sorted(addresses) or (self._firsts and addresses[0] < self._firsts[-1]):
                return False
            self._firsts.append(addresses[0])
            self.pieces.append(zlib.compress(lines, 1))
        return True

    def find(self, address: int) -> KernelFunction | None:
        """The function that begins at or nearest below an address."""
        names: list[bytes] = []
        start = -1
        for line in self._back_from(address):
            begin = int(line[:DIGITS], 16)
            if address - begin >= _FUNCTION_MAX or (names and begin != start):
                break
            if line[DIGITS + 1] in _FUNCTION_TYPES:
                names.append(line[DIGITS + 3 :])
                start = begin
        if not names:
            return None
        return KernelFunction(names[::-1], start, min(self._end_after(address), start + _FUNCTION_MAX))

    def _end_after(self, address: int) -> int:
        """Where the next function begins, or the piece ends that the address lies in."""
        above = _above(address)
        lines = self._lines(bisect_left(self._firsts, above) - 1)
        for line in lines[bisect_left(lines, above) :]:
            if line[DIGITS + 1] in _FUNCTION_TYPES:
                return int(line[:DIGITS], 16)
        return max(int(lines[-1][:DIGITS], 16), address + 1)

    def _back_from(self, address: int) -> Iterator[bytes]:
        """Lines, from the last one that is of this address or a lower one."""
        above = _above(address)
        for index in range(bisect_left(self._firsts, above) - 1, -1, -1):
            lines = self._lines(index)
            for at in range(bisect_left(lines, above) - 1, -1, -1):
                yield lines[at]

    def _lines(self, index: int) -> list[bytes]:
        lines = self._open.pop(index, None)
        if lines is None:
            lines = zlib.decompress(self.pieces[index]).splitlines()
            if len(self._open) >= _PIECES_OPEN:
                self._open.popitem(last=False)
        self._open[index] = lines
        return lines


def _above(address: int) -> bytes:
    """What comes after the lines of an address, and before those of the next one: a space ends the address in them."""
    return b"%0*x!" % (DIGITS, address)


def functions(lines: bytes) -> list[bytes]:
    """Those lines that are of functions whose address is told."""
    return [line for line in lines.splitlines() if _TOLD.match(line)]


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines, well below a millisecond's work at a time."""
    while lines := file.read(_PIECE_BYTES) + file.readline():
        yield lines
        pause()
