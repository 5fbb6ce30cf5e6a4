"""The live source: loads probes into this kernel, drains them, and takes them out again."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from ebtop import __version__, precedence
from ebtop.errors import EbtopError
from ebtop.kernel import attach
from ebtop.kernel.accounting import RunTimeStats
from ebtop.kernel.containers import ContainerNames
from ebtop.kernel.host_facts import host_facts
from ebtop.kernel.node_load import NodeMeter
from ebtop.kernel.process_facts import ProcessReader
from ebtop.probes import DEFAULT
from ebtop.probes.base import Settings
from ebtop.probes.cpu import CpuProbe
from ebtop.probes.exec import ExecProbe
from ebtop.probes.filters import SHARED_MAPS as FILTER_MAPS
from ebtop.probes.filters import FilterSpec
from ebtop.probes.sockets import SHARED_MAPS as SOCKET_MAPS
from ebtop.probes.sockets import SocketsProbe
from ebtop.probes.stacks import StackProbe
from ebtop.probes.tcp import TcpProbe
from ebtop.session import health
from ebtop.session.filtering import Filtering
from ebtop.session.interpreter_feed import SHARED_MAPS as INTERPRETER_MAPS
from ebtop.session.interpreter_feed import InterpreterFeed
from ebtop.session.naming import NamingThread
from ebtop.session.probe_set import Loaded, ProbeSet
from ebtop.store.check import Check
from ebtop.store.containers import ContainerLookup
from ebtop.store.evidence import CollectionFacts
from ebtop.store.records import Batch, ExecRecord, ExitRecord, Record
from ebtop.store.selection import Pushed
from ebtop.store.source import ON_DEMAND, Health, MapUse, NodeLoad, ProbeHealth, ProcessFacts, Sink, UnloadProof
from ebtop.unwind.maps import SHARED_MAPS as UNWIND_MAPS

_IDLE_PULL_S, _PULL_S, _MIN_PULL_S = 0.1, 0.05, 0.01
"""Between two looks at the ring buffers: when nothing comes, when something does, when much does."""
_FILLING = 0.05
DRAIN_S = 0.1
POLL_S = 1.0
_LOG_LINES = 500
_NAMES_WAIT_S = 10.0
_NOTED_EXECS_PER_DRAIN = 8
_COMMAND_TIMEOUT_S = 30.0


class LiveSource:
    """Implements ebtop.store.source.Source on the running kernel.

    One thread, the collector, owns everything that touches the kernel; other threads hand it commands. It is the
    caller's in `run`, and one of our own after `start`.
    """

    live = True

    def __init__(
        self,
        probes: Iterable[str] = DEFAULT,
        settings: Settings | None = None,
        filter_spec: FilterSpec | None = None,
        on_log: Callable[[str], None] | None = None,
        drain_s: float = DRAIN_S,
        on_demand: Iterable[str] = (),
    ) -> None:
        """Nothing is loaded yet. `on_log` also gets every line of the log, from any thread. `on_demand` are probes that
        somebody may want later.

        Records are handed on every `drain_s` seconds while there are any; larger batches cost less for each record.
        """
        self._drain_s = drain_s
        self.probe_names = tuple(probes)
        self._on_demand = tuple(name for name in on_demand if name not in self.probe_names)
        self._on_log = on_log
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        settings = settings or Settings()
        self.hertz = settings.hertz
        self.host = host_facts()
        self.collection = CollectionFacts(
            __version__, self.probe_names, settings.hertz, settings.min_latency_ms,
            filter_spec.describe() if filter_spec is not None else "", "",
        )  # fmt: skip
        self._set = ProbeSet(settings, self.log)
        self._filter = Filtering(self._set, filter_spec or FilterSpec(), self.log)
        self._failed: dict[str, EbtopError] = {}
        self._waiting = set(self.probe_names)
        self._stats: RunTimeStats | None = None
        self._known_maps: dict[int, MapUse] = {}
        self._last: dict[str, ProbeHealth] = {}
        self.containers: ContainerLookup = ContainerNames()
        self._processes = ProcessReader(self._set.context.hierarchy)
        self._meter = NodeMeter()
        self._node: NodeLoad | None = None
        self._health = self._measure()
        self._commands: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._naming: NamingThread | None = None
        self._interpreters = InterpreterFeed(self._wake.set)
        self._proofs: tuple[UnloadProof, ...] = ()
        self._sampled_at: dict[str, float] = {}

    def log(self, line: str) -> None:
        """Add a line to what the log pane shows. From any thread."""
        self._log.append(line)
        if self._on_log is not None:
            self._on_log(line)

    def open(self) -> None:
        """Load every probe asked for, until `stop`. What fails is in `failures`; the others run."""
        self._stats = RunTimeStats()
        said: dict[str, list[str]] = {}
        for name in self.probe_names:
            if self._stop.is_set():
                break
            try:
                self._load(name)
            except EbtopError as error:
                said.setdefault(error.line(), []).append(name)
            self._health = self._measure()
        for line, names in said.items():
            self.log(f"{', '.join(names)}: {line}")
        self._set.forget_kernel()

    @property
    def failures(self) -> dict[str, EbtopError]:
        """Why probes could not be loaded."""
        return dict(self._failed)

    @property
    def loaded(self) -> tuple[str, ...]:
        """The probes that are in the kernel now."""
        return tuple(name for name in self.probe_names if name in self._set.loaded)

    def run(self, sink: Sink, names_wait_s: float = _NAMES_WAIT_S) -> None:
        """Drain until `stop`, in this thread; then detach, drain what is left, unload, and wait for names on their way.

        `sink` is called from two threads. With `names_wait_s` 0 what is left is not waited for.
        """
        self._naming = NamingThread(sink, self.log, self._set.handed_over, self._interpreters.put_all)
        # A lock is slept on at half the cost of an event, and this thread wakes up more often than any other.
        ended = threading.Lock()
        ended.acquire()
        puller = threading.Thread(target=self._pull, args=(ended,), name="ebtop-pull", daemon=True)
        puller.start()
        try:
            next_poll = time.monotonic()
            while not self._stop.is_set():
                self._set.complete()
                self._execute_commands()
                self._drain(sink)
                if time.monotonic() >= next_poll:
                    next_poll = max(next_poll + POLL_S, time.monotonic())
                    self._poll(sink)
                if not self._set.waiting:
                    self._wake.wait(max(0.0, min(next_poll - time.monotonic(), self._sample_pause_s)))
                    self._wake.clear()
            self._poll(sink)
            self._set.detach()
            self._drain(sink, final=True)
            while self._set.waiting and names_wait_s:
                self._drain(sink)
        finally:
            self._stop.set()
            ended.release()
            puller.join()
            self._health = self._measure()
            self._unload_all()
            self._naming.finish(names_wait_s)

    def _pull(self, ended: threading.Lock) -> None:
        """Keep the kernel's buffers empty, also while the collector is busy; wake it when there is something to do.

        Until `ended` is released.
        """
        pause, next_wake = _MIN_PULL_S, 0.0
        while not ended.acquire(timeout=pause):
            fill = self._set.pull()
            if self._set.waiting and time.monotonic() >= next_wake:
                next_wake = time.monotonic() + self._drain_s
                self._wake.set()
            pause = _MIN_PULL_S if fill > _FILLING else _PULL_S if fill else min(_IDLE_PULL_S, pause * 1.5)

    def stop(self) -> None:
        """End `run` soon. From any thread or signal handler."""
        self._stop.set()
        self._wake.set()

    def start(self, sink: Sink) -> None:
        """Load and run in a thread of its own."""
        self._thread = threading.Thread(target=self._open_and_run, args=(sink,), name="ebtop-collector", daemon=True)
        self._thread.start()

    def health(self) -> Health:
        """As of the last poll."""
        return self._health._replace(log=tuple(self._log))

    def unload(self, probe: str) -> UnloadProof:
        """Take one probe out of the kernel and read back that it is gone."""
        proof: UnloadProof = self._ask(lambda: self._unload(probe))
        return proof

    def load(self, probe: str) -> None:
        """Load a probe again."""
        self._ask(lambda: self._load(probe))

    def set_filter(self, spec: FilterSpec) -> None:
        """Look at something else from now on, without reloading. Raises EbtopError and changes nothing if it can't."""
        self._ask(lambda: self._filter.apply(spec))

    def narrow(self, pushed: Pushed | None, probes: frozenset[str]) -> None:
        """Have the kernel drop for these probes what is outside of `pushed`, and for no other probe.

        Without reloading, over reloading, and on top of the filter for all. A name with characters that are not
        printable can't be pushed: then more passes than asked for. Raises EbtopError and changes nothing if it can't.
        """
        self._ask(lambda: self._filter.narrow(pushed, probes))

    def process(self, pid: int) -> ProcessFacts | None:
        """Who a process is. From any thread; waits where the process's memory is locked, as `ps` does."""
        return self._processes.read(pid)

    def diagnose(self) -> tuple[Check, ...]:
        """What `ebtop doctor` finds."""
        from ebtop.kernel import doctor

        return tuple(doctor.run_checks())

    def set_rate(self, hertz: int) -> None:
        """Sample so many times a second from now on. Raises EbtopError and changes nothing if it can't."""
        self._ask(lambda: self._set_rate(hertz))

    def close(self) -> tuple[UnloadProof, ...]:
        """Stop, unload everything, and say what went."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
        else:
            self._unload_all()
        return self._proofs

    def _open_and_run(self, sink: Sink) -> None:
        try:
            self.open()
            self.run(sink, names_wait_s=0.0)
        except Exception as error:
            # The thread must not die silently with programs loaded; the pane shows why nothing moves any more.
            self.log(f"collecting stopped: {type(error).__name__}: {error}")
            for name in self.probe_names:
                self._failed.setdefault(name, EbtopError("collecting stopped", str(error), "report this"))
            self._health = self._measure()
        finally:
            self._unload_all()

    def _ask(self, command: Callable[[], Any]) -> Any:
        """Have the collector do it, and wait; before it runs there is nobody to wait for."""
        future: Future[Any] = Future()
        self._commands.put((command, future))
        self._wake.set()
        if self._thread is None or not self._thread.is_alive():
            self._execute_commands()
        try:
            return future.result(_COMMAND_TIMEOUT_S)
        except TimeoutError:
            raise EbtopError("the collector does not answer", f"waited {_COMMAND_TIMEOUT_S:.0f} s", "quit") from None

    def _execute_commands(self) -> None:
        while True:
            try:
                command, future = self._commands.get_nowait()
            except queue.Empty:
                return
            try:
                result = command()
            except Exception as error:
                self._health = self._measure()
                future.set_exception(error)
            else:
                self._health = self._measure()
                future.set_result(result)

    def _load(self, name: str) -> None:
        self._failed.pop(name, None)
        try:
            self._set.load(name)
            self._sampled_at[name] = time.monotonic()
            self._filter.probe_loaded()
        except EbtopError as error:
            self._failed[name] = error
            raise
        finally:
            self._waiting.discard(name)

    def _unload(self, name: str) -> UnloadProof:
        if name in self._set.loaded:
            self._last[name] = health.probe_health(name, self._set.loaded[name], self._known_maps)
        proof = self._set.unload(name)
        self._known_maps.clear()
        self._filter.probe_unloaded()
        return proof

    def _unload_all(self) -> None:
        if self._set.loaded:
            self._proofs = self._set.close()
        if self._stats is not None:
            self._stats.close()
            self._stats = None
        self._meter.close()

    def _set_rate(self, hertz: int) -> None:
        attach.check_rate(hertz)
        cpu = self._cpu
        if cpu is not None:
            cpu.set_rate(hertz)
            self._sample(cpu)
        self._set.set_hertz(hertz)
        self.hertz = hertz

    def _drain(self, sink: Sink, *, final: bool = False) -> None:
        now_ns = time.time_ns()
        records: list[Record] = []
        self._interpreters.give(self._set.shared)
        for loaded in self._set.loaded.values():
            precedence.screen.wait()
            records.extend(loaded.probe.drain())
            if isinstance(loaded.probe, StackProbe) and (final or loaded.probe.is_due(time.monotonic())):
                if final:
                    # A sample that was on its way while the halves were last changed counts in the one left then.
                    self._sample(loaded.probe)
                self._sample(loaded.probe, final=final)
        if not records:
            return
        sink(Batch(now_ns, records))
        if self._stack_probes and self._naming is not None:
            self._note_processes(records)

    def _note_processes(self, records: list[Record]) -> None:
        """A few new processes at a time: one that ends before its first samples are named is unknown otherwise."""
        started = [r.pid for r in records if isinstance(r, ExecRecord) and r.ret == 0]
        for pid in started[-_NOTED_EXECS_PER_DRAIN:]:
            assert self._naming is not None
            self._naming.note_process(pid)

    def _poll(self, sink: Sink) -> None:
        self._set.context.clock.adjust()
        self._set.forget_kernel()
        self._filter.refresh()
        batch = Batch(time.time_ns(), [])
        for loaded in self._set.loaded.values():
            batch = loaded.probe.poll(batch)
        passes = self._filter.predicate(TcpProbe.name)
        if batch.tcp_scan is not None and passes is not None:
            scan = batch.tcp_scan
            batch = batch._replace(tcp_scan=scan._replace(connections=tuple(filter(passes, scan.connections))))
        passes = self._filter.predicate(ExecProbe.name, ended=True)
        if passes is not None:
            # Whose end is found by looking was let through by its exec; the filter may be another one by now.
            records = [record for record in batch.records if type(record) is not ExitRecord or passes(record)]
            batch = batch._replace(records=records)
        sink(batch)
        self._node = self._meter.read()
        self._health = self._measure()

    @property
    def _cpu(self) -> CpuProbe | None:
        loaded = self._set.loaded.get(CpuProbe.name)
        return loaded.probe if loaded is not None and isinstance(loaded.probe, CpuProbe) else None

    @property
    def _stack_probes(self) -> list[StackProbe]:
        return [loaded.probe for loaded in self._set.loaded.values() if isinstance(loaded.probe, StackProbe)]

    @property
    def _sample_pause_s(self) -> float:
        return min((probe.pause_s for probe in self._stack_probes), default=POLL_S)

    def _sample(self, probe: StackProbe, *, final: bool = False) -> None:
        now, time_ns = time.monotonic(), time.time_ns()
        samples = probe.samples(time_ns, final=final)
        if self._naming is not None:
            self._naming.add(time_ns, probe.kind, samples, now - self._sampled_at[probe.name])
        self._sampled_at[probe.name] = now

    def _measure(self) -> Health:
        probes = []
        known = (*self.probe_names, *self._on_demand)
        for name in (*known, *(n for n in self._set.loaded if n not in known)):
            if name in self._set.loaded:
                probes.append(self._loaded_health(name, self._set.loaded[name]))
            elif name in self._failed:
                probes.append(health.failed(name, self._failed[name]))
            elif name in self._waiting:
                probes.append(health.not_loaded(name, "loading"))
            elif name in self._on_demand:
                probes.append(health.not_loaded(name, ON_DEMAND))
            else:
                last = self._last.get(name, health.not_loaded(name, "off"))
                probes.append(last._replace(state="off", maps=(), ring_fill=0.0))
        if self._set.filter_maps():
            filters = health.not_loaded("(filter)", "on")
            probes.append(health.with_shared(filters, self._set.shared, FILTER_MAPS, self._known_maps))
        if self._set.shared.keys() & INTERPRETER_MAPS:
            cpython = health.not_loaded("(cpython)", "on")
            probes.append(health.with_shared(cpython, self._set.shared, INTERPRETER_MAPS, self._known_maps))
        if any(name in self._set.shared for name in UNWIND_MAPS):
            unwind = health.not_loaded("(unwind)", "on")
            unwind = health.with_shared(unwind, self._set.shared, UNWIND_MAPS, self._known_maps)
            if self._set.unwinder is not None:
                unwind = health.with_tables(unwind, self._set.unwinder)
            probes.append(unwind)
        measured = health.whole(probes, self._stats is not None and self._stats.enabled, self._log, self._node)
        narrowed, narrowed_probes = self._filter.narrowed
        return measured._replace(narrowed=narrowed, narrowed_probes=narrowed_probes)

    def _loaded_health(self, name: str, loaded: Loaded) -> ProbeHealth:
        measured = health.probe_health(name, loaded, self._known_maps)
        if name == SocketsProbe.name:
            return health.with_shared(measured, self._set.shared, SOCKET_MAPS, self._known_maps)
        if isinstance(loaded.probe, StackProbe) and self._naming is not None:
            if behind := self._naming.lost[loaded.probe.kind]:
                measured.lost["naming fell behind"] = behind
            if without := self._naming.without_stack[loaded.probe.kind]:
                measured.lost["sample without its stack"] = measured.lost.get("sample without its stack", 0) + without
        return measured
