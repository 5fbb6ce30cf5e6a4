"""Names of Python functions that the kernel's walk read and hands over: taken out of its ring."""

from __future__ import annotations

import contextlib

from ebtop.cpython.code_object import Text
from ebtop.cpython.told import Told, ToldFunctions
from ebtop.kernel.artifact import Layout
from ebtop.kernel.maps import Map
from ebtop.kernel.ring import Ring


class CodeNames:
    """The ring they come through. One thread only."""

    def __init__(self, ring: Map, layout: Layout, functions: ToldFunctions) -> None:
        """Raises OSError when the ring can't be mapped."""
        self._ring = Ring(ring, layout)
        self._functions = functions
        self.come = False
        """There were some the last time."""

    def close(self) -> None:
        self._ring.close()

    def take(self) -> None:
        """Keep those that came since the last time."""
        self.come = False
        for record in self._ring.drain():
            self.come = True
            word, pid, line, name_length, name_kind, file_length, file_kind, name, file = record
            name_text = Text(name[: name_length * name_kind], name_kind, name_length)
            file_text = Text(file[: file_length * file_kind], file_kind, file_length)
            with contextlib.suppress(ValueError):  # What processes have in their memory is arbitrary.
                self._functions.put(Told(word, pid, line, name_text, file_text))
