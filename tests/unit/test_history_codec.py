from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import pytest

from ebtop.store import records
from ebtop.store.command_table import CommandState
from ebtop.store.history.arrived import Arrived
from ebtop.store.history.chapter import Chapter, ChapterReader, ChapterWriter, packed_state
from ebtop.store.history.codec import pack, unpack
from ebtop.store.history.corrupt import CorruptData
from ebtop.store.history.segment import Segment
from ebtop.store.records import Batch, ExecRecord, ExitRecord, Record, StackRecord, TcpRecord
from ebtop.store.store import Store, StoreState
from ebtop.text import clean
from tests.unit.history_workload import Node
from tests.unit.record_makers import EPOCH, SECOND, batch, exec_, scan, tcp, unseen_end

TYPES = get_args(records.Record)


class Tables(NamedTuple):
    """Something to pack."""

    number: int
    execs: list[ExecRecord]
    later: list[TcpRecord]


def random_value(hint: Any, rnd: random.Random) -> Any:
    """Any value of a type, the odd ones more often than they occur."""
    if get_origin(hint) is UnionType:
        return random_value(rnd.choice(get_args(hint)), rnd)
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        if parts[-1] is ...:
            return tuple(random_value(parts[0], rnd) for _ in range(rnd.randrange(4)))
        return tuple(random_value(part, rnd) for part in parts)
    if hasattr(hint, "_fields"):
        return hint(*(random_value(part, rnd) for part in get_type_hints(hint).values()))
    return _MAKERS[hint](rnd)


_MAKERS: dict[Any, Callable[[random.Random], Any]] = {
    int: lambda rnd: rnd.choice((0, 1, -2, 2**64 - 1, EPOCH, rnd.randrange(2**63))),
    float: lambda rnd: rnd.choice((0.0, 1e-9, 0.1, rnd.random(), rnd.randrange(10**12) / 1e9, -1e300)),
    str: lambda rnd: rnd.choice(("", "sh", "naïve", "日本", "\\x1b", '"', "\ud800", "x" * rnd.randrange(99))),
    bool: lambda rnd: rnd.random() < 0.5,
    NoneType: lambda rnd: None,
}


def kept(batches: list[Batch]) -> list[Batch]:
    """What a chapter gives back of batches, a segment for every third of them."""
    writer, chapter = ChapterWriter(), Chapter(0, 0, Store().state())
    for first in range(0, len(batches), 3):
        arrived = [Arrived(number, batches[number]) for number in range(first, min(first + 3, len(batches)))]
        chapter.add(*writer.pack(first, arrived), arrived[-1].time_ns, 0)
    reader, found = ChapterReader(chapter, scans=True, stacks_from_ns=0), []
    while (segment := reader.next()) is not None:
        assert segment[0] == len(found)
        found += [arrived.batch for arrived in segment[1]]
    return found


def typed(value: Any) -> Any:
    """A value with the types of all its parts, for 1 == 1.0 == True."""
    if isinstance(value, (tuple, list)):
        return type(value).__name__, [typed(part) for part in value]
    return type(value).__name__, value


