"""Random expressions and records that have to do with each other."""

from __future__ import annotations

import random

from ebtop.store.containers import Container
from ebtop.store.filter import expression, parse
from ebtop.store.filter.expression import All, Any, Node, Not
from ebtop.store.records import EventRecord, Frame, Record
from tests.unit.record_makers import connect, exec_, exit_, retransmit, stack, tcp, unseen_end

PIDS = (0, 1, 12, 300, 4194304)
COMMS = ("", "nginx", "a-long-name-of-", "(sd-pam)", "NGINX", "a b", "x\\x1b", "or", "é")
CGROUPS = (None, "/", "/system.slice", "/system.slice/nginx.service", "/system.slicer", "/docker/ab\\x2dc")
ADDRESSES = ("", "10.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "fe80::1")
ID = "0123456789abcdef" * 4
CONTAINER = Container("docker", ID, "web", "cart-1", "shop")

TERMS = (
    "pid:12", "pid:1,12,300", "pid!=12", "pid>100", "pid:1..100", "comm:nginx", "comm:NGINX", "comm:ngin*",
    "comm:a-long-name-of-a-process", 'comm:"a b"', "comm:(sd-pam)", "comm:x\\x1b", "comm~^n", "comm!~x$", "user:root",
    "uid>=1000", "uid!=0", "cgroup:/system.slice", "cgroup:nginx.service", "cgroup:/system*", "cgroup:/docker/ab\\x2dc",
    "container:web", "container:012345", "pod:shop/cart-*", "ns:shop", "container:*", "port:443", "port:8000..9000",
    "addr:10.0.0.0/8", "addr:::1", "saddr:10.*", "lat>100ms", "lat<=1s", "bytes>1k", "tx>0", "ret!=0", "ret:ENOENT",
    "exit:1", "signal:KILL", "duration>2s", "age<1m", "state:syn_sent", "dir:in", "kind:rto", "kind:cpu", "func:main",
    "func:*alloc*", "type:exec", "type:tcp,stack", "ppid:12", "parent:sh", "cmd:prog", "arg:-x", "result:refused",
    "ngin", "10.0.0", '"a b"', "nginx.service", "12", "main", "*in*x", '"and"', "to_pid", '"\\*"', 'comm:"\\*,x"',
    "*>x", '"quote\\"d"',
)  # fmt: skip


def node(rng: random.Random, depth: int = 3) -> Node:
    """A tree as the parser would make it."""
    if depth == 0 or rng.random() < 0.3:
        found = parse(rng.choice(TERMS)).expression
        assert found is not None
        return found
    if rng.random() < 0.3:
        return expression.negated(node(rng, depth - 1))
    parts = [node(rng, depth - 1) for _ in range(rng.randint(2, 3))]
    return expression.joined(rng.choice((All, Any)), parts)


def typed(rng: random.Random, tree: Node) -> str:
    """The tree as somebody might type it: any of the ways of writing things, needless blanks and parentheses."""
    if isinstance(tree, (All, Any)):
        words = ("and", "&&", "AND", "") if isinstance(tree, All) else ("or", "||", "Or")
        text = typed(rng, tree.of[0])
        for part in tree.of[1:]:
            text += f" {rng.choice(words)}{' ' * rng.randint(1, 2)}{typed(rng, part)}"
        return f"({text})"
    if isinstance(tree, Not):
        return f"{rng.choice(('not ', '!', 'NOT ', 'not not not '))}{typed(rng, tree.of)}"
    text = expression.as_text(tree)
    return f"({text} )" if rng.random() < 0.2 else text


def record(rng: random.Random) -> Record:
    """Of any type."""
    common = {
        "pid": rng.choice(PIDS), "comm": rng.choice(COMMS), "uid": rng.choice((None, 0, 1000)),
        "cgroup": rng.choice(CGROUPS),
    }  # fmt: skip
    ends = {
        "saddr": rng.choice(ADDRESSES), "daddr": rng.choice(ADDRESSES), "sport": rng.choice((0, 443, 8080)),
        "dport": rng.choice((443, 9000, 9001)),
    }  # fmt: skip
    number = rng.choice((0, 1, 5000))
    kind = rng.randrange(7)
    if kind == 0:
        return exec_(
            1, args=rng.choice(("prog -x", "nginx -g a")), ppid=rng.choice(PIDS), ret=rng.choice((0, -2))
        )._replace(**common)
    if kind == 1:
        if rng.random() < 0.2:
            return unseen_end(1, ppid=rng.choice(PIDS))._replace(**common)
        return exit_(1, exit_code=rng.choice((0, 1)), signal=rng.choice((0, 9)), ppid=rng.choice(PIDS))._replace(
            duration_s=rng.choice((0.1, 3.0)), **common
        )
    if kind == 2:
        return tcp("live", 1, tx_bytes=number, rx_bytes=number, state=rng.choice(("SYN_SENT", "ESTABLISHED")))._replace(
            direction=rng.choice((None, "in", "out")), duration_s=rng.choice((None, 1.0, 9.0)), **common, **ends
        )
    if kind == 3:
        return retransmit(1, kind=rng.choice(("rto", "fast")))._replace(**common, **ends)
    if kind == 4:
        return connect(1, rng.choice(("ok", "refused")), rng.choice((1.0, 500.0, 2000.0)))._replace(**common, **ends)
    if kind == 5:
        made = stack(1, "main", rng.choice(("malloc", "read")), thread=rng.choice(("", *COMMS)))
        return made._replace(**common, frames=(*made.frames, Frame("brk", "kernel", "")))
    fields = (("to_pid", number), ("signal", rng.choice((9, 15, None))), ("addr", rng.choice(ADDRESSES)))
    return EventRecord(made_at(), common["pid"], common["comm"], common["uid"], common["cgroup"], "signal", fields)


def made_at() -> int:
    return exec_(1).time_ns


def containers(cgroup: str | None) -> Container | None:
    """A lookup that knows one."""
    return CONTAINER if cgroup is not None and cgroup.startswith("/system.slice/") else None
