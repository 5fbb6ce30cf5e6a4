"""The tables of a report, from the rows that the panes show."""

from __future__ import annotations

from collections.abc import Iterator

from ebtop.export.extract import Extract
from ebtop.export.report import Column, MadeRows, Table
from ebtop.export.timestamps import rfc3339
from ebtop.store.flame_functions import Function
from ebtop.store.names import signal_name
from ebtop.store.records import ExitRecord
from ebtop.store.rows import ExecRow
from ebtop.units import count, duration, endpoint, latency, percent, rate, size

_NUMBER, _CODE = "number", "code"


def tables(extract: Extract) -> Iterator[Table]:
    """All of them, whole, in the order of the panes."""
    yield _functions(extract)
    yield _commands(extract)
    yield _failures(extract)
    yield _execs(extract)
    yield _talkers(extract)
    yield _peers(extract)
    yield _connections(extract)
    yield _retransmits(extract)
    yield _targets(extract)
    yield _connects(extract)
    yield _costs(extract)


def _functions(extract: Extract) -> Table:
    profile = extract.profile
    whole = max(1, profile.weight)

    def row(function: Function) -> tuple[str, ...]:
        frame, own, total = function
        return frame.name, frame.module, frame.kind, percent(100 * own / whole), percent(100 * total / whole)

    columns = (
        Column("function", _CODE), Column("module", _CODE), Column("kind"), Column("self", _NUMBER),
        Column("with callees", _NUMBER),
    )  # fmt: skip
    rows = MadeRows(profile.functions, row)
    return Table("Functions", columns, rows, f"share of {profile.title}", f"no samples of {profile.title}")


def _commands(extract: Extract) -> Table:
    found = sorted(extract.snapshot.commands, key=lambda row: (-row.execs, row.comm))
    rows = [
        (
            row.comm, count(row.execs), count(row.running), count(row.failures), count(row.nonzero), count(row.killed),
            count(row.unseen), duration(row.mean_s), duration(row.max_s), _at(row.time_ns), extract.text(row.command),
        )
        for row in found
    ]  # fmt: skip
    columns = (
        Column("command", _CODE), Column("execs", _NUMBER), Column("running", _NUMBER), Column("failed execs", _NUMBER),
        Column("exit code not 0", _NUMBER), Column("killed", _NUMBER), Column("end not seen", _NUMBER),
        Column("mean life", _NUMBER), Column("longest", _NUMBER), Column("latest"),
        Column("latest command line", _CODE),
    )  # fmt: skip
    return Table("Commands", columns, rows, "all processes that started under one name", "no program was started")


def _failures(extract: Extract) -> Table:
    ended: dict[tuple[str, str], int] = {}
    for record in extract.records():
        if type(record) is ExitRecord and (record.signal or record.exit_code):
            how = signal_name(record.signal) if record.signal else f"exit code {record.exit_code}"
            key = (record.comm, f"{how}, core dumped" if record.core_dumped else how)
            ended[key] = ended.get(key, 0) + 1
    rows = [(comm, how, count(n)) for (comm, how), n in sorted(ended.items(), key=lambda item: (-item[1], item[0]))]
    columns = (Column("command", _CODE), Column("how"), Column("times", _NUMBER))
    return Table("Processes that ended badly", columns, rows, "", "none was seen to end but with exit code 0")


def _execs(extract: Extract) -> Table:
    rows = [
        (_at(row.time_ns), str(row.pid), row.comm, _user(extract, row), row.status, duration(row.duration_s),
         extract.text(row.command))
        for row in extract.snapshot.execs
    ]  # fmt: skip
    columns = (
        Column("time"), Column("pid", _NUMBER), Column("command", _CODE), Column("user", _CODE), Column("status"),
        Column("lived", _NUMBER), Column("command line", _CODE),
    )  # fmt: skip
    return Table("Programs started last", columns, rows, "newest first", "no program was started")


def _talkers(extract: Extract) -> Table:
    found = sorted(extract.snapshot.talkers, key=lambda row: (-(row.tx_bytes + row.rx_bytes), -row.opened, row.comm))
    rows = [
        (
            row.comm or "owner not known", str(row.pid or "-"), size(row.tx_bytes), size(row.rx_bytes), count(row.open),
            count(row.opened), count(row.retransmits),
        )
        for row in found
    ]  # fmt: skip
    columns = (
        Column("process", _CODE), Column("pid", _NUMBER), Column("sent", _NUMBER), Column("received", _NUMBER),
        Column("open", _NUMBER), Column("opened", _NUMBER), Column("retransmits", _NUMBER),
    )  # fmt: skip
    return Table("Talkers", columns, rows, f"TCP payload by process{_of_part(extract)}", "no TCP connection")


