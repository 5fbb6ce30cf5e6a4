"""What of a filter the kernel decides: never less than what passes."""

from __future__ import annotations

import random

import pytest

from ebtop.store.filter import FilterSelection, parse
from ebtop.store.filter.push import both
from ebtop.store.records import Record, StackRecord
from ebtop.store.selection import Pushed
from ebtop.text import printable
from tests.unit import random_filters
from tests.unit.record_makers import exec_


def pushed(*pids: int, comms: tuple[str, ...] = (), cgroups: tuple[str, ...] = ()) -> Pushed:
    return Pushed(frozenset(pids), frozenset(comms), cgroups)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("pid:1", pushed(1)),
        ("pid:1,2", pushed(1, 2)),
        ("pid:1 or pid:2,3", pushed(1, 2, 3)),
        ("pid:1,2 pid:2,3", pushed(2)),
        ("pid:1 pid:2", pushed(1)),
        ("pid:1 lat>100ms", pushed(1)),
        ("pid:1 or lat>100ms", None),
        ("pid:1 or comm:x", None),
        ("(pid:1 comm:a) or (pid:2 comm:b)", pushed(1, 2, comms=("a", "b"))),
        ("(pid:1 comm:a) or pid:2", pushed(1, 2)),
        ("pid!=1", None),
        ("not (pid!=1)", pushed(1)),
        ("pid>1", None),
        ("pid:1..2", None),
        ("pid:1.0", None),
        ("nginx pid:007", pushed(7)),
        ("comm:nginx", pushed(comms=("nginx",))),
        ("comm:NGINX", pushed(comms=("NGINX",))),
        ("comm:ngin*", None),
        ("comm~nginx", None),
        ("comm:a-long-name-of-a-process", pushed(comms=("a-long-name-of-",))),
        ("comm:a-long-name-of-1,x comm:a-long-name-of-2,x", pushed(comms=("a-long-name-of-", "x"))),
        ("comm:\\x1b[31m", None),
        ("comm:a\\x41", pushed(comms=("a\\x41",))),
        ("comm:fourteen-char-é", None),
        ("parent:cron", None),
        ("user:root", None),
        ("cgroup:/a", pushed(cgroups=("/a",))),
        ("cgroup:/a/b cgroup:/a,/c", pushed(cgroups=("/a/b",))),
        ("cgroup:/a or cgroup:/b", pushed(cgroups=("/a", "/b"))),
        ("cgroup:a.service", None),
        ("cgroup:/", None),
        ("cgroup:/a*", None),
        ("cgroup:/system-serial\\x2dgetty.slice", pushed(cgroups=("/system-serial\\x2dgetty.slice",))),
        ("cgroup:/a\\x1b", None),
        ("container:web", None),
        ("pid:1 cgroup:/a comm:x port:443", pushed(1, comms=("x",), cgroups=("/a",))),
    ],
)
def test_what_is_pushed(text: str, expected: Pushed | None) -> None:
    assert parse(text).pushed() == expected


def test_more_than_the_kernel_has_room_for_is_not_pushed() -> None:
    assert parse(f"comm:x pid:{','.join(map(str, range(1, 900)))}").pushed() == pushed(comms=("x",))
    assert parse(" or ".join(f"pid:{pid}" for pid in range(1, 300))).pushed() is None


def test_containers_are_pushed_where_their_cgroups_are_known() -> None:
    known = {"web": ("/docker/1", "/docker/2"), "db": ("/docker/3",)}
    assert parse("container:web").pushed(known.get) == pushed(cgroups=("/docker/1", "/docker/2"))
    assert parse("container:web or container:db").pushed(known.get) == pushed(
        cgroups=("/docker/1", "/docker/2", "/docker/3")
    )
    assert parse("container:web,other").pushed(known.get) is None
    assert FilterSelection(parse("container:db"), containers_to_cgroups=known.get).pushed() == pushed(
        cgroups=("/docker/3",)
    )


def test_both() -> None:
    assert both(None, None) is None
    assert both(pushed(1), None) == both(None, pushed(1)) == pushed(1)
    assert both(pushed(1, 2), pushed(2, comms=("x",))) == pushed(2, comms=("x",))
    assert both(pushed(1), pushed(2)) == pushed(1)


@pytest.mark.parametrize("seed", range(300))
def test_what_passes_the_filter_passes_the_kernel(seed: int) -> None:
    rng = random.Random(seed)
    tree = parse(random_filters.typed(rng, random_filters.node(rng)))
    passes, limit = tree.predicate(random_filters.containers), tree.pushed()
    for _ in range(60):
        record = random_filters.record(rng)
        assert limit is None or not passes(record) or in_kernel(limit, record), (tree.canonical, limit, record)


def in_kernel(limit: Pushed, record: Record) -> bool:
    """As bpf/filter.h decides; of samples either the thread's name or the process's counts."""
    names = {record.comm, record.thread} if isinstance(record, StackRecord) else {record.comm}
    if limit.pids and record.pid not in limit.pids:
        return False
    if limit.comms and not names & {printable(comm.encode()[:15]) for comm in limit.comms}:
        return False
    path = record.cgroup
    return not limit.cgroups or (
        path is not None and any(path == top or path.startswith(f"{top}/") for top in limit.cgroups)
    )


def test_a_filter_selection_is_its_filter() -> None:
    selection = FilterSelection(parse(" container:web "), random_filters.containers)
    assert selection.text == "container:web"
    assert selection.predicate()(exec_(1, cgroup="/system.slice/x"))
    assert selection.pushed() is None
