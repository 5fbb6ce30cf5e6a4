"""How each kind of stacks is spoken of: what its weights are in, and what the help says about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ebtop.store.flame_window import FlameWindow
from ebtop.store.source import NodeLoad
from ebtop.store.stack_kinds import CPU, FAULTS, OFFCPU, PAGE_BYTES
from ebtop.units import count, duration, mebibytes, percent, plural, rate

SWITCH_NS, WAKING_NS, FAULT_NS = 3_500, 150, 100
"""What the probes take at each context switch, wake-up and page fault (of which one in 61 is looked at) on a node that
does other things, too: a forecast. In a storm of nothing else a switch takes a third (tests/bench/offcpu_cost.py)."""


class StackWords(NamedTuple):
    """One kind. A weight is one of the window's tree."""

    kind: str
    heading: str
    nothing_yet: str
    unit: str
    """What all weights together are: "samples", "of blocked time"."""
    amount: Callable[[FlameWindow, int], str]
    """A weight: 1,234 (samples), 1.2s, 3,400 (faults)."""
    per_second: Callable[[FlameWindow, int], str]
    """The same by the time that the window covers: 0.31 CPUs, 31ms/s, 1.2 MiB/s."""
    whole: Callable[[FlameWindow], str]
    """All of it: 1,234 samples, 12s blocked, 3,400 faults."""
    words: str
    source_words: str
    high_words: str
    next_words: str
    dear: Callable[[NodeLoad | None, int], str]
    """What loading the probe will cost on a node with so many CPUs, for people; "" = next to nothing."""


def amount_words(kind: str, weight: int, samples: int) -> str:
    """What some stacks of a kind come to: 1,234 samples, 1.2s, 3,400 faults."""
    if kind == OFFCPU:
        return duration(weight / 1e9)
    return f"{count(weight)} faults" if kind == FAULTS else f"{count(samples)} samples"


def cpus(value: float | None) -> str:
    """A number of CPUs: 0.31, 12.4, <0.01, - where it is not known."""
    if value is None:
        return "-"
    if 0 < value < 0.01:
        return "<0.01"
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def _about(window: FlameWindow) -> str:
    """What stands before a number of samples that is worked out from CPU time."""
    return "" if window.exact else "≈"


def _samples(window: FlameWindow, weight: int) -> str:
    return f"{_about(window)}{count(window.samples_of(weight))}"


def _cpus(window: FlameWindow, weight: int) -> str:
    return f"{cpus(window.cpus_of(weight))} CPUs"


def _blocked(window: FlameWindow, weight: int) -> str:
    return duration(weight / 1e9)


def _blocked_a_second(window: FlameWindow, weight: int) -> str:
    found = window.rate_of(weight)
    return "-" if found is None else f"{duration(found / 1e9)}/s"


def _faults(window: FlameWindow, weight: int) -> str:
    return count(weight)


def _memory_a_second(window: FlameWindow, weight: int) -> str:
    found = window.rate_of(weight)
    return "-" if found is None else f"{mebibytes(found * PAGE_BYTES)}/s"


def _no_cost(node: NodeLoad | None, cpus: int) -> str:
    return ""


def _switch_cost(node: NodeLoad | None, cpus: int) -> str:
    each = f"about {SWITCH_NS / 1000:.1f} us at each context switch"
    if node is None or node.switches is None:
        return each
    share = 100 * node.switches * (SWITCH_NS + WAKING_NS) / (1e9 * cpus)
    return f"{each}, {percent(share)} of this node at its {rate(node.switches)} a second"


def _fault_cost(node: NodeLoad | None, cpus: int) -> str:
    each = f"about {FAULT_NS / 1000:.2f} us at each page fault"
    if node is None or node.faults is None:
        return each
    share = 100 * node.faults * FAULT_NS / (1e9 * cpus)
    return f"{each}, {percent(share)} of this node at its {rate(node.faults)} a second"


_HOW_TO_READ = (
    "Shading in a bar's colour under it is the function itself. Blue is kernel, orange native, green interpreted, "
    "violet JIT code, grey has no symbol. +N stands for N callees too narrow to draw. [cut] means that the callers "
    "above are not known: Enter on it says why. Python functions (CPython 3.8 to 3.14) have their names; e shows the "
    "interpreter's own frames between them. With i the functions at the end of the stacks stand on top, and below "
    "each of them its callers; t lists the functions as a table. o goes on to the next kind of stacks: on the CPU, "
    "off the CPU, page faults."
)

