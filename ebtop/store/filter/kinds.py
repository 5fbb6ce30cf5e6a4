"""Kinds of values: how each is written, and how it is compared."""

from __future__ import annotations

import errno
import ipaddress
import math
import re
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from ebtop.store.containers import Container
from ebtop.store.filter import patterns, users
from ebtop.store.filter.errors import BadValue
from ebtop.store.filter.expression import EQUAL, LIKE, ORDERS, Value
from ebtop.text import printable

Match = frozenset[Any] | Callable[[Any], bool]
"""The values that match, or a decision about one; it is never asked about None."""

_COMM_LEN = 15
_MIN_CONTAINER_ID = 6
_NUMBER = re.compile(r"(?P<number>[+-]?\d{1,18}(?:\.\d{1,9})?)(?P<unit>[A-Za-z]*)", re.ASCII)

SIZE_UNITS = {"": 1, "b": 1, **{f"{p}{b}": 1024**n for n, p in enumerate("kmgt", 1) for b in ("", "b", "ib")}}
COUNT_UNITS = {"": 1, "k": 1000, "m": 1_000_000}


class Kind(Protocol):
    """How the values of a field are written and compared."""

    @property
    def operators(self) -> tuple[str, ...]:
        """EQUAL always; LIKE for texts; ORDERS for numbers."""

    def match(self, operator: str, values: Sequence[Value]) -> Match:
        """What any of these values stands for. Raises BadValue."""


def any_of(tests: Sequence[Callable[[Any], bool]]) -> Callable[[Any], bool]:
    """One decision out of many, of which one must hold."""
    if len(tests) == 1:
        return tests[0]
    return lambda value: any(test(value) for test in tests)


@dataclass(frozen=True)
class Number:
    """A number with a unit, or by name; a..b is a range."""

    what: str
    """For messages: "a port"."""
    examples: str
    units: Mapping[str, float] = field(default_factory=lambda: {"": 1})
    """What a number with this suffix (lower case, "" = none) is in the unit that records have."""
    names: Callable[[str], int | None] = lambda _: None
    least: int | None = None
    most: int | None = None
    measured: bool = False
    """Never twice the same: it can be compared, not equal."""

    operators: tuple[str, ...] = (EQUAL, *ORDERS)

    def match(self, operator: str, values: Sequence[Value]) -> Match:
        if operator in ORDERS:
            if len(values) > 1:
                raise BadValue(1, f"{operator} takes one value", "give one, or use or")
            return _order(operator, self._read(0, values[0].text))
        ranges = [self._range(n, value.text) for n, value in enumerate(values)]
        if all(low == high for low, high in ranges):
            return frozenset(low for low, _ in ranges)
        return any_of([_between(low, high) for low, high in ranges])

    def _range(self, n: int, text: str) -> tuple[float, float]:
        low, dots, high = text.partition("..")
        if dots and (low or high):
            return self._read(n, low) if low else -math.inf, self._read(n, high) if high else math.inf
        number = self._read(n, text)
        if self.measured:
            raise BadValue(n, f"nothing takes {text} exactly", f"use > or <, or a range: {text}..")
        if (self.least is not None and number < self.least) or (self.most is not None and number > self.most):
            raise BadValue(n, f"{text} is not {self.what}", self._fix())
        return number, number

    def _read(self, n: int, text: str) -> float:
        named = self.names(text)
        if named is not None:
            return named
        match = _NUMBER.fullmatch(text)
        unit = self.units.get(match["unit"].lower()) if match else None
        if match is None or unit is None:
            raise BadValue(n, f"{text or 'nothing'} is not {self.what}", self._fix())
        return (float(match["number"]) if "." in match["number"] else int(match["number"])) * unit

    def _fix(self) -> str:
        return f"write it as {self.examples}"


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda number: low <= number <= high


def _order(operator: str, limit: float) -> Callable[[Any], bool]:
    # Each spelled out: a call of operator.gt and its like for every record would cost as much again.
    if operator == ">":
        return lambda number: number > limit
    if operator == ">=":
        return lambda number: number >= limit
    if operator == "<":
        return lambda number: number < limit
    return lambda number: number <= limit


