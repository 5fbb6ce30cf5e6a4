"""What is known of the files that frames lie in."""

from __future__ import annotations

from collections.abc import Iterable

from ebtop.store.records import ModuleFacts

MODULES_MAX = 4096
"""Files kept; a node runs some hundreds. About 400 bytes each."""


class Modules:
    """The latest facts of each file, by name, path and build id; the first seen are forgotten first."""

    def __init__(self) -> None:
        self._by_file: dict[tuple[str, str, str], ModuleFacts] = {}

    def add(self, facts: Iterable[ModuleFacts]) -> None:
        for each in facts:
            self._by_file[each.name, each.path, each.build_id] = each
        while len(self._by_file) > MODULES_MAX:
            del self._by_file[next(iter(self._by_file))]

    def all(self) -> tuple[ModuleFacts, ...]:
        """The latest first seen last."""
        return tuple(self._by_file.values())