WORDS = {
    CPU: StackWords(
        CPU,
        "CPU",
        "CPU sample taken",
        "samples",
        _samples,
        _cpus,
        lambda window: f"{_about(window)}{count(window.samples)} samples",
        "Which code the CPUs ran, in the last 60 s unless m chose another window. Each bar is a function, as wide as "
        f"its share of the samples; below it stands what it called. {_HOW_TO_READ}",
        "Every CPU is interrupted many times a second (49 by default) and the stack of what it runs is taken down to "
        "its entry; an idle CPU gives none. A count of samples times the sampling period is CPU time: 0.31 CPUs is 31 "
        "% of one CPU. What is rarer than some samples is chance.",
        "A wide bar is where time goes, not yet that something is wrong: compare it with what the node should do. "
        "Wide kernel bars under send or receive are the network, under page faults memory, with spin or mutex in the "
        "name locks that are fought over.",
        "Follow the widest bars down to shading: that is the code that burns. Enter zooms; d on a function, or Enter "
        "on the top row, shows the processes that run it. # marks it everywhere and says its share; i shows who calls "
        "it. Much [cut] or grey: Enter on [cut] says what is missing.",
        _no_cost,
    ),
    OFFCPU: StackWords(
        OFFCPU,
        "OFF-CPU",
        "thread that was blocked and woken again",
        "blocked time",
        _blocked,
        _blocked_a_second,
        lambda window: f"{duration(window.weight / 1e9)} blocked",
        "What threads waited for while they were not on a CPU, in the last 60 s unless m chose another window. Each "
        "bar is a function, as wide as its share of the blocked time of all threads together: ten threads that sleep "
        "are 10 s/s. Below a process stands what it waits in: [sleep] (a lock, a pipe, a timer, a socket), [I/O "
        "wait] (as the kernel counts it: a disk or a file system), [uninterruptible] (other waits that no signal "
        f"ends), [stopped]. p tells apart, after processes and threads, who ended the waits, too. {_HOW_TO_READ}",
        "At each context switch the stacks of the thread that leaves the CPU are taken, unless it was preempted, and "
        "the time until it runs again is added up in the kernel. That includes its wait for a free CPU once it is "
        "woken. What is still blocked counts second by second. Who was blocked before the probe was loaded is seen "
        "from its next wait on. The waker is the task that the wake-up came from; what a timer, a disk or the network "
        "wakes is told as an interrupt.",
        "Idle threads wait most of all: workers in epoll_wait or on a futex are as they should be. Look for waits in "
        "the middle of work: under a request handler, in fsync, in a lock, in a read from a disk. [I/O wait] and "
        "[uninterruptible] are never idleness.",
        "Go into the process that is slow (Enter on its bar): then only its switches cost. Follow its widest bars "
        "down; p until it splits by waker says who holds what it waits for. u u unloads the probe when you have seen "
        "it.",
        _switch_cost,
    ),
    FAULTS: StackWords(
        FAULTS,
        "FAULTS",
        "page fault sampled",
        "faults",
        _faults,
        _memory_a_second,
        lambda window: f"{count(window.weight)} faults",
        "Which code touched memory that was not there yet, in the last 60 s unless m chose another window: where "
        "memory grows. Each bar is a function, as wide as its share of the page faults. Below a process stand "
        "[minor] faults (memory that is new, shared or already in the page cache) and [major] ones (a disk or a swap "
        f"device was read). {_HOW_TO_READ}",
        "One minor page fault in 61 is looked at (--fault-period), and every major one; the numbers are estimates for "
        "all. MiB/s are faults times the page size: a floor, as a huge page, or the pages around one of a file, come "
        "in with one fault. Memory that is touched again after it was freed to the allocator does not fault.",
        "Much under malloc, mmap or a collector's heap is a program that grows, or gives memory back only to ask for "
        "it again. Much under exec and dlopen are programs that start. [major] means memory is short or files are "
        "cold.",
        "i shows which functions ask for the memory. Enter on a process shows what else it does. Compare MiB/s with "
        "the resident set in its page: what faults and does not grow is given back.",
        _fault_cost,
    ),
}


def cost_line(words: StackWords, node: NodeLoad | None, cpus: int) -> str:
    """What loading the probe of a kind costs, as a sentence; "" where it is nothing to speak of."""
    told = words.dear(node, cpus)
    return f"It costs {told} (with {plural(cpus, 'CPU')}); with a filter, or in one process, less." if told else ""
