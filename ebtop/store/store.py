"""The store: records go in on the source's thread, an immutable snapshot comes out on the reader's."""

from __future__ import annotations

import time
from collections.abc import Callable
from operator import itemgetter
from threading import Lock
from typing import Any, NamedTuple

from ebtop.store.aggregates import Aggregates, AggregatesState
from ebtop.store.connect_table import ConnectTable, ConnectTableState
from ebtop.store.connections import ConnectionTable, ConnectionTableState
from ebtop.store.processes import ProcessTable, ProcessTableState
from ebtop.store.rates import EventRates, EventRatesState, IntervalRate, IntervalRateState
from ebtop.store.records import (
    Batch,
    ConnectRecord,
    ExecRecord,
    ExitRecord,
    RetransmitRecord,
    StackRecord,
    TcpRecord,
)
from ebtop.store.retransmit_table import RetransmitTable, RetransmitTableState
from ebtop.store.rows import Rates, Snapshot, with_stacks
from ebtop.store.stack_queue import StackQueue

_time_ns = itemgetter(0)


class StoreState(NamedTuple):
    """All that a store knows at one moment, except the stacks that nobody has taken."""

    processes: ProcessTableState
    connections: ConnectionTableState
    retransmits: RetransmitTableState
    connects: ConnectTableState
    events: EventRatesState
    samples: IntervalRateState
    aggregates: AggregatesState


