"""Two recordings, or two stretches of one, compared: as an icicle, a report, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ebtop.export.about import About, completeness
from ebtop.export.extract import Extract
from ebtop.export.findings import side
from ebtop.export.icicle_cells import Cell, Paint, Painted, cells
from ebtop.export.icicle_svg import document
from ebtop.export.report import Code, Column, Icicle, Report, Section, Table, Words
from ebtop.store.evidence_diff import Change, EvidenceDiff, Side, compare
from ebtop.store.flame_diff import NO_SAMPLES, FlameDiff, FrameChange, Samples, sign_of, step_of
from ebtop.store.flame_paths import title_of
from ebtop.text import clean
from ebtop.units import percent, plural, rate

COLOURS = (
    "Red takes more of the time than before, blue less, grey the same. In front of a name + is more, - less, = the "
    "same, ~ what may be chance, * new, x gone. A frame is as wide as the mean of its shares before and after."
)
_NUMBER, _CODE = "number", "code"
_SIGNS = {"+": "more", "-": "less", "=": "the same", "~": "perhaps chance", "*": "new", "x": "gone"}


class Comparison(NamedTuple):
    """Both sides and what differs."""

    before: About
    after: About
    sides: tuple[Side, Side]
    completeness: tuple[str, str]
    diff: EvidenceDiff

    @property
    def flame(self) -> FlameDiff:
        return FlameDiff(self.sides[0].tree, self.sides[1].tree, self.samples)

    @property
    def samples(self) -> Samples:
        """Of each side; of what is not sampled, as off-CPU time, none."""
        before, after = self.sides
        return (before.samples, after.samples) if before.kind == "cpu" else NO_SAMPLES

    @property
    def heading(self) -> str:
        return f"{self.before.heading} against {self.after.heading}"

    @property
    def lines(self) -> list[str]:
        """What a reader has to know of both."""
        lines = []
        for word, about, whole in zip(("before", "after"), (self.before, self.after), self.completeness, strict=True):
            lines += [f"{word}: {line}" for line in (*about.facts(), whole, *about.limits)]
        return [*lines, "shares of all time and rates a minute, so that the lengths need not be the same"]


def compare_extracts(before: Extract, after: Extract, kind: str = "") -> Comparison:
    """`kind` of stacks: the first that there is in the later one."""
    kind = kind or after.profile.kind
    sides = side(before, kind=kind), side(after, kind=kind)
    whole = [
        next((completeness(p) for p in extract.profiles if p.kind == kind), f"no {kind} stacks")
        for extract in (before, after)
    ]
    return Comparison(before.about(), after.about(), sides, (whole[0], whole[1]), compare(*sides))


def diff_svg(comparison: Comparison) -> str:
    """An icicle in the colours of the difference."""
    flame = comparison.flame
    lines = [f"difference: {comparison.heading}", *comparison.lines, *COLOURS.split(". ")]
    return document(cells(flame.tree), diff_painter(flame), lines)


def diff_painter(flame: FlameDiff) -> Paint:
    """Signs stand in front of names, so that no colour has to be seen."""

    def paint(cell: Cell) -> Painted:
        frame = flame.tree.frame(cell.node)
        if cell.hidden:
            name = clean(title_of(frame))
            return Painted(f"+{cell.hidden}", "rest", f"{plural(cell.hidden, 'callee')} of {name}, too narrow to draw")
        before, after = flame.before(cell.node), flame.after(cell.node)
        sign, step = flame.sign(cell.node), flame.step(cell.node)
        name = clean(title_of(frame)) if cell.node else "all"
        style = "same" if not step else f"{'more' if after > before else 'less'}{step}"
        words = f"{name}\n{_SIGNS[sign]}: {percent(100 * before)} before, {percent(100 * after)} after"
        module = f", {clean(frame.module)}" if frame.module and frame.kind != "process" else ""
        return Painted(f"{sign} {name}", style, f"{words}\n{frame.kind}{module}")

    return paint


def diff_report(comparison: Comparison, *, drawn: bool) -> Report:
    """For HTML and Markdown; `drawn`: with its icicle."""
    return Report(
        f"Difference: {comparison.heading}",
        tuple(comparison.lines),
        tuple(_sections(comparison.diff)),
        tuple(_tables(comparison.diff, comparison.samples)),
        icicles=(_icicle(comparison.flame),) if drawn else (),
    )


def _icicle(flame: FlameDiff) -> Icicle:
    return Icicle("Where the time goes, before and after", COLOURS, cells(flame.tree), diff_painter(flame))


def diff_json(comparison: Comparison) -> str:
    """Everything, for programs; rates are a minute, shares 0..1."""
    diff = comparison.diff
    document_: dict[str, Any] = {
        "type": "diff",
        "before": comparison.before.header() | {"completeness": comparison.completeness[0]},
        "after": comparison.after.header() | {"completeness": comparison.completeness[1]},
        "kind": comparison.sides[0].kind,
        "functions": [
            _function(change, comparison.samples) for change in diff.functions if change.own_delta or change.total_delta
        ],
        "commands": _rates(diff.commands),
        "new_commands": list(diff.new_commands),
        "gone_commands": list(diff.gone_commands),
        "peers": _rates(diff.peers),
        "new_peers": list(diff.new_peers),
        "gone_peers": list(diff.gone_peers),
        "retransmits": _rates(diff.retransmits),
        "connects": _rates(diff.connects),
    }
    return json.dumps(document_, indent=1)


def _function(change: FrameChange, samples: Samples) -> dict[str, Any]:
    return {
        "function": change.frame.name, "module": change.frame.module, "kind": change.frame.kind,
        "sign": sign_of(change.total_before, change.total_after, samples),
        "self_before": round(change.own_before, 6), "self_after": round(change.own_after, 6),
        "total_before": round(change.total_before, 6), "total_after": round(change.total_after, 6),
    }  # fmt: skip


def _sign(change: FrameChange, samples: Samples) -> str:
    """Of the function with its callees, or where that is the same, of its own time. Only what has no time at all on one
    side is new or gone."""
    sign = sign_of(change.total_before, change.total_after, samples)
    if sign not in "=~":
        return sign
    own = sign_of(change.own_before, change.own_after, samples)
    return {"*": "+", "x": "-"}.get(own, own)


def _rates(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [
        {"name": c.name, "sign": c.sign, "before": round(c.before, 4), "after": round(c.after, 4), "who": c.who or None}
        for c in changes
    ]


def _sections(diff: EvidenceDiff) -> Iterator[Section]:
    findings: list[Words] = []
    for what, names in (
        ("New commands", diff.new_commands),
        ("Commands not seen any more", diff.gone_commands),
        ("New peers", diff.new_peers),
        ("Peers not seen any more", diff.gone_peers),
    ):
        if names:
            listed = [part for name in names[:20] for part in (", ", Code(name))][1:]
            more = f" and {len(names) - 20} more" if len(names) > 20 else ""
            findings.append((f"{what}: ", *listed, f"{more}."))
    if findings:
        yield Section("New and gone", tuple(findings))


def _tables(diff: EvidenceDiff, samples: Samples) -> Iterator[Table]:
    rows = [
        (
            _sign(c, samples), c.frame.name, c.frame.module, percent(100 * c.own_before),
            percent(100 * c.own_after), percent(100 * c.total_before), percent(100 * c.total_after),
        )
        for c in diff.functions
        if step_of(c.own_before, c.own_after, samples) or step_of(c.total_before, c.total_after, samples)
    ]  # fmt: skip
    columns = (
        Column("", _CODE), Column("function", _CODE), Column("module", _CODE),
        *[Column(name, _NUMBER) for name in ("self before", "self after", "with callees before", "after")],
    )  # fmt: skip
    yield Table(
        "Functions",
        columns,
        rows,
        "share of the time, the most changed first",
        "none changed by more than chance",
    )
    heads = (
        Column("", _CODE), Column("", _CODE), Column("before", _NUMBER), Column("after", _NUMBER), Column("by", _CODE),
    )  # fmt: skip
    for title, words, changes in (
        ("Commands", "execs a minute", diff.commands),
        ("Peers", "connections a minute", diff.peers),
        ("Retransmitting pairs", "segments sent again a minute", diff.retransmits),
        ("Slow and failed connects", "a minute", diff.connects),
    ):
        listed = [(c.sign, c.name, rate(c.before), rate(c.after), c.who) for c in changes if c.sign != "="]
        yield Table(title, heads, listed, words, "no difference")
