"""Which mapped files were named, each told once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ebtop.process.mappings import MappedFile
from ebtop.store.records import ModuleFacts
from ebtop.symbols.binary import Binary
from ebtop.text import printable

_TOLD_MAX = 4096
"""Files remembered as told; the one that was not seen for the longest is told again."""


class NewModules:
    """Collects the facts of files that frames lie in. One thread only."""

    def __init__(self) -> None:
        self._told: OrderedDict[MappedFile, ModuleFacts] = OrderedDict()
        self._new: list[ModuleFacts] = []

    @property
    def memory_bytes(self) -> int:
        return 500 * len(self._told)

    def note(self, file: MappedFile, binary: Binary | None, why_unreadable: Callable[[], str]) -> None:
        """A frame lies in this file; None = it can not be read."""
        name = file.label
        if not name or not (file.on_disk or binary is not None):
            return
        known = self._told.get(file)
        if known is not None:
            self._told.move_to_end(file)
            if binary is None or (known.build_id, known.symbols) == (binary.build_id.hex(), binary.symbols):
                return
        if binary is not None:
            facts = ModuleFacts(name, printable(file.path), binary.build_id.hex(), binary.symbols)
        else:
            facts = ModuleFacts(name, printable(file.path), "", f"unreadable: {why_unreadable()}")
        self._told[file] = facts
        self._new.append(facts)
        if len(self._told) > _TOLD_MAX:
            self._told.popitem(last=False)

    def take(self) -> tuple[ModuleFacts, ...]:
        """Those that were not told so far."""
        new, self._new = tuple(self._new), []
        return new
