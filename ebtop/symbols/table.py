"""A sorted table of functions that takes 12 bytes a symbol plus the packed names."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable

from ebtop.process.pause import pause
from ebtop.symbols.packed import PackedStrings

SPAN = 1 << 32
"""Symbols of one table lie within 4 GiB of its base, so that 4 bytes hold an address."""
_PAUSE_SYMBOLS = 3000
"""About a millisecond's work."""
_ALIASES_MAX = 64
_RECENT_MAX = 512
"""Names kept unpacked: in a hot function every instruction is a new address, and unpacking is most of naming one."""
_NESTED_MAX = 16
"""How many symbols back a function that encloses others (assembly with inner labels) is looked for."""


class SymbolTable:
    """Functions by address. Made by `TableBuilder`; what it says does not change."""

    __slots__ = ("_base", "_names", "_recent", "_sizes", "_starts", "_strings")

    def __init__(
        self, base: int, starts: array[int], sizes: array[int], names: array[int], strings: PackedStrings
    ) -> None:
        self._base = base
        self._starts = starts
        self._sizes = sizes
        self._names = names
        self._strings = strings
        self._recent: dict[int, bytes] = {}
        """By offset."""

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def nbytes(self) -> int:
        """Bytes of memory taken."""
        arrays = (self._starts, self._sizes, self._names)
        return sum(len(a) * a.itemsize for a in arrays) + self._strings.nbytes

    def name(self, address: int) -> bytes | None:
        """The function that covers an address, by its most readable alias; None when there is none."""
        at = address - self._base
        starts = self._starts
        index = bisect_right(starts, at) - 1
        for i in range(index, max(index - _NESTED_MAX, -1), -1):
            if at - starts[i] < self._sizes[i]:
                return self._best_name(starts[i], at)
        return None

    def extent(self, address: int) -> tuple[int, int]:
        """[begin, end) around an address, all of which `name` answers alike."""
        at = address - self._base
        starts, sizes = self._starts, self._sizes
        index = bisect_right(starts, at) - 1
        end = starts[index + 1] if index + 1 < len(starts) else SPAN
        begin = 0
        if index >= 0 and at - starts[index] < sizes[index]:
            begin = starts[index]
            aliases = range(bisect_left(starts, begin), index + 1)
            end = min(end, *[begin + sizes[i] for i in aliases if at - begin < sizes[i]])
            begin = max(begin, *[begin + sizes[i] for i in aliases if at - begin >= sizes[i]], 0)
        else:
            for i in range(index, max(index - _NESTED_MAX, -1), -1):
                if at - starts[i] < sizes[i]:
                    return address, address + 1
                begin = max(begin, starts[i] + sizes[i])
        return self._base + begin, self._base + end

    def next_start(self, address: int) -> int | None:
        """Address of the first function that begins after an address."""
        index = bisect_right(self._starts, address - self._base)
        return self._base + self._starts[index] if index < len(self._starts) else None

    def _best_name(self, start: int, at: int) -> bytes:
        first = bisect_left(self._starts, start)
        last = min(bisect_right(self._starts, start), first + _ALIASES_MAX)
        aliases = [i for i in range(first, last) if at - start < self._sizes[i]]
        return best_alias([self._string(self._names[i]) for i in aliases])

    def _string(self, offset: int) -> bytes:
        string = self._recent.get(offset)
        if string is None:
            if len(self._recent) >= _RECENT_MAX:
                self._recent.clear()
            string = self._recent[offset] = self._strings.string(offset)
        return string


class TableBuilder:
    """Collects functions in any order and sorts them in slices, so that the peak is near the result."""

    def __init__(self, base: int, strings: PackedStrings) -> None:
        self._base = base
        self._strings = strings
        self._sizes = array("I")
        self._names = array("I")
        self._slices: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))

    def add(self, address: int, size: int, name_offset: int) -> None:
        """Take one function; size 0 = up to the next one. What lies outside the table's span is left out."""
        at = address - self._base
        if 0 <= at < SPAN and 0 <= name_offset < SPAN:
            self._slices[at >> 20].append(at << 32 | len(self._sizes))
            self._sizes.append(min(size, SPAN - 1))
            self._names.append(name_offset)

    def __len__(self) -> int:
        return len(self._sizes)

    def build(self, region_end: Callable[[int], int] | None = None) -> SymbolTable:
        """Sort. `region_end(address)` bounds functions of unknown size, which are never found without it."""
        starts, sizes, names = array("I"), array("I"), array("I")
        paused_at = 0
        for key in sorted(self._slices):
            if len(starts) - paused_at > _PAUSE_SYMBOLS:
                paused_at = len(starts)
                pause()
            for packed in sorted(self._slices.pop(key)):
                index = packed & 0xFFFFFFFF
                starts.append(packed >> 32)
                sizes.append(self._sizes[index])
                names.append(self._names[index])
        if region_end is not None and 0 in sizes:
            self._close_open_functions(starts, sizes, region_end)
        return SymbolTable(self._base, starts, sizes, names, self._strings)

    def _close_open_functions(self, starts: array[int], sizes: array[int], region_end: Callable[[int], int]) -> None:
        following = SPAN - 1
        for i in range(len(starts) - 1, -1, -1):
            if not i % _PAUSE_SYMBOLS:
                pause()
            if i + 1 < len(starts) and starts[i + 1] != starts[i]:
                following = starts[i + 1]
            if not sizes[i]:
                end = min(following, region_end(self._base + starts[i]) - self._base)
                sizes[i] = max(end - starts[i], 0)


def best_alias(names: Iterable[bytes]) -> bytes:
    """Of several names of one address the one people know: fewest leading underscores, then the shortest."""
    return min(names, key=lambda name: (len(name) - len(name.lstrip(b"_")), len(name), name))