@dataclass(frozen=True)
class Text:
    """A whole text, upper and lower case alike, with wildcards; or a regular expression found in it."""

    operators: tuple[str, ...] = (EQUAL, LIKE)

    def match(self, operator: str, values: Sequence[Value]) -> Match:
        return any_of(self.tests(operator, values))

    def tests(self, operator: str, values: Sequence[Value]) -> list[patterns.TextTest]:
        if operator == LIKE:
            return [_regex(n, value) for n, value in enumerate(values)]
        return [self.test(value) for value in values]

    def test(self, value: Value) -> patterns.TextTest:
        return patterns.whole(value)


@dataclass(frozen=True)
class Part(Text):
    """A text that has this in it."""

    def test(self, value: Value) -> patterns.TextTest:
        return patterns.inside(value)


@dataclass(frozen=True)
class Comm(Text):
    """A task's name, exactly as it is; the part of it that the kernel keeps. With wildcards as any text."""

    def match(self, operator: str, values: Sequence[Value]) -> Match:
        if operator == EQUAL and not any(map(patterns.has_wildcard, values)):
            return frozenset(name for value in values for name in (value.text, kept_comm(value.text)))
        return any_of(self.tests(operator, values))

    def test(self, value: Value) -> patterns.TextTest:
        return (
            patterns.whole(value) if patterns.has_wildcard(value) else {value.text, kept_comm(value.text)}.__contains__
        )


def kept_comm(name: str) -> str:
    """What the kernel keeps of a task's name, as records show it."""
    return printable(name.encode()[:_COMM_LEN])


@dataclass(frozen=True)
class CgroupPath(Text):
    """A cgroup and everything below it: /a/b from the root, a/b anywhere. Upper and lower case differ."""

    def test(self, value: Value) -> patterns.TextTest:
        if patterns.has_wildcard(value):
            return patterns.whole(value)
        wanted = value.text.rstrip("/")
        if value.text.startswith("/"):
            return lambda path: path == wanted or path.startswith(f"{wanted}/")
        return lambda path: f"/{wanted}/" in f"{path}/"


@dataclass(frozen=True)
class Choice(Text):
    """One of a few names; - and _ are alike."""

    def test(self, value: Value) -> patterns.TextTest:
        return patterns.whole(value._replace(text=value.text.replace("-", "_")))


@dataclass(frozen=True)
class User(Text):
    """A user by name or uid; compared with uids."""

    def match(self, operator: str, values: Sequence[Value]) -> Match:
        if operator == EQUAL and not any(map(patterns.has_wildcard, values)):
            return frozenset(self._uid(n, value.text) for n, value in enumerate(values))
        test = any_of(self.tests(operator, values))
        return lambda uid: test(users.name_of(uid))

    def _uid(self, n: int, text: str) -> int:
        uid = int(text) if text.isdecimal() and text.isascii() else users.uid_of(text)
        if uid is None:
            raise BadValue(
                n, f"there is no user {text} on this node", f"give a name of /etc/passwd, or the uid: id -u {text}"
            )
        return uid


@dataclass(frozen=True)
class Address(Text):
    """An IP address, a network (10.0.0.0/8), or a text with wildcards (10.0.*)."""

    def match(self, operator: str, values: Sequence[Value]) -> Match:
        if operator == EQUAL and not any(patterns.has_wildcard(v) or "/" in v.text for v in values):
            return frozenset(_address(n, value.text) for n, value in enumerate(values))
        return any_of(self.tests(operator, values))

    def tests(self, operator: str, values: Sequence[Value]) -> list[patterns.TextTest]:
        if operator == LIKE:
            return super().tests(operator, values)
        return [self._test(n, value) for n, value in enumerate(values)]

    def _test(self, n: int, value: Value) -> patterns.TextTest:
        if patterns.has_wildcard(value):
            return patterns.whole(value)
        return _network(n, value.text) if "/" in value.text else _address(n, value.text).__eq__


