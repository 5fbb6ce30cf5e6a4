"""How whole stacks are: by process, by why they are cut, and by the binary in which they end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ebtop.store.records import Frame, StackRecord
from ebtop.store.unnamed import why_unnamed

Process = tuple[str, int]
"""Name and pid; pid 0 stands for all of that name."""
NO_FRAME = "no user frame"


@dataclass
class Tally:
    """What some stacks come to, in the weight of their kind."""

    weight: int = 0
    samples: int = 0
    whole: int = 0
    """Of the weight, that of whole stacks."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Weight by why they are cut."""

    def add(self, stack: StackRecord) -> None:
        self.weight += stack.weight
        self.samples += stack.samples
        if stack.complete:
            self.whole += stack.weight
        else:
            self.reasons[stack.cut] = self.reasons.get(stack.cut, 0) + stack.weight

    @property
    def cut(self) -> int:
        """Of the weight, that of stacks that are not whole."""
        return self.weight - self.whole


class Completeness:
    """Summed up over stacks of one kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.all = Tally()
        self.processes: defaultdict[Process, Tally] = defaultdict(Tally)
        self.reasons: defaultdict[str, Tally] = defaultdict(Tally)
        """Of what is cut, by why."""
        self.ends: defaultdict[tuple[str, str], Tally] = defaultdict(Tally)
        """Of what is cut, by why and by the binary of the outermost frame that is known."""
        self.unnamed: defaultdict[Frame, Tally] = defaultdict(Tally)
        """Of stacks with a frame that has no name, by that frame; those of one file are one, whatever their address."""

    def add(self, stack: StackRecord) -> None:
        self.all.add(stack)
        self.processes[stack.comm, stack.pid].add(stack)
        if not stack.complete:
            self.reasons[stack.cut].add(stack)
            self.ends[stack.cut, end_of(stack)].add(stack)
        unnamed = {_without_address(f) for f in stack.frames if f.kind != "native" and why_unnamed(f, ()) is not None}
        for frame in unnamed:
            self.unnamed[frame].add(stack)


def end_of(stack: StackRecord) -> str:
    """The binary of the outermost user frame that is known: what it lacks cuts the stack."""
    mark = next((at for at, frame in enumerate(stack.frames) if frame.kind == "cut"), -1)
    for frame in stack.frames[mark + 1 :]:
        if frame.kind != "kernel":
            return frame.module or frame.name
    return NO_FRAME


def completeness(
    stacks: Iterable[StackRecord], kind: str, process: Process | None, cancelled: Callable[[], bool]
) -> Completeness:
    """Of the stacks of a kind, and of one process if it is given. Takes a while (some us a stack): for a thread."""
    found = Completeness(kind)
    for stack in stacks:
        if cancelled():
            break
        if stack.kind != kind:
            continue
        if process is None or (stack.comm == process[0] and process[1] in (0, stack.pid)):
            found.add(stack)
    return found


def _without_address(frame: Frame) -> Frame:
    return frame._replace(name=f"[{frame.module}]") if frame.kind == "unknown" and frame.module else frame
