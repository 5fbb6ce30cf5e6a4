"""What a drill-down selects."""

from __future__ import annotations

import random

import pytest

from ebtop.store import focus_selections
from ebtop.store.filter import FilterSelection, parse
from ebtop.store.focus_selections import Both, OfCommand, OfConnection, OfFrame, OfPeer, OfProcess
from ebtop.store.records import EventRecord, ExecRecord, ExitRecord, Frame, Record
from ebtop.store.selection import Pushed, Selection
from tests.unit import random_filters
from tests.unit.record_makers import NETNS, connect, exec_, exit_, retransmit, stack, tcp
from tests.unit.test_filter_push import in_kernel

OTHER_NETNS = NETNS + 1


def passing(selection: Selection, *records: Record) -> list[bool]:
    return [selection.predicate()(record) for record in records]


def in_turn(selection: Selection, *records: Record) -> list[bool]:
    passes = selection.predicate()
    return [passes(record) for record in records]


def test_a_process_and_what_its_children_start() -> None:
    selection = OfProcess(300, "curl")
    assert selection.text == "curl (300)"
    assert passing(selection, tcp("live", 1), exec_(1, 300), exec_(1, 7, ppid=300), exit_(1, 7, ppid=300)) == [True] * 4
    assert passing(selection, tcp("live", 1, pid=7), exec_(1, 7, ppid=30)) == [False] * 2
    assert selection.pushed() == Pushed(pids=frozenset((300,)))


def test_a_command() -> None:
    selection = OfCommand("curl")
    assert passing(selection, tcp("live", 1), tcp("live", 1, comm="Curl"), stack(1, thread="curl")) == [
        True, False, False,
    ]  # fmt: skip
    assert selection.pushed() == Pushed(comms=frozenset(("curl",)))
    assert OfCommand("\\x1b[31m").pushed() is None


def test_everyone_who_talks_to_a_peer() -> None:
    selection = OfPeer("10.0.0.2")
    assert selection.text == "10.0.0.2"
    assert passing(selection, tcp("live", 1), retransmit(1, dport=80), connect(1, "pending", saddr="", sport=0)) == [
        True, True, True,
    ]  # fmt: skip
    assert passing(selection, tcp("live", 1, saddr="10.0.0.2", daddr="10.0.0.9")) == [False]
    assert selection.pushed() is None


def test_one_port_of_a_peer_and_its_own_end_on_this_node() -> None:
    selection = OfPeer("fd00::2", 5432)
    assert selection.text == "[fd00::2]:5432"
    mine = {"daddr": "fd00::2", "dport": 5432}
    assert passing(selection, tcp("live", 1, **mine), tcp("live", 1, daddr="fd00::2")) == [True, False]
    assert passing(selection, tcp("live", 1, saddr="fd00::2", sport=5432)) == [True]


def test_what_else_those_do_that_talk_to_a_peer() -> None:
    before, after, stranger = exec_(1, 300), exec_(3, 300), exec_(3, 301)
    samples, event = stack(3, "main", pid=300), EventRecord(3, 300, "curl", 0, None, "signal", ())
    end, reused = exit_(4, 300), stack(5, "main", pid=300)
    answers = in_turn(OfPeer("10.0.0.2"), before, tcp("live", 2), after, stranger, samples, event, end, reused)
    assert answers == [False, True, True, False, True, True, True, False]


def test_a_socket_that_is_closed_after_its_process_ended_teaches_nothing() -> None:
    selection = OfPeer("10.0.0.2")
    assert in_turn(selection, exit_(1, 300), tcp("close", 1), exec_(2, 300)) == [False, True, False]
    assert in_turn(selection, exit_(1, 300), tcp("connect", 2), exec_(2, 300)) == [False, True, True]
    assert in_turn(selection, tcp("close", 1, pid=0), stack(2, pid=0)) == [True, False]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(focus_selections, "_MOST_PIDS", 2)
    monkeypatch.setattr(focus_selections, "_MOST_ENDED", 1)
    talk = [tcp("live", 1, pid=pid) for pid in (1, 2, 1, 3)]
    assert in_turn(OfPeer("10.0.0.2"), *talk, *[exec_(2, pid) for pid in (1, 2, 3)])[4:] == [True, False, True]
    late = [tcp("close", 2, pid=pid) for pid in (1, 2)]
    ended = [exit_(1, 1), exit_(1, 2)]
    assert in_turn(OfPeer("10.0.0.2"), *ended, *late, exec_(3, 1), exec_(3, 2))[4:] == [True, False]


