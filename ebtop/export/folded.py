"""Stacks in folded form, one a line: for flamegraph.pl, inferno, speedscope, difffolded.pl, grep."""

from __future__ import annotations

from collections.abc import Iterator

from ebtop.export.about import About
from ebtop.export.folded_stack import folded
from ebtop.export.stack_sums import Profile
from ebtop.text import clean

_US_NS = 1000


def folded_lines(profile: Profile, about: About) -> Iterator[str]:
    """`comm;outermost;...;innermost N` in order of text, after comment lines (`#`), which readers skip.

    N is samples, or page faults; microseconds of off-CPU time, and of CPU time where the sampling rate was changed, so
    that samples do not weigh the same.
    """
    sampled = profile.kind == "cpu" and len(profile.periods) < 2
    unit = "samples" if sampled else "microseconds" if profile.timed else profile.unit
    for line in (*about.lines(profile), f"counts are {unit} of {profile.title}"):
        yield f"# {clean(line)} #"  # a line that ends in a number, or in "12.", is a stack to flamegraph.pl
    sums: dict[str, int] = {}
    for stack in profile.stacks:
        line = clean(folded(stack.record))
        sums[line] = sums.get(line, 0) + (stack.record.samples if sampled else stack.weight)
    divisor = _US_NS if unit == "microseconds" else 1
    for line in sorted(sums):
        yield f"{line} {max(1, round(sums[line] / divisor))}"
