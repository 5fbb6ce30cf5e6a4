"""Name what HotSpot compiled, from its code cache: no flag and no agent in the JVM."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import NamedTuple, TypeVar

from ebtop.hotspot.code_cache import CodeBlob, CodeHeap
from ebtop.hotspot.jvm import Jvm, find_libjvm, open_jvm
from ebtop.hotspot.vm_structs import UnknownVm
from ebtop.process.identity import Identity
from ebtop.process.memory import UnreadableMemory
from ebtop.process.processes import Process, Processes
from ebtop.store.records import Frame
from ebtop.text import printable

CHECK_S = 1.0
"""What was found at an address is looked at again after so long: code is thrown away and its place used again."""
_RETRY_S = 5.0
_JVMS_MAX = 32
"""JVMs whose memory is held open."""
_WITHOUT_MAX = 1024
_ADDRESSES_MAX = 20_000
_INTERPRETER = b"Interpreter"


class _Found(NamedTuple):
    blob: CodeBlob
    frame: Frame
    checked_at: float


class _Code:
    """The code cache of one process. What was read before it ended stays known."""

    def __init__(self, jvm: Jvm, clock: Callable[[], float]) -> None:
        self._jvm = jvm
        self._clock = clock
        self._heaps: list[CodeHeap] = []
        self._heaps_read_at = -CHECK_S
        self._by_address: dict[int, _Found] = {}

    @property
    def nbytes(self) -> int:
        return 20_000 + 600 * len(self._by_address)

    def close(self) -> None:
        self._jvm.memory.close()

    def frame(self, address: int) -> Frame | None:
        found = self._by_address.get(address)
        now = self._clock()
        if found is not None and now - found.checked_at < CHECK_S:
            return found.frame
        try:
            if found is not None and self._jvm.code_cache.blob(self._jvm.memory, found.blob.address) == found.blob:
                frame = found.frame
                self._by_address[address] = found._replace(checked_at=now)
                return frame
            return self._look_up(address, now)
        except UnreadableMemory:
            return found.frame if found is not None else None

    def _look_up(self, address: int, now: float) -> Frame | None:
        self._by_address.pop(address, None)
        heap = self._heap_of(address, now)
        blob = self._jvm.code_cache.blob_at(self._jvm.memory, heap, address) if heap is not None else None
        if blob is None:
            return None
        frame = self._named(blob)
        if len(self._by_address) >= _ADDRESSES_MAX:
            self._by_address.clear()
        self._by_address[address] = _Found(blob, frame, now)
        return frame

    def _heap_of(self, address: int, now: float) -> CodeHeap | None:
        heap = next((heap for heap in self._heaps if heap.low <= address < heap.high), None)
        if heap is None and now - self._heaps_read_at >= CHECK_S:
            self._heaps_read_at = now
            self._heaps = self._jvm.code_cache.heaps(self._jvm.memory)
            heap = next((heap for heap in self._heaps if heap.low <= address < heap.high), None)
        return heap

    def _named(self, blob: CodeBlob) -> Frame:
        if blob.method:
            return Frame(printable(self._jvm.methods.name(self._jvm.memory, blob.method)), "jit", "")
        if blob.name == _INTERPRETER:
            return Frame("[Java interpreter]", "interpreted", "")
        return Frame(f"[{printable(blob.name)}]", "jit", "")


_Key = tuple[int, Identity]
_Value = TypeVar("_Value")


class JavaNames:
    """Code caches by process. One thread only; holds the memory of the JVMs that were seen last open."""

    def __init__(self, processes: Processes, clock: Callable[[], float] = time.monotonic) -> None:
        self._processes = processes
        self._clock = clock
        self._codes: OrderedDict[_Key, _Code] = OrderedDict()
        self._without: OrderedDict[_Key, tuple[int, float]] = OrderedDict()
        """Processes that are no JVM or that can't be read: with these mappings (generation), until when."""

    @property
    def memory_bytes(self) -> int:
        return sum(code.nbytes for code in self._codes.values()) + 300 * len(self._without)

    def frame(self, process: Process, address: int) -> Frame | None:
        """What HotSpot generated at an address outside of all files; None where it is none of its code."""
        key = (process.pid, process.identity)
        code = self._codes.get(key)
        if code is None:
            code = self._open(key, process)
        return code.frame(address) if code is not None else None

    def _open(self, key: _Key, process: Process) -> _Code | None:
        generation, until = self._without.get(key, (0, 0.0))
        if not process.alive or (generation == process.generation and self._clock() < until):
            return None
        library = find_libjvm(process)
        try:
            jvm = open_jvm(self._processes, process, library) if library is not None else None
            until = inf
        except UnknownVm:
            jvm, until = None, inf
        except UnreadableMemory:
            # It may just be starting.
            jvm, until = None, self._clock() + _RETRY_S
        if jvm is None:
            _remember(self._without, key, (process.generation, until), _WITHOUT_MAX)
            return None
        code = _Code(jvm, self._clock)
        for old in _remember(self._codes, key, code, _JVMS_MAX):
            old.close()
        return code


def _remember(kept: OrderedDict[_Key, _Value], key: _Key, value: _Value, limit: int) -> list[_Value]:
    """Keep it as the newest; returns what had to go for it."""
    kept[key] = value
    kept.move_to_end(key)
    return [kept.popitem(last=False)[1] for _ in range(len(kept) - limit)]
