"""Why stacks are cut, in whole sentences, and what would mend it."""

from __future__ import annotations

from ebtop.store.unnamed import Unnamed

_PASSES = "Nothing to do: it passes within a second or two. Processes that live shorter than that stay as they are."

_WHY = {
    "code without frame pointers": Unnamed(
        "The stack was walked by frame pointers, and this code keeps none: whoever called it is lost.",
        "Start ebtop with --unwind tables (x86-64), or build the program and its libraries with "
        "-fno-omit-frame-pointer.",
    ),
    "more than 127 frames": Unnamed(
        "The stack is deeper than the 127 frames that are kept, as the kernel does: the outermost are missing.",
        "Nothing to do: what ran, and the 127 callers nearest to it, are right. Deep recursion is easier to read from "
        "the other end: i.",
    ),
    "more than 127 Python functions": Unnamed(
        "More than 127 Python functions call each other here: the outermost are missing.",
        "Nothing to do: what ran, and the callers nearest to it, are right.",
    ),
    "ends before the program's entry": Unnamed(
        "The walk came to a frame that says it is the first one, and it is not the entry of a program or thread: a "
        "coroutine or a runtime with stacks of its own, or code that uses the frame pointer for something else.",
        "If the outermost function is where a coroutine begins, the stack is whole as it is.",
    ),
    "process not known yet": Unnamed("The process is new: its mappings had not been read.", _PASSES),
    "mapping not known yet": Unnamed(
        "The code lies in a mapping that is new: a library that was just loaded, or code made at run time.", _PASSES
    ),
    "unwind table not built yet": Unnamed(
        "The unwind table of this binary was not there yet: it is being built, or made room for others.",
        f"{_PASSES} Where it does not, the tables of all that runs do not fit into what ebtop may take: filter, or "
        "look at one process.",
    ),
    "code without unwind information": Unnamed(
        "The binary says nothing about this code (.eh_frame), and it keeps no frame pointer: hand-written assembler, "
        "code made at run time, or a build without unwind tables.",
        "Build it with -fasynchronous-unwind-tables or -fno-omit-frame-pointer. Java: -XX:+PreserveFramePointer.",
    ),
    "unwind information that leads nowhere": Unnamed(
        "What the binary says about this code (.eh_frame) leads to an address that is none: it is wrong at this "
        "instruction, as in some hand-written assembler, or the stack was just being switched.",
        "A few samples of that are normal. Many in one function are worth a report to whoever maintains it.",
    ),
    "unwind information of a kind that is not followed": Unnamed(
        "The binary describes this frame by an expression that ebtop does not work out in the kernel.",
        "Nothing to do; please report which function it is.",
    ),
    "stack not readable": Unnamed(
        "The stack's memory could not be read at that moment: it is swapped out, or the process was just ending.",
        "Where the node swaps, memory is the problem to look at first.",
    ),
    "registers not readable": Unnamed(
        "The kernel did not give the registers of the process at that moment.",
        "Linux 5.15 or newer, without lockdown=confidentiality: ! says what this node has.",
    ),
}


def why_cut(reason: str) -> Unnamed:
    """`reason` as in StackRecord.cut."""
    return _WHY.get(reason) or Unnamed(f"It is cut: {reason or 'nobody noted why'}.", "")
