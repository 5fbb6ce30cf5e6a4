"""The thread that makes unwind tables, so that whoever follows processes and walks stacks never waits for one."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import NamedTuple

from ebtop.process.elf import BytesReader, ElfError, ElfFile
from ebtop.unwind.table import UnwindTable, build
from ebtop.unwind.table_cache import TableCache

NOTHING = UnwindTable(0, b"", b"", b"")
"""Of what describes none of its code."""


class Made(NamedTuple):
    """A table that was asked for."""

    key: object
    table: UnwindTable


class TableMaker:
    """Makes one table at a time. `start`, `ask`, `take` and `stop` are for one other thread."""

    def __init__(self, cache: TableCache, log: Callable[[str], None]) -> None:
        self._cache = cache
        self._log = log
        self._asked: queue.SimpleQueue[tuple[object, int | bytes] | None] = queue.SimpleQueue()
        self._made: queue.SimpleQueue[Made] = queue.SimpleQueue()
        self.busy = False
        """Whether a table was asked for and not taken yet."""
        self.done = threading.Event()
        """Set when there is something to take."""
        self._thread = threading.Thread(target=self._run, name="ebtop-tables", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask(self, key: object, file: int | bytes) -> None:
        """Make a table of an open file, which is closed afterwards, or of an image in memory."""
        self.busy = True
        self._asked.put((key, file))

    def take(self) -> Made | None:
        """What was asked for, once it is made."""
        self.done.clear()
        try:
            made = self._made.get_nowait()
        except queue.Empty:
            return None
        self.busy = False
        return made

    def stop(self) -> None:
        """Ends after what it is at; that is not waited for."""
        self._asked.put(None)

    def _run(self) -> None:
        while (work := self._asked.get()) is not None:
            key, file = work
            table = NOTHING
            try:
                table = build(ElfFile(BytesReader(file))) if isinstance(file, bytes) else self._cache.table(file)
            except ElfError:
                pass
            except Exception as error:
                # Anybody can map any file: one that is too odd must not be the last.
                self._log(f"an unwind table could not be made: {type(error).__name__}: {error}")
            finally:
                if isinstance(file, int):
                    os.close(file)
            self._made.put(Made(key, table))
            self.done.set()
