"""What two stretches of time have different: stacks, commands, peers, retransmitting pairs, slow connects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from ebtop.store.command_line import command_name
from ebtop.store.flame_diff import FrameChange, compare_functions
from ebtop.store.flame_functions import Function, functions_of
from ebtop.store.flame_paths import Shape, path_of
from ebtop.store.flame_tree import FlameTree
from ebtop.store.ports import service_port
from ebtop.store.records import ConnectRecord, ExecRecord, Record, RetransmitRecord, StackRecord, TcpRecord
from ebtop.units import endpoint

_MOST = 50_000
"""Distinct names counted of each kind; what comes after is only in the sum."""


class Change(NamedTuple):
    """How often something happened, a minute, before and after."""

    name: str
    before: float
    after: float
    who: str = ""
    """The processes of it, by name."""

    @property
    def delta(self) -> float:
        return self.after - self.before

    @property
    def sign(self) -> str:
        """+ more, - less, = the same within a tenth, * new, x gone."""
        if not self.before or not self.after:
            return "*" if self.after else "x"
        if abs(self.delta) < 0.1 * max(self.before, self.after):
            return "="
        return "+" if self.delta > 0 else "-"


class Side:
    """One stretch of time. Feed it records and stacks."""

    def __init__(self, seconds: float, kind: str = "cpu") -> None:
        self.seconds = max(seconds, 1.0)
        self.kind = kind
        self.samples = 0
        self.weight = 0
        self.whole_weight = 0
        self.commands: Counter[str] = Counter()
        self.peers: Counter[str] = Counter()
        self.retransmits: Counter[str] = Counter()
        self.connects: Counter[str] = Counter()
        self.who: dict[str, set[str]] = {}
        self._stacks: list[tuple[StackRecord, int]] = []

    def stacks(self, stacks: Iterable[tuple[StackRecord, int]]) -> None:
        """Stacks of the kind, each with its weight. A name that ran and was not seen starting counts as a command."""
        for stack, weight in stacks:
            self._stacks.append((stack, weight))
            self.samples += stack.samples
            self.weight += weight
            self.whole_weight += weight if stack.complete else 0
            if stack.comm:
                self.commands[stack.comm] += 0

    @cached_property
    def tree(self) -> FlameTree:
        tree, shape = FlameTree(), Shape()
        for stack, weight in self._stacks:
            tree.add(path_of(stack, shape), weight)
        return tree

    @cached_property
    def functions(self) -> list[Function]:
        """In no order."""
        return functions_of(self._stacks)

    def records(self, records: Iterable[Record]) -> None:
        for record in records:
            self.record(record)

    def record(self, record: Record) -> None:
        if type(record) is ExecRecord:
            self._count(self.commands, command_name(record))
        elif type(record) is TcpRecord and record.event in ("connect", "accept", "live"):
            port = service_port(record.sport, record.dport, record.direction)
            arrow = {"out": "to ", "in": "from "}.get(record.direction or "", "")
            where = endpoint(record.daddr, port) if record.direction != "in" else f"{record.daddr} (port {port})"
            # One that is open is there; when it was opened is told by its connect or accept.
            self._count(self.peers, arrow + where, int(record.event != "live"), record.comm)
        elif type(record) is RetransmitRecord:
            pair = f"{record.saddr} > {record.daddr} (port {min(record.sport, record.dport)})"
            self._count(self.retransmits, pair, record.segments, record.comm)
        elif type(record) is ConnectRecord:
            name = f"{endpoint(record.daddr, record.dport)} {record.error or record.result}"
            self._count(self.connects, name, 1, record.comm)

    def _count(self, counter: Counter[str], name: str, n: int = 1, comm: str = "") -> None:
        if name not in counter and len(counter) >= _MOST:
            name = "others"
        counter[name] += n
        if comm:
            self.who.setdefault(name, set()).add(comm)

    def rate(self, counter: Counter[str], name: str) -> float:
        """A minute."""
        return counter[name] * 60 / self.seconds


class EvidenceDiff(NamedTuple):
    """Lists have the most changed first; new = nothing before, gone = nothing after."""

    functions: tuple[FrameChange, ...]
    commands: tuple[Change, ...]
    new_commands: tuple[str, ...]
    """Names that ran, or started, only after."""
    gone_commands: tuple[str, ...]
    peers: tuple[Change, ...]
    new_peers: tuple[str, ...]
    gone_peers: tuple[str, ...]
    retransmits: tuple[Change, ...]
    connects: tuple[Change, ...]


def compare(before: Side, after: Side) -> EvidenceDiff:
    """What is different."""
    return EvidenceDiff(
        tuple(compare_functions(before.functions, after.functions)),
        _changes(before, after, "commands"),
        *_came_and_went(before.commands, after.commands),
        _changes(before, after, "peers"),
        *_came_and_went(before.peers, after.peers),
        _changes(before, after, "retransmits"),
        _changes(before, after, "connects"),
    )


def _changes(before: Side, after: Side, what: str) -> tuple[Change, ...]:
    counted: tuple[Counter[str], Counter[str]] = getattr(before, what), getattr(after, what)
    changes = []
    for name in {**counted[0], **counted[1]}:
        who = before.who.get(name, set()) | after.who.get(name, set())
        rates = before.rate(counted[0], name), after.rate(counted[1], name)
        if any(rates):
            changes.append(Change(name, *rates, ", ".join(sorted(who)[:5])))
    changes.sort(key=lambda change: (-abs(change.delta), change.name))
    return tuple(changes)


def _came_and_went(before: Counter[str], after: Counter[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    new = sorted(after.keys() - before.keys(), key=lambda name: (-after[name], name))
    gone = sorted(before.keys() - after.keys(), key=lambda name: (-before[name], name))
    return tuple(new), tuple(gone)
