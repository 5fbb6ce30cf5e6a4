"""Programs whose stacks are hard to walk, and what to hold against what was walked."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from ebtop.process.mappings import Mappings
from ebtop.process.places import PLACE_IN_FILE, Files, split
from ebtop.store.records import StackRecord
from tests.lab import build
from tests.lab.process import Workload

SHAPES = ("recursion", "variable_array", "allocated", "aligned", "sort", "clock", "library", "signal")
COMM = "ebt-shapes"
_FLAGS = (*build.NO_FRAME_POINTERS, "-Wl,--no-as-needed", "-lm", "-ldl")
_RESTORE = bytes.fromhex("48c7c00f0000000f05")
"""mov $15, %rax; syscall: where a signal handler returns to."""
_CALL = re.compile(
    rb"(?s).*(?:\xe8.{4}"  # call rel32
    rb"|\xff[\xd0-\xd7]|\xff[\x10-\x13\x16\x17]|\xff[\x14][\x00-\xff]"  # call *reg, *(reg), *(sib)
    rb"|\xff[\x50-\x53\x55-\x57].|\xff\x54.."  # *disp8(reg), *disp8(sib)
    rb"|\xff[\x15\x90-\x93\x95-\x97].{4}|\xff\x94.{5}|\xff\x14\x25.{4}|\xff\x14[\x05-\xff].{4})\Z"
)


class Shapes:
    """tests/lab/c/stack_shapes.c, without frame pointers."""

    def __init__(self, *arguments: object, program: Path | None = None) -> None:
        self.program = program or shapes_program()
        self._workload = Workload([self.program, *map(str, arguments)])
        self.pid: int = self._workload.read()["pid"]

    def __enter__(self) -> Shapes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._workload.stop()

    def children(self) -> int:
        """How many there are, once there are all."""
        return int(self._workload.read()["children"])

    def shares(self) -> dict[str, float]:
        """Ends it; the share of its CPU time below the function of each shape."""
        self._workload.signal(signal.SIGTERM)
        said = self._workload.read()
        return {name: seconds / said["cpu_s"] for name, seconds in said["functions"].items()}


def shapes_program() -> Path:
    return build.binary("stack_shapes", COMM, _FLAGS)


def chain_program() -> Path:
    return build.binary("library_chain", "ebt-chain", _FLAGS)


def chain_library() -> Path:
    return build.binary("library_chain", "hop.so", (*_FLAGS, "-shared", "-fPIC"))


def samples(records: Iterable[StackRecord]) -> int:
    return sum(record.samples for record in records)


def complete(records: Iterable[StackRecord]) -> float:
    """The share of samples whose stack is whole."""
    found = list(records)
    return samples(r for r in found if r.complete) / samples(found)


def cut_by(records: Iterable[StackRecord]) -> dict[str, int]:
    """Samples by the reason they are cut for."""
    found: dict[str, int] = {}
    for record in records:
        if record.cut:
            found[record.cut] = found.get(record.cut, 0) + record.samples
    return found


def in_process(user: Sequence[int], files: Files, mappings: Mappings) -> tuple[int, ...]:
    """A stack with the addresses in a process for places in files; AssertionError for one that it has not mapped."""
    return tuple([_address(at, files, mappings) if at >= PLACE_IN_FILE else at for at in user])


def _address(place: int, files: Files, mappings: Mappings) -> int:
    number, offset = split(place)
    known = files.get(number)
    assert known is not None
    found = [m for m in mappings if m.file == known.mapping.file and 0 <= offset - m.offset < m.end - m.start]
    assert len(found) == 1, (known, offset)
    return found[0].start + offset - found[0].offset


def without_call(addresses: tuple[int, ...], read: Callable[[int, int], bytes]) -> list[int]:
    """Return addresses of a stack, leaf first, that no call instruction stands before.

    `read` gives so many bytes at an address. Where a signal came there is no call, and none is asked for.
    """
    found = []
    signalled = True
    for at, address in enumerate(addresses):
        # The leaf may stand anywhere in there.
        restores = any(read(address - back, len(_RESTORE)) == _RESTORE for back in ((0,) if at else (0, 7, 9)))
        if not (signalled or restores or _CALL.match(read(address - 7, 7))):
            found.append(address)
        signalled = restores
    return found
