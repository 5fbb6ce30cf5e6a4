"""The TCP table: open connections from scans and events, and those that ended a short while ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from ebtop.store.end_states import end_state
from ebtop.store.rates import IntervalRate, IntervalRateState
from ebtop.store.records import TcpRecord, TcpScan
from ebtop.store.rows import TcpRow
from ebtop.store.traffic import Traffic

# The kernel reuses the address of a struct sock, so the key alone does not tell connections apart.
Identity = tuple[int, str, int, str, int, int]
_identity = itemgetter(
    *[TcpRecord._fields.index(field) for field in ("key", "saddr", "sport", "daddr", "dport", "netns")]
)

_identity_of_row = itemgetter(
    *[TcpRow._fields.index(field) for field in ("key", "saddr", "sport", "daddr", "dport", "netns")]
)

# A connection opened a moment before a scan must not show a rate extrapolated from that moment.
_MIN_INTERVAL_S = 0.1

# A scan of many connections takes a while; what its reader saw may be this much older than its time says.
_SCAN_TAKES_NS = 1_000_000_000


class Ended:
    """A connection that is over. Most of a storm's are let go before anybody looks, so the row is made on demand."""

    __slots__ = ("_make_row", "_row", "by_event", "time_ns")

    def __init__(self, make_row: Callable[[], TcpRow], time_ns: int, by_event: bool) -> None:
        """`by_event` false: a scan did not have it any more, and no close event has come for it."""
        self._make_row = make_row
        self._row: TcpRow | None = None
        self.time_ns = time_ns
        self.by_event = by_event

    @property
    def row(self) -> TcpRow:
        if self._row is None:
            self._row = self._make_row()
        return self._row


class ScanTime(NamedTuple):
    """When a network namespace was scanned last."""

    netns: int
    time_ns: int


class End(NamedTuple):
    """How a connection ended."""

    time_ns: int
    by_event: bool


class ConnectionTableState(NamedTuple):
    """All that `ConnectionTable` knows, without what `traffic` does."""

    open: list[TcpRow]
    opened_ns: list[int | None]
    """Of the same open one: when it was opened, if no scan has had it since."""
    ended: list[TcpRow]
    ends: list[End]
    """Of the same ended one."""
    scan_times: list[ScanTime]
    last_scan_ns: int
    netns: tuple[int, ...]
    netns_missed: int
    tx: IntervalRateState
    rx: IntervalRateState
    dropped: int


