"""What is remembered of the processes that were seen, so that they still resolve after they ended."""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from ebtop.process.identity import Identity, mount_namespace, read_identity
from ebtop.process.mappings import MappedFile, Mapping, Mappings, read_mappings

PROCESSES_MAX = 1024
CHECK_S = 0.5
"""A pid is looked at again at most this often; samples are drained once a second."""
NOTES_PER_S = 100
"""Processes noted at most in a second (each costs 50 to 100 us): a storm of execs must not cost more."""

_ENDED = Identity(0, 0, 0, False)
"""Of a process that was gone when it was first heard of."""

_generations = itertools.count(1)


class Process:
    """One program that a pid ran, with its mappings when they were last read."""

    __slots__ = (
        "alive",
        "checked_at",
        "generation",
        "identity",
        "mappings",
        "mount_ns",
        "pid",
        "previous",
        "program",
        "read_at",
        "unreadable",
    )

    def __init__(
        self, pid: int, identity: Identity, mappings: Mappings, previous: Mappings, now: float, *, alive: bool = True
    ) -> None:
        self.pid = pid
        self.identity = identity
        self.mappings = mappings
        self.previous = previous
        """Before the last change: samples taken before a dlclose or exec resolve there."""
        exe = identity.exe_inode
        self.program = next((m.file.label for m in mappings if exe and m.file.inode == exe), "")
        """File name of what it runs; "" where that is not known."""
        self.mount_ns = mount_namespace(pid)
        self.checked_at = self.read_at = now
        self.alive = alive
        self.generation = next(_generations)
        """Another number for other mappings, never used twice."""
        self.unreadable: set[MappedFile] = set()
        """Files that could not be opened since the last check."""

    @classmethod
    def ended(cls, pid: int) -> Process:
        """One that nobody looked at while it lived."""
        return cls(pid, _ENDED, Mappings(), Mappings(), time.monotonic(), alive=False)

    @property
    def nbytes(self) -> int:
        return 600 + self.mappings.nbytes + self.previous.nbytes

    def locate(self, address: int) -> tuple[int, int] | None:
        """The number of the mapping that an address lies in, and which byte of its file that is.

        The number is negative for what was mapped before the last change.
        """
        located = self.mappings.locate(address)
        if located is not None:
            return located
        located = self.previous.locate(address)
        return (~located[0], located[1]) if located is not None else None

    def mapping(self, number: int) -> Mapping:
        """The mapping with a number that `locate` gave."""
        return self.mappings[number] if number >= 0 else self.previous[~number]


class Processes:
    """Processes by pid, the least recently used forgotten first. One thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_pid: OrderedDict[int, Process] = OrderedDict()
        self._notes_left = float(NOTES_PER_S)
        self._noted_at = clock()

    def __len__(self) -> int:
        return len(self._by_pid)

    @property
    def memory_bytes(self) -> int:
        return sum(p.nbytes for p in self._by_pid.values())

    def get(self, pid: int) -> Process | None:
        """The process, looked at again when the last time was a while ago; None when never seen alive."""
        known = self._by_pid.get(pid)
        if known is not None:
            self._by_pid.move_to_end(pid)
            if self._clock() - known.checked_at < CHECK_S:
                return known
        return self._update(pid, known, reread=False)

    def note(self, pid: int) -> Process | None:
        """Remember a process that just started or executed. Does nothing beyond NOTES_PER_S."""
        now = self._clock()
        self._notes_left = min(self._notes_left + (now - self._noted_at) * NOTES_PER_S, NOTES_PER_S)
        self._noted_at = now
        if self._notes_left >= 1:
            self._notes_left -= 1
            return self._update(pid, self._by_pid.get(pid), reread=True)
        return None

    def learn(self, pid: int, found: Mappings) -> None:
        """Take what a process that ended, or executed another program, had mapped until then."""
        now = self._update(pid, self._by_pid.get(pid), reread=True)
        if now is None or not len(now.mappings):
            identity = now.identity if now is not None else _ENDED
            self._keep(Process(pid, identity, found, Mappings(), self._clock(), alive=False))
        elif now.mappings != found:
            self._keep(Process(pid, now.identity, now.mappings, found, self._clock(), alive=now.alive))

    def reread(self, process: Process) -> Process:
        """Read its mappings again, because an address is not among them; at most each CHECK_S."""
        if not process.alive or self._clock() - process.read_at < CHECK_S:
            return process
        return self._update(process.pid, process, reread=True) or process

    def forget(self, pid: int) -> None:
        self._by_pid.pop(pid, None)

    def in_mount_namespace(self, mount_ns: int) -> Iterator[int]:
        """Pids, believed to be alive, that share a mount namespace; none for 0, which stands for one not known."""
        if not mount_ns:
            return iter(())
        return (p.pid for p in reversed(self._by_pid.values()) if p.alive and p.mount_ns == mount_ns)

    def _update(self, pid: int, known: Process | None, *, reread: bool) -> Process | None:
        now = self._clock()
        identity = read_identity(pid)
        if known is not None:
            known.checked_at = now
            known.unreadable.clear()
        if identity is None:
            if known is not None:
                known.alive = False
            return known
        same = known is not None and known.identity.start_time in (_ENDED.start_time, identity.start_time)
        if known is not None and same and known.identity == identity and not reread:
            return known
        try:
            mappings = read_mappings(pid)
        except OSError:
            mappings = Mappings()
        if known is not None and same:
            known.read_at = now
            # A process that is ending has no mappings any more: what they were is still what counts.
            if not len(mappings) or mappings == known.mappings:
                return known
        previous = known.mappings if known is not None and same else Mappings()
        return self._keep(Process(pid, identity, mappings, previous, now))

    def _keep(self, process: Process) -> Process:
        self._by_pid[process.pid] = process
        self._by_pid.move_to_end(process.pid)
        if len(self._by_pid) > PROCESSES_MAX:
            self._by_pid.popitem(last=False)
        return process