def test_a_connection_and_its_other_end() -> None:
    selection = OfConnection("10.0.0.1", 40000, "10.0.0.2", 443, NETNS)
    assert selection.text == "10.0.0.1:40000 → 10.0.0.2:443"
    other_end = {"saddr": "10.0.0.2", "sport": 443, "daddr": "10.0.0.1", "dport": 40000}
    assert passing(
        selection,
        tcp("live", 1), retransmit(1), connect(1), tcp("live", 1, **other_end),
        tcp("live", 1, netns=OTHER_NETNS, **other_end),
    ) == [True] * 5  # fmt: skip
    assert (
        passing(
            selection, tcp("live", 1, netns=OTHER_NETNS), tcp("live", 1, sport=40001), connect(1, saddr="", sport=0)
        )
        == [False] * 3
    )
    assert in_turn(selection, tcp("live", 1), tcp("live", 1, pid=9, **other_end), exec_(2, 300), stack(2, pid=9)) == [
        True, True, True, True,
    ]  # fmt: skip


def test_loopback_stays_in_its_namespace() -> None:
    selection = OfConnection("127.0.0.1", 40000, "127.0.0.1", 80, NETNS)
    other_end = tcp("live", 1, saddr="127.0.0.1", sport=80, daddr="127.0.0.1", dport=40000)
    assert passing(selection, other_end, other_end._replace(netns=OTHER_NETNS)) == [True, False]


def test_a_frame_and_the_processes_it_is_in() -> None:
    selection = OfFrame("malloc", "libc.so.6")
    inside = stack(1)._replace(pid=7, frames=(Frame("main", "native", "x"), Frame("malloc", "native", "libc.so.6")))
    elsewhere = stack(1)._replace(pid=7, frames=(Frame("malloc", "native", "other.so"),))
    assert selection.text == "malloc (libc.so.6)"
    assert OfFrame("do_exit", "").text == "do_exit"
    assert in_turn(selection, elsewhere, tcp("live", 1, pid=7), inside, tcp("live", 2, pid=7), elsewhere) == [
        False, False, True, True, False,
    ]  # fmt: skip


def test_both_learn_from_every_record() -> None:
    selection = Both(FilterSelection(parse("lat>100ms")), OfPeer("10.0.0.2"))
    assert selection.text == "lat>100ms · 10.0.0.2"
    assert in_turn(selection, connect(1, latency_ms=1), exec_(2, 300), connect(3, latency_ms=500)) == [
        False, True, True,
    ]  # fmt: skip


def test_what_both_push() -> None:
    process, command, peer = OfProcess(300, "curl"), OfCommand("curl"), OfPeer("10.0.0.2")
    assert Both(process, command).pushed() == Pushed(frozenset((300,)), frozenset(("curl",)))
    assert Both(process, peer).pushed() is None
    assert Both(command, Both(process, peer)).pushed() is None


@pytest.mark.parametrize("seed", range(60))
def test_what_passes_also_passes_the_kernel(seed: int) -> None:
    """Whoever sees less learns less, too: the kernel's choice must not change what passes."""
    rng = random.Random(seed)
    choices: list[Selection] = [
        OfProcess(rng.choice(random_filters.PIDS[1:]), "x"), OfCommand(rng.choice(random_filters.COMMS[1:])),
        OfPeer("10.0.0.1"), OfPeer("10.1.2.3", 443), OfFrame("malloc", "prog"),
        FilterSelection(parse(random_filters.typed(rng, random_filters.node(rng, 1))), random_filters.containers),
    ]  # fmt: skip
    selection = rng.choice(choices)
    for _ in range(rng.randint(0, 2)):
        selection = Both(selection, rng.choice(choices))
    limit = selection.pushed() or Pushed()
    records = [random_filters.record(rng) for _ in range(200)]
    everything, limited = selection.predicate(), selection.predicate()
    for record in records:
        reaches_us = isinstance(record, (ExecRecord, ExitRecord)) or in_kernel(limit, record)
        assert everything(record) == (reaches_us and limited(record))