def _peers(extract: Extract) -> Table:
    found = sorted(extract.snapshot.peers, key=lambda row: (-(row.tx_bytes + row.rx_bytes), -row.opened, row.addr))
    rows = [
        (
            endpoint(row.addr, row.port), row.direction or "?", size(row.tx_bytes), size(row.rx_bytes), count(row.open),
            count(row.opened), rate(row.rate), count(row.retransmits), ", ".join(row.comms[:5]),
        )
        for row in found
    ]  # fmt: skip
    columns = (
        Column("peer"), Column("direction"), Column("sent", _NUMBER), Column("received", _NUMBER),
        Column("open", _NUMBER), Column("opened", _NUMBER), Column("opened/s", _NUMBER), Column("retransmits", _NUMBER),
        Column("processes here", _CODE),
    )  # fmt: skip
    return Table("Peers", columns, rows, f"TCP by remote address and service{_of_part(extract)}", "no TCP connection")


def _connections(extract: Extract) -> Table:
    found = sorted(extract.snapshot.tcp, key=lambda row: (not row.open, -(row.tx_bytes + row.rx_bytes)))
    rows = [
        (
            endpoint(row.saddr, row.sport), endpoint(row.daddr, row.dport), row.direction or "?", row.state,
            size(row.tx_bytes), size(row.rx_bytes), duration(row.duration_s), count(row.retransmits),
            row.comm or "owner not known", str(row.pid or "-"),
        )
        for row in found
    ]  # fmt: skip
    columns = (
        Column("here"), Column("there"), Column("direction"), Column("state"), Column("sent", _NUMBER),
        Column("received", _NUMBER), Column("age", _NUMBER), Column("retransmits", _NUMBER), Column("process", _CODE),
        Column("pid", _NUMBER),
    )  # fmt: skip
    return Table("Connections at the end", columns, rows, "open ones first", "no TCP connection")


def _retransmits(extract: Extract) -> Table:
    found = sorted(extract.snapshot.retransmit_peers, key=lambda row: (-row.segments, row.addr))
    rows = [
        (
            endpoint(row.addr, row.port), count(row.segments), ", ".join(f"{kind} {count(n)}" for kind, n in row.kinds),
            count(row.connections), _at(row.time_ns), ", ".join(row.comms[:5]),
        )
        for row in found
    ]  # fmt: skip
    columns = (
        Column("peer"), Column("segments", _NUMBER), Column("kinds"), Column("connections", _NUMBER), Column("latest"),
        Column("processes here", _CODE),
    )  # fmt: skip
    return Table("Retransmits by peer", columns, rows, "TCP segments sent again", "nothing was sent again")


def _targets(extract: Extract) -> Table:
    found = sorted(extract.snapshot.targets, key=lambda row: (-(row.pending + row.finished), row.addr))
    rows = [
        (
            endpoint(row.addr, row.port), count(row.finished), count(row.pending), count(row.ok), count(row.refused),
            count(row.timeout), count(row.unreachable), count(row.aborted), _ms(row.p50_ms), _ms(row.p99_ms),
            _ms(row.max_ms), ", ".join(row.comms[:5]),
        )
        for row in found
    ]  # fmt: skip
    columns = (
        Column("target"), *[Column(name, _NUMBER) for name in (
            "finished", "pending", "ok", "refused", "timeout", "unreachable", "aborted", "p50", "p99", "slowest",
        )], Column("processes here", _CODE),
    )  # fmt: skip
    return Table("Slow and failed connects by target", columns, rows, "", "no connect was slow or failed")


def _connects(extract: Extract) -> Table:
    rows = [
        (_at(row.time_ns), row.comm or "?", str(row.pid or "-"), endpoint(row.daddr, row.dport), _ms(row.latency_ms),
         row.result, row.error or "")
        for row in extract.snapshot.connects
    ]  # fmt: skip
    columns = (
        Column("time"), Column("process", _CODE), Column("pid", _NUMBER), Column("to"), Column("took", _NUMBER),
        Column("result"), Column("error"),
    )  # fmt: skip
    return Table("Slow and failed connects", columns, rows, "pending ones first, then the latest", "none")


def _costs(extract: Extract) -> Table:
    health = extract.evidence.health()
    rows = [
        (
            probe.name, probe.state, count(probe.events), count(probe.lost_total), count(probe.runs),
            f"{probe.run_ns / probe.runs:.0f} ns" if probe.runs and health.stats_enabled else "not known",
            f"{probe.map_bytes / 2**20:.1f} MiB",
        )
        for probe in health.probes
    ]  # fmt: skip
    figures = [Column(name, _NUMBER) for name in ("events", "lost", "runs", "a run", "maps")]
    columns = (Column("probe"), Column("state"), *figures)
    return Table("What it cost and lost", columns, rows, "since each probe was loaded", "no probe was loaded")


def _of_part(extract: Extract) -> str:
    """Events tell of bytes when a connection ends."""
    return "; connections that were open before this part may count as a whole" if extract.partial else ""


def _user(extract: Extract, row: ExecRow) -> str:
    return "?" if row.uid is None else extract.evidence.user(row.uid) or str(row.uid)


def _at(time_ns: int) -> str:
    return rfc3339(time_ns)[11:23] if time_ns else "-"


def _ms(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else latency(milliseconds)
