"""Names that would do harm where they are written without care, and what must never be found in a file."""

from __future__ import annotations

from collections.abc import Callable

from ebtop.store.evidence import Note
from ebtop.store.records import Batch, EventRecord, Frame, Record
from ebtop.text import clean
from tests.unit.evidence_maker import ListedEvidence, probe, tick
from tests.unit.record_makers import at, connect, exec_, exit_, retransmit, stack, tcp

NAMES = (
    "<script>window.pwned=1</script>",
    "\"><img src=x onerror='window.pwned=1'>",
    "</title></svg><svg onload=window.pwned=1>",
    "]]><script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    "javascript:window.pwned=1",
    "[click](javascript:window.pwned=1)",
    "![x](http://evil.example/x.png)",
    "| a | b |",
    "`rm -rf`",
    "# heading",
    '=HYPERLINK("http://evil.example","x")',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd",
    "@SUM(1)",
    "'; DROP TABLE records; --",
    "a;b;c 12",
    "two\nlines\r\nand\ttabs",
    "\x1b]0;PWNED\x07\x1b[41mred",
    "\x9b41m",
    "\u202ertl\u202c",
    "nul\x00byte",
    "\udcff\udcfe undecodable",
    "\ufffe\U0001fffe",
    "&amp;&#x3c;b&#x3e;",
    "100%{x}$(y)",
    "漢字",
    "",
)
RAW = ("\x1b", "\x07", "\x9b", "\u202e", "\x00", "\ufffe")
"""Characters that no file has."""


def hostile_batches() -> list[Batch]:
    """The same as seconds of a node; text is printable, as it is once it has come in."""
    evidence = hostile_evidence(clean)
    records = [*evidence.records(), *evidence.stacks()]
    return [
        Batch(at(second + 1), [r for r in records if at(second) <= r.time_ns < at(second + 1)], sampled_s=1.0)
        for second in range(len(NAMES) + 1)
    ]


def hostile_evidence(written: Callable[[str], str] = str) -> ListedEvidence:
    """Every text of every record is hostile; `written` is what is done to it first."""
    records: list[Record] = []
    stacks = []
    for n, name in enumerate(map(written, NAMES)):
        records += [
            exec_(n, 100 + n, comm=name, parent_comm=name, filename=name, cgroup=name, args_truncated=n)._replace(
                args=(name, name)
            ),
            exit_(n + 0.5, 100 + n, comm=name, cgroup=name, exit_code=1),
            tcp("connect", n, key=n, pid=100 + n, comm=name, daddr=f"10.0.0.{n}"),
            retransmit(n, pid=100 + n, comm=name),
            connect(n, "timeout", 900.0, pid=100 + n, comm=name, error="ETIMEDOUT"),
            EventRecord(at(n), 100 + n, name, 0, name, "read", (("file", name), ("bytes", n))),
        ]
        frames = tuple(Frame(name, kind, name) for kind in ("native", "kernel", "interpreted", "jit", "unknown"))
        stacks.append(
            stack(
                n, comm=name, pid=100 + n, thread=name, cgroup=name, complete=bool(n % 3), period_ns=20_408_163
            )._replace(frames=frames, samples=n + 1)
        )
    return ListedEvidence(
        records,
        stacks,
        seconds=60.0,
        notes=[Note(at(n), name) for n, name in enumerate(NAMES)],
        probes=[probe(lost=dict.fromkeys(NAMES, 1), notes=NAMES)],
        incomplete=NAMES,
        ticks=[tick(n, execs=n) for n in range(60)],
    )