class ConnectionTable:
    """Open connections by identity, plus at most `max_ended` that ended in the last `keep_ended_s` seconds.

    A scan replaces what is open in the namespaces it read. Events and scans may arrive in any order:
    what is older than the end of a connection does not bring it back, and what is newer than a scan
    stays although the scan does not have it.
    """

    def __init__(
        self,
        max_open: int = 100_000,
        max_ended: int = 2000,
        keep_ended_s: float = 60.0,
        on_opening: Callable[[TcpRecord], None] = lambda _: None,
        traffic: Traffic | None = None,
    ) -> None:
        """`on_opening` is told of connections that began since the last scan and had no event of their own for it.

        `traffic` counts by peer and process what happens here.
        """
        self._on_opening = on_opening
        self._traffic = Traffic() if traffic is None else traffic
        self._max_open = max_open
        self._max_ended = max_ended
        self._keep_ended_ns = int(keep_ended_s * 1e9)
        self._open: dict[Identity, TcpRow] = {}
        self._not_scanned: dict[Identity, int] = {}
        self._ended: OrderedDict[Identity, Ended] = OrderedDict()
        self._scan_times: dict[int, int] = {}
        self._last_scan_ns = 0
        self.netns: tuple[int, ...] = ()
        self.netns_missed = 0
        self.tx = IntervalRate()
        self.rx = IntervalRate()
        self.dropped = 0

    def opened(self, record: TcpRecord) -> None:
        """A connect, an accept, or a single connection seen alive."""
        identity = _identity(record)
        opened = int(record.event != "live")
        ended = self._ended.get(identity)
        if ended is not None:
            if ended.time_ns >= record.time_ns:
                self._traffic.count(record, record.time_ns, opened=opened)
                return
            del self._ended[identity]
        prior = self._open.get(identity)
        if prior is None:
            self._make_room()
            self._not_scanned[identity] = record.time_ns
            row = self._open[identity] = _row(record, None, record.time_ns, record.state)
            self._traffic.count(row, record.time_ns, opened_now=1, opened=opened)
            return
        row = _with_origin(prior, record)
        self._count_again(prior, row, record.time_ns)
        if opened:
            self._traffic.count(row, record.time_ns, opened=1)
        if record.time_ns > self._scan_times.get(record.netns, 0):
            row = row._replace(state=record.state)
        self._open[identity] = row

    def closed(self, record: TcpRecord) -> None:
        identity = _identity(record)
        prior = self._open.pop(identity, None)
        self._not_scanned.pop(identity, None)
        was_open, opened, ended = int(prior is not None), 0, 1
        if prior is None:
            vanished = self._ended.get(identity)
            if vanished is not None:
                prior, ended = vanished.row, 0
            elif self._began_since_scan(record):
                self._on_opening(record)
                opened = 1
        tx_bytes, rx_bytes, retransmits = self._since_last_look(record, prior)
        self.tx.add(tx_bytes)
        self.rx.add(rx_bytes)
        self._traffic.count(
            prior or record,
            record.time_ns,
            opened_now=-was_open,
            opened=opened,
            ended=ended,
            tx_bytes=tx_bytes,
            rx_bytes=rx_bytes,
            retransmits=retransmits,
        )
        self._end(identity, partial(_ended_row, record, prior), record.time_ns, True)

    def scan(self, scan: TcpScan) -> None:
        """Replace what is open in the scanned namespaces; take rates from the difference to the scan before."""
        before = self._open
        now: dict[Identity, TcpRow] = {}
        tx_total = rx_total = 0
        for record in scan.connections:
            identity = _identity(record)
            prior = before.pop(identity, None)
            if prior is None:
                if self._ended_before(identity, scan.time_ns):
                    continue
                now[identity] = _row(record, None, scan.time_ns, record.state)
                self._count_found(record, scan.time_ns)
                continue
            tx = record.tx_bytes - prior.tx_bytes
            rx = record.rx_bytes - prior.rx_bytes
            if tx <= 0 and rx <= 0:
                row = now[identity] = _row(record, prior, scan.time_ns, record.state)
                if record.retransmits > prior.retransmits:
                    self._traffic.count(row, scan.time_ns, retransmits=record.retransmits - prior.retransmits)
            else:
                tx, rx = max(0, tx), max(0, rx)
                tx_total += tx
                rx_total += rx
                seconds = self._seconds_since_counted(identity, record.netns, scan.time_ns)
                row = now[identity] = _row(record, prior, scan.time_ns, record.state, tx / seconds, rx / seconds)
                retransmits = max(0, record.retransmits - prior.retransmits)
                self._traffic.count(row, scan.time_ns, tx_bytes=tx, rx_bytes=rx, retransmits=retransmits)
            if row.pid != prior.pid or row.direction != prior.direction:
                self._count_again(prior, row, scan.time_ns)
        self._open = now
        self._sort_out_unseen(before, scan)
        self._close_interval(scan, tx_total, rx_total)

    def expire(self, now_ns: int) -> None:
        """Let go of connections that ended long ago."""
        while self._ended:
            identity, ended = next(iter(self._ended.items()))
            if now_ns - ended.time_ns <= self._keep_ended_ns:
                break
            del self._ended[identity]

    def rows(self) -> tuple[TcpRow, ...]:
        """Open ones first, then those that ended, the latest last."""
        return (*self._open.values(), *[ended.row for ended in self._ended.values()])

    def state(self) -> ConnectionTableState:
        return ConnectionTableState(
            list(self._open.values()),
            list(map(self._not_scanned.get, self._open)),
            [ended.row for ended in self._ended.values()],
            [End(ended.time_ns, ended.by_event) for ended in self._ended.values()],
            [ScanTime(netns, time_ns) for netns, time_ns in self._scan_times.items()],
            self._last_scan_ns,
            self.netns,
            self.netns_missed,
            self.tx.state(),
            self.rx.state(),
            self.dropped,
        )

    def restore(self, state: ConnectionTableState) -> None:
        """Go on from a state; what was held here is forgotten. `traffic` has a state of its own."""
        self._open = {_identity_of_row(row): row for row in state.open}
        opened = zip(self._open, state.opened_ns, strict=True)
        self._not_scanned = {identity: time_ns for identity, time_ns in opened if time_ns is not None}
        self._ended = OrderedDict(
            (_identity_of_row(row), Ended(partial(_same, row), end.time_ns, end.by_event))
            for row, end in zip(state.ended, state.ends, strict=True)
        )
        self._scan_times = dict(state.scan_times)
        self._last_scan_ns = state.last_scan_ns
        self.netns = state.netns
        self.netns_missed = state.netns_missed
        self.tx.restore(state.tx)
        self.rx.restore(state.rx)
        self.dropped = state.dropped

    def _began_since_scan(self, record: TcpRecord) -> bool:
        if record.duration_s is None or record.state == "SYN_SENT" or not self._last_scan_ns:
            return False
        return record.time_ns - int(record.duration_s * 1e9) > self._last_scan_ns

    def _count_found(self, record: TcpRecord, scan_ns: int) -> None:
        """A scan has a connection that was not known."""
        opened = int(self._began_since_scan(record))
        if opened:
            self._on_opening(record)
        self._traffic.count(
            record,
            scan_ns,
            opened_now=1,
            opened=opened,
            tx_bytes=record.tx_bytes * opened,
            rx_bytes=record.rx_bytes * opened,
            retransmits=record.retransmits * opened,
        )

    def _count_again(self, before: TcpRow, now: TcpRow, time_ns: int) -> None:
        """An open connection turned out to be another process's or of another direction."""
        if now.pid != before.pid or now.direction != before.direction:
            self._traffic.count(before, time_ns, opened_now=-1)
            self._traffic.count(now, time_ns, opened_now=1)

    def _ended_before(self, identity: Identity, scan_ns: int) -> bool:
        """Whether a connection that a scan shows is over all the same. If it is not, forget that it seemed to be."""
        ended = self._ended.get(identity)
        if ended is None:
            return False
        if ended.by_event and ended.time_ns >= scan_ns - _SCAN_TAKES_NS:
            return True
        del self._ended[identity]
        return False

    def _seconds_since_counted(self, identity: Identity, netns: int, scan_ns: int) -> float:
        since_ns = self._not_scanned.get(identity)
        if since_ns is None:
            since_ns = self._scan_times.get(netns, self._last_scan_ns)
        return max((scan_ns - since_ns) / 1e9, _MIN_INTERVAL_S)

    def _sort_out_unseen(self, unseen: dict[Identity, TcpRow], scan: TcpScan) -> None:
        """Decide about the open connections that the scan does not have."""
        scanned = set(scan.netns)
        not_scanned: dict[Identity, int] = {}
        for identity, row in unseen.items():
            opened_ns = self._not_scanned.get(identity)
            if row.netns in scanned and (opened_ns is None or opened_ns < scan.time_ns - _SCAN_TAKES_NS):
                gone = row._replace(state="closed", tx_rate=0.0, rx_rate=0.0, open=False)
                self._end(identity, partial(_same, gone), scan.time_ns, False)
                self._traffic.count(row, scan.time_ns, opened_now=-1, ended=1)
                continue
            self._open[identity] = row
            if opened_ns is not None:
                not_scanned[identity] = opened_ns
        self._not_scanned = not_scanned

    def _close_interval(self, scan: TcpScan, tx_bytes: int, rx_bytes: int) -> None:
        seconds = (scan.time_ns - self._last_scan_ns) / 1e9 if self._last_scan_ns else 0.0
        self.tx.add(tx_bytes)
        self.rx.add(rx_bytes)
        self.tx.close(scan.time_ns, seconds)
        self.rx.close(scan.time_ns, seconds)
        self._last_scan_ns = scan.time_ns
        self._scan_times.update(dict.fromkeys(scan.netns, scan.time_ns))
        self.netns = scan.netns
        self.netns_missed = scan.netns_missed

    def _since_last_look(self, record: TcpRecord, prior: TcpRow | None) -> tuple[int, int, int]:
        """Bytes sent, received and segments sent again by a connection that is over since it was last looked at.

        One that was never seen before counts only if it began after the last scan: the bytes of an older
        one were moved long ago.
        """
        if prior is not None:
            return (
                max(0, record.tx_bytes - prior.tx_bytes),
                max(0, record.rx_bytes - prior.rx_bytes),
                max(0, record.retransmits - prior.retransmits),
            )
        if record.duration_s is not None and record.time_ns - record.duration_s * 1e9 >= self._last_scan_ns:
            return record.tx_bytes, record.rx_bytes, record.retransmits
        return 0, 0, 0

    def _end(self, identity: Identity, make_row: Callable[[], TcpRow], time_ns: int, by_event: bool) -> None:
        self._ended.pop(identity, None)
        self._ended[identity] = Ended(make_row, time_ns, by_event)
        if len(self._ended) > self._max_ended:
            self._ended.popitem(last=False)
            self.dropped += 1

    def _make_room(self) -> None:
        """Where no scan reads, a lost close leaves a connection open for ever: the oldest tenth has to go."""
        if len(self._open) < self._max_open:
            return
        for identity in list(islice(self._open, max(1, self._max_open // 10))):
            row = self._open.pop(identity)
            self._traffic.count(row, self._not_scanned.pop(identity, 0), opened_now=-1)
            self.dropped += 1


def _ended_row(record: TcpRecord, prior: TcpRow | None) -> TcpRow:
    return _row(record, prior, record.time_ns, end_state(record), is_open=False)


def _same(row: TcpRow) -> TcpRow:
    return row


def _row(
    record: TcpRecord,
    prior: TcpRow | None,
    now_ns: int,
    state: str,
    tx_rate: float = 0.0,
    rx_rate: float = 0.0,
    is_open: bool = True,
) -> TcpRow:
    """The record as a row of this moment; an owner or a direction that was known before stays known."""
    pid, comm, owner, uid, cgroup = record.pid, record.comm, record.owner, record.uid, record.cgroup
    direction, duration_s = record.direction, record.duration_s
    if duration_s is not None and record.time_ns != now_ns:
        duration_s += (now_ns - record.time_ns) / 1e9
    if prior is not None:
        if pid == 0:
            pid, comm, owner, uid, cgroup = prior.pid, prior.comm, prior.owner, prior.uid, prior.cgroup
        if direction is None:
            direction = prior.direction
    return TcpRow(
        record.key,
        pid,
        comm,
        owner,
        record.ip,
        record.saddr,
        record.sport,
        record.daddr,
        record.dport,
        direction,
        state,
        record.tx_bytes,
        record.rx_bytes,
        tx_rate,
        rx_rate,
        duration_s,
        record.netns,
        record.retransmits,
        is_open,
        uid,
        cgroup,
    )


def _with_origin(row: TcpRow, record: TcpRecord) -> TcpRow:
    """The row with the owner and direction of an older event, where the row lacks them."""
    if row.pid == 0:
        row = row._replace(pid=record.pid, comm=record.comm, owner=record.owner, uid=record.uid, cgroup=record.cgroup)
    if row.direction is None:
        row = row._replace(direction=record.direction)
    return row