class Store:
    """Aggregates what the live screen shows. All methods may be called from any thread.

    Memory is bounded by the `max_*` of each table. `clock` (wall clock, ns since the Unix epoch) is used
    for ages and for what is "now" when rates are read; everything else goes by the records' own times.
    """

    def __init__(
        self,
        clock: Callable[[], int] = time.time_ns,
        *,
        max_execs: int = 2000,
        max_open: int = 100_000,
        max_ended: int = 2000,
        keep_ended_s: float = 60.0,
        max_retransmits: int = 1000,
        max_connects: int = 1000,
        max_stacks: int = 20_000,
        keep_stacks: bool = True,
        own_histogram: bool = False,
    ) -> None:
        """`keep_stacks` false: stacks are only counted, somebody else hands them out. `own_histogram`: count the
        connects that are ingested, because the kernel's histogram is about others too."""
        self._clock = clock
        self._lock = Lock()
        self.aggregates = Aggregates()
        self._processes = ProcessTable(max_execs, self.aggregates.commands)
        self._connections = ConnectionTable(
            max_open, max_ended, keep_ended_s, self._count_opening, self.aggregates.traffic
        )
        self._retransmits = RetransmitTable(max_retransmits, self.aggregates.retransmit_peers)
        self._connects = ConnectTable(max_connects, self.aggregates.targets, own_histogram=own_histogram)
        self._keep_stacks = keep_stacks
        self._own_histogram = own_histogram
        self._stacks = StackQueue(max_stacks)
        self._events = EventRates()
        self._samples = IntervalRate()
        self._drained: list[StackRecord] = []
        self._add: dict[type, Callable[[Any], None]] = {
            ExecRecord: self._add_exec,
            ExitRecord: self._add_exit,
            TcpRecord: self._add_tcp,
            RetransmitRecord: self._add_retransmit,
            ConnectRecord: self._connects.add,
            StackRecord: self._drained.append,
        }

    def ingest(self, batch: Batch) -> None:
        """Take in a batch. The work is proportional to it; its records may be in any order."""
        with self._lock:
            self.aggregates.begin(batch.time_ns)
            if batch.pending_connects is not None:
                self._connects.replace_pending(batch.pending_connects)
            for record in sorted(batch.records, key=_time_ns):
                if type(record) in self._add:  # an event of a probe without a pane only goes by
                    self._add[type(record)](record)
            if batch.tcp_scan is not None:
                self._connections.scan(batch.tcp_scan)
            if batch.connect_histogram is not None and not self._own_histogram:
                self._connects.histogram = batch.connect_histogram
            if self._drained or batch.sampled_s:
                self._add_drain(batch)
            self._events.covered(batch.time_ns)

    def expire(self) -> None:
        """Let go of what would not be shown any more, where nobody takes snapshots."""
        with self._lock:
            self._expire(self._clock())

    def snapshot(self) -> Snapshot:
        """Everything at this moment. Stacks are handed out once: for one reader only."""
        now_ns = self._clock()
        with self._lock:
            self._expire(now_ns)
            stacks, sampled = self._stacks.take()
            aggregates, window = self.aggregates, self.aggregates.window(now_ns)
            snapshot = Snapshot(
                now_ns,
                self._processes.rows(now_ns),
                self._connections.rows(),
                self._connections.netns,
                self._connections.netns_missed,
                self._retransmits.rows(window),
                self._connects.rows(),
                self._connects.histogram,
                (),
                0.0,
                self._rates(now_ns),
                self._dropped_rows(),
                aggregates.commands.rows(window),
                aggregates.traffic.peers(window),
                aggregates.traffic.talkers(window),
                aggregates.retransmit_peers.rows(window),
                aggregates.targets.rows(window, self._connects.pending),
                aggregates.since_ns,
                aggregates.let_go,
                self._events.history("retransmits", now_ns, aggregates.since_ns),
                self._own_histogram,
            )
            return with_stacks(snapshot, stacks, sampled)

    def rates(self) -> Rates:
        """Of this moment; as in a snapshot, without making one."""
        with self._lock:
            return self._rates(self._clock())

    def state(self) -> StoreState:
        """What `restore` needs to go on from here. Milliseconds; what it consists of does not change any more."""
        with self._lock:
            return StoreState(
                self._processes.state(),
                self._connections.state(),
                self._retransmits.state(),
                self._connects.state(),
                self._events.state(),
                self._samples.state(),
                self.aggregates.state(),
            )

    def restore(self, state: StoreState) -> None:
        """Go on from a state; what came in here is forgotten."""
        with self._lock:
            self._processes.restore(state.processes)
            self._connections.restore(state.connections)
            self._retransmits.restore(state.retransmits)
            self._connects.restore(state.connects)
            self._events.restore(state.events)
            self._samples.restore(state.samples)
            self.aggregates.restore(state.aggregates)

    def _add_exec(self, record: ExecRecord) -> None:
        self._events.count("execs" if record.ret >= 0 else "exec_failures", record.time_ns)
        self._processes.add_exec(record)

    def _add_exit(self, record: ExitRecord) -> None:
        self._events.count("exits", record.time_ns)
        self._processes.add_exit(record)

    def _add_tcp(self, record: TcpRecord) -> None:
        if record.event == "close":
            self._events.count("closes", record.time_ns)
            self._connections.closed(record)
            return
        if record.event != "live":
            self._count_opening(record)
        self._connections.opened(record)

    def _count_opening(self, record: TcpRecord) -> None:
        incoming = record.event == "accept" or (record.event != "connect" and record.direction == "in")
        self._events.count("accepts" if incoming else "connects", record.time_ns)

    def _add_retransmit(self, record: RetransmitRecord) -> None:
        self._events.count("retransmits", record.time_ns, record.segments)
        self._retransmits.add(record)

    def _add_drain(self, batch: Batch) -> None:
        self._samples.add(sum([stack.samples for stack in self._drained if stack.kind == "cpu"]))
        if batch.sampled_s and batch.sampled_kind == "cpu":
            self._samples.close(batch.time_ns, batch.sampled_s)
        if self._keep_stacks:
            self._stacks.add(self._drained.copy(), batch.sampled_s, batch.sampled_kind)
        self._drained.clear()

    def _expire(self, now_ns: int) -> None:
        self._processes.expire(now_ns)
        self._connections.expire(now_ns)

    def _rates(self, now_ns: int) -> Rates:
        counts = self._events.last_full_second(now_ns)
        return Rates(
            execs=counts.get("execs", 0),
            exits=counts.get("exits", 0),
            exec_failures=counts.get("exec_failures", 0),
            connects=counts.get("connects", 0),
            accepts=counts.get("accepts", 0),
            closes=counts.get("closes", 0),
            retransmits=counts.get("retransmits", 0),
            tx_bytes=self._connections.tx.rate(now_ns),
            rx_bytes=self._connections.rx.rate(now_ns),
            samples=self._samples.rate(now_ns),
        )

    def _dropped_rows(self) -> int:
        return (
            self._processes.dropped
            + self._connections.dropped
            + self._retransmits.dropped
            + self._connects.dropped
            + self._stacks.dropped
        )
