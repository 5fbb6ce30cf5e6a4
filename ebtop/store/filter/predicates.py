"""A tree as decisions, one for each record type, made of closures: a storm brings thousands of records a second."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ebtop.store.containers import ContainerLookup
from ebtop.store.filter import expression, fields, free_text
from ebtop.store.filter.expression import Node, Term, Words
from ebtop.store.filter.fields import InContainer, Plain, Several
from ebtop.store.filter.kinds import Match
from ebtop.store.records import EventRecord, Record
from ebtop.store.selection import Predicate

Test = Callable[[Any], bool]

_MAX_EVENT_SHAPES = 256
_MAX_TEXTS = 8192


def predicate(node: Node | None, containers: ContainerLookup) -> Predicate:
    """The decision about any record. None stands for the empty expression, which everything passes."""
    tests = {record_type: _test_of(node, record_type, containers) for record_type in fields.RECORD_TYPES}
    tests[EventRecord] = _test_of_events(node, containers)

    def passes(record: Record) -> bool:
        return tests[type(record)](record)

    return passes


def _test_of(
    node: Node | None, record_type: type[Record], containers: ContainerLookup, names: tuple[str, ...] = ()
) -> Test:
    return (node and _compile(node, record_type, names, containers)) or _passes


def _test_of_events(node: Node | None, containers: ContainerLookup) -> Test:
    """What fields such a record has, it says itself: decided for each kind of it when the first one comes."""
    known: dict[tuple[str, ...], Test] = {}

    def test(record: EventRecord) -> bool:
        names = tuple([name for name, _ in record.fields])
        found = known.get(names)
        if found is None:
            found = _test_of(node, EventRecord, containers, names)
            if len(known) < _MAX_EVENT_SHAPES:
                known[names] = found
        return found(record)

    return test


def _passes(record: Record) -> bool:
    return True


def _compile(node: Node, record_type: type[Record], names: tuple[str, ...], containers: ContainerLookup) -> Test | None:
    """None: it says nothing about records of this type."""
    if isinstance(node, Term):
        return _term(node, record_type, names, containers)
    if isinstance(node, Words):
        return free_text.test(node.value, record_type, containers)
    if isinstance(node, expression.Not):
        test = _compile(node.of, record_type, names, containers)
        return None if test is None else _not(test)
    parts = [_compile(part, record_type, names, containers) for part in node.of]
    tests = [part for part in parts if part is not None]
    if not tests:
        return None
    return _joined(tests, _and if isinstance(node, expression.All) else _or)


def _term(term: Term, record_type: type[Record], names: tuple[str, ...], containers: ContainerLookup) -> Test | None:
    field = fields.find(term.field)
    assert field is not None
    source = field.source(record_type, names)
    if source is None:
        return None
    match = field.kind.match(term.operator, term.values)
    choices = field.choices.get(record_type) if field.choices else None
    if choices and not isinstance(match, frozenset) and not any(map(match, choices)):
        return None  # it is about the other types that have this field
    if isinstance(source, Plain):
        return _joined([_plain(getter, match) for getter in source.getters], _or)
    assert not isinstance(match, frozenset)
    if isinstance(source, Several):
        return _several(source.getter, match)
    assert isinstance(source, InContainer)
    return _in_container(containers, match)


def _plain(getter: fields.Getter, match: Match) -> Test:
    if isinstance(match, frozenset):
        return lambda record: getter(record) in match

    def test(record: Record) -> bool:
        value = getter(record)
        return value is not None and match(value)

    return test


def _several(getter: fields.Getter, match: Test) -> Test:
    remembered = lru_cache(maxsize=_MAX_TEXTS)(match)  # the same functions are in every stack
    return lambda record: any(map(remembered, getter(record)))


def _in_container(containers: ContainerLookup, match: Test) -> Test:
    def test(record: Record) -> bool:
        container = containers(record.cgroup)
        return container is not None and match(container)

    return test


def _not(test: Test) -> Test:
    return lambda record: not test(record)


def _and(first: Test, second: Test) -> Test:
    return lambda record: first(record) and second(record)


def _or(first: Test, second: Test) -> Test:
    return lambda record: first(record) or second(record)


def _joined(tests: list[Test], join: Callable[[Test, Test], Test]) -> Test:
    """One test out of many, two by two: a chain of hundreds would be as many calls deep."""
    while len(tests) > 1:
        pairs = [join(first, second) for first, second in zip(tests[::2], tests[1::2], strict=False)]
        tests = pairs + tests[len(pairs) * 2 :]
    return tests[0]
