"""What steers the kernel's walker beside its tables: struct unwind_control of bpf/unwind.h."""

from __future__ import annotations

import mmap
import struct

from ebtop.kernel.maps import Map

_EPOCH, _CREDIT = struct.Struct("=I"), struct.Struct("=i")
_EPOCH_AT, _CREDIT_AT = 0, 4


class Control:
    """One page that the kernel's walker reads. One thread only."""

    def __init__(self, control: Map) -> None:
        """Raises OSError when it can't be mapped."""
        self._page = mmap.mmap(control.fd, mmap.PAGESIZE, mmap.MAP_SHARED)
        self._epoch = 0

    def close(self) -> None:
        self._page.close()

    def void_cache(self) -> None:
        """Have all rules looked up afresh: a table goes, or who uses which is to be seen."""
        self._epoch = self._epoch + 1 & 0xFFFFFFFF
        _EPOCH.pack_into(self._page, _EPOCH_AT, self._epoch)

    @property
    def credit(self) -> int:
        """How many stacks may still be handed over."""
        credit: int = _CREDIT.unpack_from(self._page, _CREDIT_AT)[0]
        return max(0, credit)

    @credit.setter
    def credit(self, credit: int) -> None:
        _CREDIT.pack_into(self._page, _CREDIT_AT, credit)
