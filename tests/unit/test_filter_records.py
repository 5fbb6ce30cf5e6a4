"""Which records pass a filter."""

from __future__ import annotations

import random
from typing import get_args

import pytest

from ebtop.store.containers import Container, no_containers
from ebtop.store.filter import fields, parse, predicates
from ebtop.store.filter.expression import All, Any, Not, negated
from ebtop.store.records import EventRecord, Frame, Record
from tests.unit import random_filters
from tests.unit.record_makers import connect, exec_, exit_, retransmit, stack, tcp, unseen_end


def passes(text: str, record: Record) -> bool:
    return parse(text).predicate(random_filters.containers)(record)


@pytest.mark.parametrize(
    ("text", "record", "expected"),
    [
        ("", exec_(1), True),
        ("pid:100", exec_(1), True),
        ("pid:101", exec_(1), False),
        ("pid:1,100", exec_(1), True),
        ("pid!=100", exec_(1), False),
        ("pid:50..150", exec_(1), True),
        ("pid:101..", exec_(1), False),
        ("comm:curl", tcp("live", 1), True),
        ("comm:CURL", tcp("live", 1), False),
        ("comm:CUR*", tcp("live", 1), True),
        ('comm:"cur*"', tcp("live", 1), True),
        ('comm:"cur\\*"', tcp("live", 1), False),
        ('comm:"cur\\*"', tcp("live", 1, comm="cur*"), True),
        ("comm~^C.RL$", tcp("live", 1), True),
        ("comm:a-long-name-of-a-process", tcp("live", 1, comm="a-long-name-of-"), True),
        ("comm:\\x1b[31mred-and-long", tcp("live", 1, comm="\\x1b[31mred-and-long"), True),
        ("comm:prog", stack(1, "main", thread="worker"), True),
        ("comm:worker", stack(1, "main", thread="worker"), True),
        ("uid>=1000", exec_(1), True),
        ("uid:1000", exec_(1, uid=None), False),
        ("uid!=1000", exec_(1, uid=None), True),
        ("user:root", exec_(1, uid=0), True),
        ("user:0", exec_(1, uid=0), True),
        ("user:ro*", exec_(1, uid=0), True),
        ("user~^root$", exec_(1, uid=0), True),
        ("user:root", exec_(1, uid=None), False),
        ("ppid:1", exec_(1), True),
        ("ppid:1", exit_(1, ppid=2), False),
        ("parent:sh", exec_(1), True),
        ("cmd:-x", exec_(1, args="prog -xyz"), True),
        ('cmd:"PROG -x"', exec_(1, args="prog -xyz"), True),
        ("cmd:pr*xyz", exec_(1, args="prog -xyz"), True),
        ("cmd:missing", exec_(1, args="", filename="/no/missing"), True),
        ("arg:-x", exec_(1, args="prog -xyz"), False),
        ("arg:-x", exec_(1, args="prog -x"), True),
        ("arg:-x*", exec_(1, args="prog -xyz"), True),
        ("cgroup:/user.slice", exec_(1, cgroup="/user.slice/a"), True),
        ("cgroup:/user.slice/", exec_(1, cgroup="/user.slice"), True),
        ("cgroup:/user.slice", exec_(1, cgroup="/user.slicer"), False),
        ("cgroup:/user.slice", exec_(1, cgroup=None), False),
        ("cgroup:/", exec_(1), True),
        ("cgroup:a.service", exec_(1, cgroup="/x/a.service/b"), True),
        ("cgroup:service", exec_(1, cgroup="/x/a.service/b"), False),
        ("cgroup:/x*service", exec_(1, cgroup="/x/a.service"), True),
        ("port:443", tcp("live", 1), True),
        ("port:40000", tcp("live", 1), True),
        ("port:40001..50000", tcp("live", 1), False),
        ("sport:443", tcp("live", 1), False),
        ("dport:443", connect(1), True),
        ("addr:10.0.0.2", tcp("live", 1), True),
        ("saddr:10.0.0.2", tcp("live", 1), False),
        ("daddr:10.0.0.2", retransmit(1), True),
        ("addr:10.0.0.0/24", tcp("live", 1), True),
        ("addr:10.1.0.0/16", tcp("live", 1), False),
        ("addr:0.0.0.0/0", tcp("live", 1, saddr="::1", daddr="::1"), False),
        ("addr:0:0:0:0:0:0:0:1", tcp("live", 1, saddr="::1"), True),
        ("addr:::ffff:10.0.0.2", tcp("live", 1), True),
        ("addr:fe80::1%eth0", tcp("live", 1, daddr="fe80::1"), True),
        ("addr:fe80::/10", tcp("live", 1, daddr="fe80::1"), True),
        ("addr:10.0.*", tcp("live", 1), True),
        ("daddr!=10.0.0.0/8", connect(1, daddr=""), True),
        ("ip:6", tcp("live", 1), False),
        ("dir:out", tcp("live", 1), True),
        ("dir:in", tcp("live", 1, direction=None), False),
        ("state:established", tcp("live", 1), True),
        ("state:syn-sent", tcp("live", 1, state="SYN_SENT"), True),
        ("state:fin_wait*", tcp("live", 1, state="FIN_WAIT2"), True),
        ("state:closed", tcp("close", 1, state="LAST_ACK"), True),
        ("state:closed", tcp("live", 1), False),
        ("state:reset", tcp("close", 1, reset="peer"), True),
        ("state:refused,timeout", tcp("close", 1, state="SYN_SENT", error="ECONNREFUSED"), True),
        ("state:syn_sent", tcp("close", 1, state="SYN_SENT", error="ECONNREFUSED"), True),
        ("event:close", tcp("close", 1), True),
        ("bytes>1k", tcp("live", 1, tx_bytes=1024), False),
        ("bytes>1k", tcp("live", 1, tx_bytes=1024, rx_bytes=1), True),
        ("tx>=1KiB", tcp("live", 1, tx_bytes=1024), True),
        ("rx:0", tcp("live", 1), True),
        ("retransmits>2", tcp("live", 1, retransmits=3), True),
        ("segments>2", retransmit(1, 2), False),
        ("lat>100ms", connect(1), True),
        ("lat>100", connect(1), True),
        ("lat>0.2s", connect(1), False),
        ("lat:100ms..1s", connect(1), True),
        ("result:refused,timeout", connect(1, "timeout"), True),
        ("error:econn*", connect(1, "refused", error="ECONNREFUSED"), True),
        ("error:*", connect(1), False),
        ("ret!=0", exec_(1), False),
        ("ret:ENOENT", exec_(1, ret=-2), True),
        ("ret:-2", exec_(1, ret=-2), True),
        ("exit:0", exit_(1), True),
        ("exit:0", exit_(1, signal=9), False),
        ("exit!=0", exit_(1, signal=9), True),
        ("signal:kill", exit_(1, signal=9), True),
        ("signal>0", exit_(1), False),
        ("exit:0", unseen_end(1), False),
        ("exit>=0", unseen_end(1), False),
        ("signal:0", unseen_end(1), False),
        ("signal:0..64", unseen_end(1), False),
        ("duration<1h", unseen_end(1), False),
        ("type:exit comm:prog", unseen_end(1), True),
        ("duration>500ms", exit_(1), False),
        ("age<1m", exit_(1), True),
        ("duration>0", tcp("live", 1, duration_s=None), False),
        ("func:main", stack(1, "_start", "main"), True),
        ("func:mai", stack(1, "_start", "main"), False),
        ("func:MA*N", stack(1, "_start", "main"), True),
        ("module:prog", stack(1, "main"), True),
        ("samples>=2", stack(1, "main", samples=2), True),
        ("kind:cpu", stack(1, "main"), True),
        ("kind:offcpu", stack(1, "main"), False),
        ("state:io", stack(1, "main", kind="offcpu", state="io"), True),
        ("state:io", stack(1, "main", kind="offcpu", state="sleep"), False),
        ("waker:nginx", stack(1, "main", kind="offcpu", waker="nginx"), True),
        ("waker:nginx", stack(1, "main", kind="offcpu", waker="interrupt"), False),
        ("waker:nginx", stack(1, "main"), False),
        ("blocked>100ms", stack(1, "main", kind="offcpu", amount=101_000_000), True),
        ("blocked>100ms", stack(1, "main", kind="offcpu", amount=99_000_000), False),
        ("blocked>1ms", stack(1, "main", kind="faults", amount=99_000_000), False),
        ("kind:rto", retransmit(1, kind="fast"), False),
        ("type:exec,exit", exit_(1), True),
        ("type:exec,exit", stack(1), False),
        ("not type:exec", exit_(1), True),
    ],
)  # fmt: skip
def test_terms(text: str, record: Record, expected: bool) -> None:
    assert passes(text, record) is expected