@pytest.mark.parametrize("record_type", TYPES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("count", [1, 2, 300])
def test_every_type_of_record_comes_back_as_it_was(record_type: Any, count: int) -> None:
    rnd = random.Random(count)
    made: list[Record] = [random_value(record_type, rnd) for _ in range(count)]
    batches = [Batch(EPOCH, made), Batch(EPOCH + 1, made[: count // 2]), Batch(EPOCH, []), Batch(EPOCH + 2, made)]
    assert typed(kept(batches)) == typed(batches)


def test_whole_seconds_come_back_as_they_were() -> None:
    node = Node(seed=3)
    batches = [made for number in range(6) for _, made in node.second(number)]
    histogram = None
    for given, found in zip(batches, kept(batches), strict=True):
        # Stacks are kept apart, so they come after the others; a histogram is kept when it is another one.
        in_order = sorted(given.records, key=lambda record: type(record) is StackRecord)
        expected = given._replace(records=in_order)
        if given.connect_histogram == histogram:
            expected = expected._replace(connect_histogram=None)
        histogram = given.connect_histogram or histogram
        assert typed(found) == typed(expected)


def test_an_unchanged_connection_is_the_same_object_in_each_scan() -> None:
    still, moves = tcp("live", 1, key=1), tcp("live", 1, key=2, tx_bytes=5)
    moved = moves._replace(time_ns=moves.time_ns + 2, tx_bytes=9, duration_s=1.5)
    new = tcp("live", 2, key=3)
    scans = [scan(1, still, moves), scan(2, still, moves), scan(3, new, moved, still), scan(4), scan(5, new)]
    found = kept([batch(tcp_scan=each) for each in scans])
    assert [each.tcp_scan for each in found] == scans
    first, _, third, *_ = [each.tcp_scan.connections for each in found if each.tcp_scan]
    assert third[2] is first[0]


def test_a_state_comes_back_and_goes_on_the_same() -> None:
    node, store = Node(seed=4), Store(lambda: EPOCH + 9 * SECOND, keep_stacks=False)
    for number in range(4):
        for _, made in node.second(number):
            store.ingest(made)
    state = store.state()
    again = unpack(StoreState, zlib.decompress(packed_state(state)))
    assert again == state
    restored = Store(lambda: EPOCH + 9 * SECOND, keep_stacks=False)
    restored.restore(again)
    for number in range(4, 8):
        for _, made in node.second(number):
            store.ingest(made)
            restored.ingest(made)
    assert restored.snapshot() == store.snapshot()


def test_older_data_gets_defaults_and_newer_data_loses_what_is_not_known() -> None:
    class Older(NamedTuple):
        number: int

    class Newer(NamedTuple):
        number: int
        execs: list[ExecRecord]
        more: list[ExecRecord]
        name: str

    assert unpack(Tables, pack(Older(7))) == Tables(7, [], [])
    assert unpack(Tables, pack(Newer(7, [exec_(1)], [exec_(2)], "x"))) == Tables(7, [exec_(1)], [])
    assert unpack(Tables, pack(Tables(7, [exec_(1)], [tcp("close", 1)])), only={"later"}).execs == []


class OlderEnd(NamedTuple):
    """An ExitRecord before there were ends that were not seen."""

    time_ns: int
    pid: int
    comm: str
    uid: int | None
    cgroup: str | None
    ppid: int
    exit_code: int
    signal: int
    core_dumped: bool
    duration_s: float


class OlderEnds(NamedTuple):
    exits: list[OlderEnd]


class Ends(NamedTuple):
    exits: list[ExitRecord]


@pytest.mark.parametrize("count", [1, 2, 500])
def test_ends_from_before_there_were_unseen_ones_are_read(count: int) -> None:
    rnd = random.Random(count)
    older = [
        OlderEnd(EPOCH + n, n, "sh", None, None, 1, rnd.choice((0, n % 256)), rnd.choice((0, 9)), n % 7 == 0, n / 1e9)
        for n in range(count)
    ]
    ends = unpack(Ends, pack(OlderEnds(older))).exits
    assert ends == older
    assert [tuple(map(type, end)) for end in ends] == [tuple(map(type, end)) for end in older]


def test_a_command_from_before_there_were_unseen_ends_has_none() -> None:
    store = Store(lambda: EPOCH + 9 * SECOND)
    store.ingest(batch(exec_(1, 7), unseen_end(2, 7)))
    (command,) = store.state().aggregates.commands.commands
    assert command.unseen == 1
    hints = get_type_hints(CommandState)
    del hints["unseen"]
    older: Any = NamedTuple("older", list(hints.items()))  # type: ignore[misc]
    table: Any = NamedTuple("table", [("commands", list[older])])  # type: ignore[misc]
    newer: Any = NamedTuple("newer", [("commands", list[CommandState])])
    assert unpack(newer, pack(table([older(*command[:-1])]))).commands == [command._replace(unseen=0)]


def test_text_of_others_is_cleaned_where_it_enters() -> None:
    data = pack(Tables(1, [exec_(1)._replace(comm="a\x1b[2J", args=("b\n", "c"))], []))
    (found,) = unpack(Tables, data, text=clean).execs
    assert (found.comm, found.args) == ("a\\x1b[2J", ("b\\x0a", "c"))


@pytest.fixture(scope="module")
def good() -> bytes:
    node = Node(seed=5, execs=8, connections=8)
    made = [record for number in range(2) for _, each in node.second(number) for record in each.records]
    execs = [record for record in made if type(record) is ExecRecord]
    return pack(Tables(1, execs, [record for record in made if type(record) is TcpRecord]))


def test_bytes_changed_anywhere_give_one_clean_error_or_good_types(good: bytes) -> None:
    rnd = random.Random(6)
    errors = 0
    for _ in range(3000):
        bad = bytearray(good)
        for _ in range(rnd.randint(1, 4)):
            bad[rnd.randrange(len(bad))] = rnd.randrange(256)
        try:
            found = unpack(Tables, bytes(bad), text=clean)
        except CorruptData:
            errors += 1
            continue
        for record in (*found.execs, *found.later):
            for value, hint in zip(record, get_type_hints(type(record)).values(), strict=True):
                assert matches(value, hint), (value, hint)
    assert errors > 1000


def matches(value: Any, hint: Any) -> bool:
    if get_origin(hint) is UnionType:
        return any(matches(value, part) for part in get_args(hint))
    if get_origin(hint) is tuple:
        return type(value) is tuple and all(matches(part, get_args(hint)[0]) for part in value)
    if hint is float:
        return type(value) in (float, int)
    if hint is int:
        return type(value) is int and -(2**63) <= value < 2**64
    return type(value) is hint and (hint is not str or value.isprintable())


def test_data_cut_anywhere_gives_one_clean_error(good: bytes) -> None:
    for size in range(0, len(good), 7):
        with pytest.raises(CorruptData):
            unpack(Tables, good[:size])


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"[1,[]]",
        b'[2,{"number":1}]',
        b'[1,{"number":true}]',
        b'[1,{"number":1e400}]',
        b'[1,{"number":99999999999999999999}]',
        b'[1,{"number":1,"execs":[1e9,0,{}]}]',
        b'[1,{"number":1,"execs":[1000000000,0,{}]}]',
        b'[1,{"number":1,"execs":[1,-4,{}]}]',
        b'[1,{"number":1,"execs":[1,0,{"pid":[0,["="]]}]}]',
        b'[1,{"number":1,"execs":[2,0,{"time_ns":[0,["d",[1],3]]}]}]',
        b"[" * 100_000,
        b'[1,{"number":' + b"9" * 10_000 + b"}]",
    ],
)
def test_a_header_that_means_harm_gives_one_clean_error(header: bytes) -> None:
    with pytest.raises(CorruptData):
        unpack(Tables, len(header).to_bytes(4, "little") + header)


def test_a_chapter_with_changed_bytes_gives_one_clean_error() -> None:
    node, rnd = Node(seed=7), random.Random(8)
    arrived = [Arrived(at, made) for number in range(2) for at, made in node.second(number)]
    events, stacks = ChapterWriter().pack(0, arrived)
    errors = 0
    for _ in range(300):
        bad = bytearray(events)
        bad[rnd.randrange(len(bad))] ^= 1 << rnd.randrange(8)
        chapter = Chapter(0, 0, Store().state())
        chapter.add(bytes(bad), stacks, arrived[-1].time_ns, 0)
        try:
            ChapterReader(chapter, scans=True, stacks_from_ns=0).next()
        except CorruptData:
            errors += 1
    assert errors > 100


def test_a_segment_that_lies_about_its_records_gives_one_clean_error() -> None:
    chapter = Chapter(0, 0, Store().state())
    head = (0, 0, 0.0, 5, None, False, False, "cpu")
    segment = Segment(0, [head], [0, 0], [], [], [], [], [], [], [], [], [], [], [], [])  # type: ignore[list-item]
    chapter.add(zlib.compress(pack(segment)), b"", 0, 0)
    with pytest.raises(CorruptData):
        ChapterReader(chapter, scans=True, stacks_from_ns=0).next()
