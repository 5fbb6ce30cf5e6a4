"""What stands out in an extract, as sentences for the first page of a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ebtop.export.extract import Extract
from ebtop.export.report import Code, Section, Words
from ebtop.export.stack_sums import Profile, profiles
from ebtop.export.stack_tree import StackTree
from ebtop.export.timestamps import rfc3339
from ebtop.store.evidence_diff import Change, EvidenceDiff, Side, compare
from ebtop.store.flame_diff import NOTICEABLE
from ebtop.store.flame_functions import without
from ebtop.store.flame_paths import is_code, title_of
from ebtop.units import count, duration, endpoint, latency, percent, plural, rate, size

_LATEST_S = 120.0
"""What changed: the last two minutes against those before, or the second half against the first of a short time."""
_LEAST_S = 20.0
_FEW = 5
_WIDE = 0.02
"""Of all time: what is narrower is not called the widest."""
_CHANGED = 10 * NOTICEABLE


class Recent(NamedTuple):
    """The end of an extract against what was before."""

    seconds: float
    before_s: float
    diff: EvidenceDiff


def sections(extract: Extract) -> Iterator[Section]:
    """In the order to read them; those with nothing to say are left out."""
    recent = recent_change(extract)
    for title, findings in (
        *[(profile.title[0].upper() + profile.title[1:], _stacks(profile)) for profile in extract.profiles],
        ("Programs", _programs(extract, recent)),
        ("Network", _network(extract)),
        ("What changed", _changes(recent) if recent else iter(())),
        ("Notes", _notes(extract)),
        ("What it cost", _cost(extract)),
    ):
        said = tuple(findings)
        if said:
            yield Section(title, said)


def recent_change(extract: Extract) -> Recent | None:
    """None: it is too short to be parted in two."""
    latest_s = min(_LATEST_S, extract.seconds / 2)
    if latest_s < _LEAST_S / 2:
        return None
    split_ns = extract.until_ns - int(latest_s * 1e9)
    profile = extract.profile
    latest = [p for p in profiles(extract.stacks(split_ns + 1, None), distinct=True) if p.kind == profile.kind]
    before, after = Side(extract.seconds - latest_s, profile.kind), Side(latest_s, profile.kind)
    after.stacks(latest[0].stacks if latest else ())
    before.stacks(profile.without(latest[0]) if latest else profile.stacks)
    # Those of the whole are wanted anyway.
    before.functions = without(profile.functions, after.functions)
    for record in extract.records():
        (before if record.time_ns <= split_ns else after).record(record)
    after.records(extract.open_connections())
    return Recent(latest_s, extract.seconds - latest_s, compare(before, after))


def side(extract: Extract, kind: str = "") -> Side:
    """An extract, to be compared with another. `kind` of stacks: that of its main profile where not given."""
    kind = kind or extract.profile.kind
    made = Side(extract.seconds, kind)
    for profile in extract.profiles:
        if profile.kind == kind:
            made.stacks(profile.stacks)
    made.records(extract.records())
    made.records(extract.open_connections())
    return made


def _stacks(profile: Profile) -> Iterator[Words]:
    if not profile.weight:
        return
    tree = profile.tree
    whole = tree.total[0]
    processes = sorted(tree.children(0), key=lambda node: -tree.total[node])[:_FEW]
    most = [(title_of(tree.frame(node)), percent(100 * tree.total[node] / whole)) for node in processes]
    yield (f"Most {profile.title}: ", *_listed(most), ".")
    functions = [row for row in profile.functions if row.own][:_FEW]
    own = [(row.frame.name, percent(100 * row.own / whole)) for row in functions]
    if own:
        yield ("Functions with the most of their own: ", *_listed(own), ".")
    node = _widest_end(tree)
    if is_code(tree.frame(node)):
        path = [title_of(frame) for frame in tree.frames_to(node)]
        shown = path if len(path) <= 8 else [*path[:3], "…", *path[-4:]]
        share = percent(100 * tree.total[node] / whole)
        yield ("The widest path ends in ", Code(path[-1]), f" ({share}): ", Code(" › ".join(shown)), ".")
    if profile.whole_weight < 0.95 * profile.weight:
        cut = percent(100 - 100 * profile.whole_weight / profile.weight)
        yield (f"{cut} of it has stacks that are cut: what called is not known.",)


def _widest_end(tree: StackTree) -> int:
    """Down the heaviest path, as far as it is most of what is above it and wide enough to matter."""
    node, total = 0, tree.total
    while True:
        child = max(tree.children(node), key=total.__getitem__, default=0)
        if not child or total[child] < max(0.5 * total[node] if node else 0, _WIDE * total[0]):
            return node
        node = child


def _programs(extract: Extract, recent: Recent | None) -> Iterator[Words]:
    commands = sorted(extract.snapshot.commands, key=lambda row: (-row.execs, row.comm))
    if commands:
        total = sum(row.execs for row in commands)
        most = [(row.comm, count(row.execs)) for row in commands[:_FEW]]
        yield (f"{plural(total, 'exec')}, most of: ", *_listed(most), ".")
    if recent and recent.diff.new_commands:
        yield (f"New in the last {duration(recent.seconds)}: ", *_named(recent.diff.new_commands), ".")
    for row in sorted(commands, key=lambda row: -(row.killed + row.nonzero))[:3]:
        if row.killed or row.nonzero:
            ends = ((row.nonzero, "ended with an exit code other than 0"), (row.killed, "were killed"))
            badly = ", ".join([f"{count(n)} {how}" for n, how in ends if n])
            yield (Code(row.comm), f": {badly}, of {count(row.exits)}.")
    for row in sorted(commands, key=lambda row: -row.failures)[:3]:
        if row.failures:
            yield (Code(row.comm), f": {plural(row.failures, 'exec')} failed.")


def _network(extract: Extract) -> Iterator[Words]:
    snapshot = extract.snapshot
    talkers = sorted(snapshot.talkers, key=lambda row: -(row.tx_bytes + row.rx_bytes))[:3]
    for talker in talkers:
        if talker.tx_bytes + talker.rx_bytes:
            moved = f"sent {size(talker.tx_bytes)}, received {size(talker.rx_bytes)}"
            still = plural(talker.open, "open connection")
            yield ("Top talker ", Code(talker.comm or "owner not known"), f" ({talker.pid or '-'}): {moved}, {still}.")
    sent_again = sorted(snapshot.retransmit_peers, key=lambda row: -row.segments)
    if sent_again:
        total = sum(row.segments for row in sent_again)
        peers = ", ".join(f"{endpoint(row.addr, row.port)} {count(row.segments)}" for row in sent_again[:_FEW])
        yield (f"{plural(total, 'segment')} sent again, most to {peers}.",)
    for target in sorted(snapshot.targets, key=lambda row: -(row.pending + row.finished))[:_FEW]:
        outcomes = (
            (target.pending, "pending"), (target.timeout, "timed out"), (target.refused, "refused"),
            (target.unreachable, "unreachable"), (target.aborted, "given up"), (target.ok, "slow"),
        )  # fmt: skip
        said = ", ".join([f"{count(n)} {word}" for n, word in outcomes if n])
        slowest = "" if target.max_ms is None else f", the slowest took {latency(target.max_ms)}"
        where = endpoint(target.addr, target.port)
        yield (f"Connects to {where}: {said}{slowest}; by ", Code(", ".join(target.comms[:3]) or "?"), ".")


def _changes(recent: Recent) -> Iterator[Words]:
    """The last minutes against those before, in shares and rates."""
    diff = recent.diff
    yield (f"The last {duration(recent.seconds)} against the {duration(recent.before_s)} before:",)
    for frame, before, after, *_ in [c for c in diff.functions if abs(c.own_delta) >= _CHANGED][:_FEW]:
        yield (Code(frame.name), f" itself took {percent(100 * before)}, now {percent(100 * after)} of the time.")
    for what, changes in (
        ("execs", diff.commands),
        ("connections", diff.peers),
        ("segments sent again", diff.retransmits),
        ("slow or failed connects", diff.connects),
    ):
        for change in [c for c in changes if _notable(c)][:3]:
            who = (" by ", Code(change.who)) if change.who else ()
            yield (Code(change.name), *who, f": {rate(change.before)}, now {rate(change.after)} {what} a minute.")
    if diff.new_peers:
        yield ("New peers: ", *_named(diff.new_peers), ".")
    if diff.gone_commands:
        yield ("Not seen any more: ", *_named(diff.gone_commands), ".")


def _notable(change: Change) -> bool:
    low, high = sorted((change.before, change.after))
    return high >= 1 and high >= 2 * low


def _cost(extract: Extract) -> Iterator[Words]:
    evidence = extract.evidence
    health = evidence.health()
    run_ns = sum(probe.run_ns for probe in health.probes)
    maps = sum(probe.map_bytes for probe in health.probes)
    seconds = (evidence.until_ns - evidence.from_ns) / 1e9
    if seconds and health.cpus:
        node = seconds * health.cpus * 1e9
        own, bpf = percent(100 * health.own_cpu_ns / node), percent(100 * run_ns / node)
        in_kernel = f"{bpf} in its BPF programs" if health.stats_enabled else "its BPF programs are not counted here"
        memory = f"{size(health.rss_bytes)} of memory, {size(maps)} of maps"
        yield (f"ebtop itself took {own} of the node's CPUs, {in_kernel}, {memory}.",)


def _notes(extract: Extract) -> Iterator[Words]:
    for note in extract.notes:
        yield (f"{rfc3339(note.time_ns)[11:19]}: ", Code(note.text))


def _listed(items: Sequence[tuple[str, str]]) -> list[str | Code]:
    """Names, each with a figure."""
    parts: list[str | Code] = []
    for name, figure in items:
        parts += [", ", Code(name), f" {figure}"]
    return parts[1:]


def _named(names: Sequence[str]) -> list[str | Code]:
    """The first few of them."""
    parts: list[str | Code] = []
    for name in names[:_FEW]:
        parts += [", ", Code(name)]
    return [*parts[1:], *([f" and {len(names) - _FEW} more"] if len(names) > _FEW else [])]