def test_a_term_says_nothing_about_records_without_its_field() -> None:
    slow, fast = connect(1, latency_ms=200, pid=12), connect(1, latency_ms=1, pid=12)
    start, stranger = exec_(1, 12), exec_(1, 13)
    assert [passes("lat>100ms pid:12", r) for r in (slow, fast, start, stranger)] == [True, False, True, False]
    assert [passes("lat>100ms or pid:12", r) for r in (slow, fast, start, stranger)] == [True, True, True, False]
    assert [passes("not lat>100ms", r) for r in (slow, fast, start)] == [False, True, True]
    assert [passes("lat>100ms", r) for r in (slow, fast, start)] == [True, False, True]
    assert [passes("type:connect lat>100ms", r) for r in (slow, fast, start)] == [True, False, False]


def test_kinds_of_retransmits_say_nothing_about_stacks() -> None:
    assert passes("kind:rto", stack(1, "main"))
    assert not passes("kind:rto", retransmit(1, kind="tlp"))
    assert passes("kind:cpu", retransmit(1))
    assert not passes("kind:rto,offcpu", stack(1, "main"))


def test_containers() -> None:
    inside, outside = exec_(1, cgroup="/system.slice/x"), exec_(1, cgroup="/")
    for text in ("container:web", "container:WE*", "container:012345", f"container:{random_filters.ID}", "pod:cart-1",
                 "pod:shop/cart-*", "ns:shop", "runtime:docker", "container~^w", "web", "012345"):  # fmt: skip
        assert passes(text, inside), text
        assert not passes(text, outside), text
    for text in ("container:01234", "container:ab0123", "pod:other/cart-1", "container:we"):
        assert not passes(text, inside), text
    assert passes("container!=web", outside)
    assert passes("not container:*", outside)