def _address(n: int, text: str) -> str:
    """As records have it: the kernel's way of writing it."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            plain = socket.inet_ntop(family, socket.inet_pton(family, text.partition("%")[0]))
        except (OSError, ValueError):
            continue
        return plain.removeprefix("::ffff:") if "." in plain else plain
    raise BadValue(n, f"{text} is not an address", "write 10.0.0.5, 10.0.0.0/8, 10.0.* or fe80::1; port: is for ports")


def _network(n: int, text: str) -> patterns.TextTest:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise BadValue(n, f"{text} is not a network", "write it as 10.0.0.0/8 or fd00::/8") from None
    version, mask, wanted = network.version, int(network.netmask), int(network.network_address)

    @lru_cache(maxsize=4096)
    def test(text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return address.version == version and int(address) & mask == wanted

    return test


@dataclass(frozen=True)
class ContainerName(Text):
    """A container by its name or the first digits of its id; a service by its unit."""

    def match(self, operator: str, values: Sequence[Value]) -> Match:
        tests = self.tests(operator, values)
        starts = () if operator == LIKE else tuple(v.text.lower() for v in values if is_container_id(v.text))

        def match(container: Container) -> bool:
            if starts and container.id.startswith(starts):
                return True
            names = (container.name, container.id) if container.name else (container.id,)
            return any(test(name) for test in tests for name in names)

        return match


def is_container_id(text: str) -> bool:
    """Whether this may be the beginning of an id: six hex digits or more."""
    return len(text) >= _MIN_CONTAINER_ID and set(text.lower()) <= set("0123456789abcdef")


@dataclass(frozen=True)
class PodName(Text):
    """A pod, or namespace/pod."""

    def match(self, operator: str, values: Sequence[Value]) -> Match:
        test = any_of(self.tests(operator, values))

        def match(container: Container) -> bool:
            if container.pod is None:
                return False
            return test(container.pod) or (container.namespace is not None and test(container_pod(container)))

        return match


def container_pod(container: Container) -> str:
    """namespace/pod"""
    return f"{container.namespace}/{container.pod}"


@dataclass(frozen=True)
class OfContainer(Text):
    """Another text of a container."""

    attribute: str = ""

    def match(self, operator: str, values: Sequence[Value]) -> Match:
        test = any_of(self.tests(operator, values))

        def match(container: Container) -> bool:
            text = getattr(container, self.attribute)
            return text is not None and test(text)

        return match


def _regex(n: int, value: Value) -> patterns.TextTest:
    try:
        return patterns.regex(value.text)
    except ValueError as error:
        raise BadValue(n, f"{value.text[:40]} is not a usable regular expression: {error}", "mend it") from None


def signal_number(text: str) -> int | None:
    """9 for SIGKILL, sigkill, kill; None for what is no signal's name."""
    name = text.upper()
    try:
        return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"].value
    except KeyError:
        return None


def negative_errno(text: str) -> int | None:
    """-2 for ENOENT; None for what is no error's name."""
    name = text.upper()
    return -getattr(errno, name) if name in errno.errorcode.values() else None


def number(what: str, examples: str, least: int | None = None, most: int | None = None) -> Number:
    """A whole number."""
    return Number(what, examples, least=least, most=most)


def count(what: str) -> Number:
    return Number(what, "100 or 5k", COUNT_UNITS)


def size(what: str) -> Number:
    """Bytes; k, M and G are powers of 1024."""
    return Number(what, "1500, 64k, 1M or 2G", SIZE_UNITS)


def seconds() -> Number:
    """A length of time, which records have in seconds; a bare number too."""
    return _time({"us": 1e-6, "ms": 1e-3, "s": 1, "": 1, "m": 60, "h": 3600, "d": 86400})


def milliseconds() -> Number:
    """A length of time, which records have in milliseconds; a bare number too."""
    return _time({"us": 1e-3, "ms": 1, "": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000})


def _time(units: Mapping[str, float]) -> Number:
    return Number("a length of time", "250us, 100ms, 5s, 2m or 1h", units, measured=True)