def test_a_service_is_a_container_by_its_unit() -> None:
    unit = Container("systemd", "nginx.service", None, None, None)
    assert parse("container:nginx.*").predicate(lambda _: unit)(exec_(1))
    assert not parse("pod:*").predicate(lambda _: unit)(exec_(1))


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("NGIN", exec_(1, comm="nginx")),
        ("conf", exec_(1, args="prog --config x")),
        ('"g --c"', exec_(1, args="prog --config x")),
        ("missing", exec_(1, args="", filename="/missing")),
        ("r.sli", exec_(1)),
        ("sigkill", exit_(1, signal=9)),
        ("10.0.0.2:443", tcp("live", 1)),
        ("refus", connect(1, "refused")),
        ("econnref", connect(1, "refused", error="ECONNREFUSED")),
        ("syn_s", tcp("live", 1, state="SYN_SENT")),
        ("alloc", stack(1, "main", "malloc")),
        ("m*c", stack(1, "malloc")),
        ("work", stack(1, "main", thread="worker")),
        ("100", exec_(1, 100)),
        ("10.9.", EventRecord(0, 1, "x", 0, None, "drop", (("peer", "10.9.9.9"),))),
    ],
)
def test_free_text(text: str, record: Record) -> None:
    assert passes(text, record)
    assert not passes(f"not {text}", record)
    assert not passes(f"zzz {text}", record)


def test_free_text_is_not_found_across_two_texts_nor_in_a_longer_pid() -> None:
    assert not passes("progsh", exec_(1))
    assert not passes("10", exec_(1, 100))


def test_event_records_have_the_fields_they_name() -> None:
    event = EventRecord(0, 7, "kill", 0, None, "signal", (("signal", 9), ("to_pid", 3), ("reason", None)))
    other = EventRecord(0, 7, "kill", 0, None, "drop", (("error", "NO_SOCKET"),))
    assert [passes("signal:KILL", r) for r in (event, other)] == [True, True]
    assert [passes("signal:TERM", r) for r in (event, other)] == [False, True]
    assert [passes("error:no_*", r) for r in (event, other)] == [True, True]
    assert [passes("error:yes", r) for r in (event, other)] == [True, False]
    assert [passes("type:drop", r) for r in (event, other)] == [False, True]
    assert passes("pid:7 comm:kill", event)


def test_a_value_that_is_not_known_matches_nothing() -> None:
    nobody = tcp("live", 1, pid=0, comm="", uid=None, cgroup=None, direction=None, duration_s=None, saddr="", sport=0)
    for text in ("pid>0", "pid<9", "comm:*", "uid>=0", "user:*", "cgroup:/", "dir:in,out", "duration>0", "saddr:*",
                 "sport<9", "comm~.*", "sport:1..9"):  # fmt: skip
        assert not passes(text, nobody), text
        assert passes(f"not {text}", nobody), text


def test_a_hostile_stack_is_no_burden() -> None:
    deep = stack(1)._replace(frames=tuple(Frame("x" * 1000, "native", "") for _ in range(500)))
    assert not passes("func:*a*a*a*a*a*b", deep)


@pytest.mark.parametrize("seed", range(150))
def test_the_rules_of_logic_hold(seed: int) -> None:
    rng = random.Random(seed)
    first, second = random_filters.node(rng, 2), random_filters.node(rng, 2)

    def decides(node: All | Any | Not) -> object:
        return predicates.predicate(node, random_filters.containers)

    same = [
        (Not(All((first, second))), Any((negated(first), negated(second)))),
        (Not(Any((first, second))), All((negated(first), negated(second)))),
        (Not(Not(first)), All((first, first))),
    ]
    records = [random_filters.record(rng) for _ in range(40)]
    for one, other in same:
        left, right = decides(one), decides(other)
        assert [left(r) for r in records] == [right(r) for r in records]  # type: ignore[operator]


def test_without_containers_nothing_is_in_one() -> None:
    assert not parse("container:*").predicate(no_containers)(exec_(1))


def test_every_record_type_can_be_filtered() -> None:
    assert set(fields.RECORD_TYPES) == set(get_args(Record))
    passes = parse("x or pid:1 and not type:exec").predicate()
    for seed in range(60):
        passes(random_filters.record(random.Random(seed)))
