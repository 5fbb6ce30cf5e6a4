"""A source, a store and a clock that tests and benchmarks drive by hand, and a busy node's worth of data."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from ebtop.errors import EbtopError
from ebtop.store.check import Check
from ebtop.store.containers import Container
from ebtop.store.evidence import CollectionFacts, HostFacts, Note
from ebtop.store.records import Batch, ConnectHistogram, Frame, ModuleFacts, StackRecord
from ebtop.store.rows import ConnectRow, ExecRow, Rates, RetransmitRow, Snapshot, StackSpan, TcpRow
from ebtop.store.selection import Pushed
from ebtop.store.source import Health, MapUse, ProbeHealth, ProcessFacts, ProgramCost, Sink, UnloadProof

PROBES = ("cpu", "exec", "tcp", "retransmits", "connects")
START_NS = 1_700_000_000 * 10**9
NO_RATES = Rates(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class FakeClock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def probe_health(name: str, **changes: object) -> ProbeHealth:
    """A healthy loaded probe."""
    number = 10 * (PROBES.index(name) + 1)
    healthy = ProbeHealth(
        name=name,
        state="on",
        error="",
        fix="",
        programs=(ProgramCost(f"{name}_prog", number, 1000, 2_000_000), ProgramCost(f"{name}_aux", number + 1, 10, 0)),
        maps=(MapUse("events", number, 2**20), MapUse("lost", number + 1, 4096)),
        ring_fill=0.02,
        events=1000,
        lost={},
        notes=(),
    )
    return healthy._replace(**changes)  # type: ignore[arg-type]


class FakeKept(NamedTuple):
    oldest_ns: int = START_NS - 600 * 10**9
    newest_ns: int = START_NS
    bytes: int = 1 << 20
    cap_bytes: int = 64 << 20
    seen: int = 0


class FakeSource:
    """Five probes. A test changes `probes`, `stats_enabled` and `log` between ticks."""

    live = True
    probe_names = PROBES
    hertz = 49
    host = HostFacts("web-3", "6.1.0-28-amd64", "x86_64", "Linux", 4, 2**32, START_NS, "tsc", "UTC", 0)
    collection = CollectionFacts("0.1.0", PROBES, 49, 100.0, "", "")

    def __init__(self) -> None:
        self.probes = {name: probe_health(name) for name in PROBES}
        self.stats_enabled = True
        self.time_ns = START_NS
        self.own_cpu_ns = 0
        self.log: tuple[str, ...] = ()
        self.remaining: tuple[str, ...] = ()
        self.kept = ""
        self.load_error: EbtopError | None = None
        self.closed = 0
        self.sink: Sink | None = None

        self.narrowed: tuple[Pushed | None, frozenset[str]] = (None, frozenset())
        self.processes: dict[int, ProcessFacts] = {}
        self.known_containers: dict[str, Container] = {}

    def start(self, sink: Sink) -> None:
        self.sink = sink

    def narrow(self, pushed: Pushed | None, probes: frozenset[str]) -> None:
        self.narrowed = pushed, probes

    def set_rate(self, hertz: int) -> None:
        self.hertz = hertz

    def process(self, pid: int) -> ProcessFacts | None:
        return self.processes.get(pid)

    def containers(self, cgroup: str | None) -> Container | None:
        return self.known_containers.get(cgroup or "")

    def diagnose(self) -> tuple[Check, ...]:
        return (Check("kernel", "ok", "6.1.0", ">= 5.10"), Check("btf", "fail", "missing", "BTF", "apt install btf"))

    def spend(self, own_ns: int, bpf_ns: int) -> None:
        """One second passes, in which this much CPU time was used by the process and by each probe."""
        self.time_ns += 10**9
        self.own_cpu_ns += own_ns
        for name, probe in self.probes.items():
            first, *rest = probe.programs or (ProgramCost("gone", 0, 0, 0),)
            if probe.programs:
                self.probes[name] = probe._replace(programs=(first._replace(run_ns=first.run_ns + bpf_ns), *rest))

    def health(self) -> Health:
        return Health(
            time_ns=self.time_ns,
            probes=tuple(self.probes.values()),
            own_cpu_ns=self.own_cpu_ns,
            rss_bytes=64 * 2**20,
            cpus=4,
            stats_enabled=self.stats_enabled,
            log=self.log,
        )

    def unload(self, probe: str) -> UnloadProof:
        before = self.probes[probe]
        self.probes[probe] = before._replace(state="off", programs=(), maps=(), events=0)
        return UnloadProof(probe, len(before.programs), len(before.maps), 0.012, self.remaining, self.kept)

    def load(self, probe: str) -> None:
        if self.load_error:
            raise self.load_error
        self.probes[probe] = probe_health(probe)

    def close(self) -> tuple[UnloadProof, ...]:
        self.closed += 1
        return tuple(self.unload(name) for name, probe in self.probes.items() if probe.state == "on")


def empty_snapshot(**changes: object) -> Snapshot:
    empty = Snapshot(START_NS, (), (), (1,), 0, (), (), ConnectHistogram((), ()), (), 0.0, NO_RATES, 0)
    return empty._replace(**changes)  # type: ignore[arg-type]


class FakeTimeline:
    """One view on everything: hands out `next_snapshot`; its stacks only once, as the real one does."""

    def __init__(self, make: Callable[[], Snapshot] | None = None) -> None:
        self.next_snapshot = empty_snapshot()
        self.make = make
        self.batches: list[Batch] = []
        self.marks: list[object] = []
        self.narrowings: list[str] = []
        self.written: list[Note] = []
        self.selections: list[object] = []
        self.asked: list[int] = []
        self.past: Callable[[int], Snapshot] = lambda time_ns: empty_snapshot(time_ns=time_ns)
        self.given: list[StackSpan] = []
        self.kept = FakeKept()
        self.narrowed = ""
        self.since_ns = START_NS

    def ingest(self, batch: Batch) -> None:
        self.batches.append(batch)

    def snapshot(self) -> Snapshot:
        taken = self.make() if self.make else self.next_snapshot
        self.next_snapshot = taken._replace(stacks=(), sampled_s=0.0)
        if taken.stacks or taken.sampled_s:
            self.given.append(StackSpan(taken.time_ns, taken.stacks, taken.sampled_s))
        return taken

    def rates(self) -> Rates:
        return self.next_snapshot.rates

    def view(self, selection: object) -> FakeTimeline:
        self.selections.append(selection)
        return self

    def close(self) -> None:
        pass

    def at(self, time_ns: int, selection: object = None) -> Snapshot:
        self.asked.append(time_ns)
        return self.past(time_ns)

    def spans(self, seconds: float, until_ns: int | None = None, selection: object = None) -> list[StackSpan]:
        return [s for s in self.given if until_ns is None or until_ns - seconds * 1e9 < s.time_ns <= until_ns]

    def modules(self) -> tuple[ModuleFacts, ...]:
        return ()

    def mark(self, tick: object) -> None:
        self.marks.append(tick)

    def ticks(self) -> list[object]:
        return []

    def healths(self, until_ns: int, count: int) -> list[object]:
        return []

    def narrowed_at(self, time_ns: int) -> str:
        return self.narrowed

    def narrowed_to(self, text: str) -> None:
        self.narrowings.append(text)

    def note(self, text: str, time_ns: int | None = None) -> None:
        self.written.append(Note(START_NS if time_ns is None else time_ns, text))

    def notes(self) -> list[Note]:
        return self.written


def exec_row(pid: int, command: str = "", **changes: object) -> ExecRow:
    row = ExecRow(START_NS + pid * 10**9, pid, 1, 0, "sh", "bash", command or f"/bin/prog-{pid}", 0, "0", 0.012, 0, "/")
    return row._replace(**changes)  # type: ignore[arg-type]


def tcp_row(key: int, **changes: object) -> TcpRow:
    row = TcpRow(
        key=key,
        pid=100 + key,
        comm=f"app-{key}",
        owner="exact",
        ip=4,
        saddr="10.0.0.1",
        sport=40_000 + key,
        daddr="10.0.0.2",
        dport=443,
        direction="out",
        state="ESTABLISHED",
        tx_bytes=1000 * key,
        rx_bytes=2000 * key,
        tx_rate=10.0 * key,
        rx_rate=0.0,
        duration_s=float(key),
        netns=1,
        retransmits=0,
        open=True,
    )
    return row._replace(**changes)  # type: ignore[arg-type]


def stack(*names: str, samples: int = 1, kind: str = "native", comm: str = "app", complete: bool = True) -> StackRecord:
    frames = tuple(Frame(name, kind, "app") for name in names)
    return StackRecord(START_NS, 1, comm, 0, None, "cpu", samples, frames, complete)


class BusyNode:
    """Plausible data that changes every second: a web shop under load, with some trouble. Seeded."""

    def __init__(self, seed: int = 7, stacks_a_second: int = 160) -> None:
        self.random = random.Random(seed)
        self.time_ns = START_NS
        self.stacks_a_second = stacks_a_second
        self.tick = 0
        self.execs: list[ExecRow] = []
        self.connections = [self._connection(n) for n in range(64)]
        self.connects: list[ConnectRow] = []
        self.ok = [0] * 26
        self.failed = [0] * 26
        self.retransmits = [self._retransmit(n) for n in range(9)]

    def snapshot(self) -> Snapshot:
        """The next second."""
        self.tick += 1
        self.time_ns += 10**9
        new = [self._exec() for _ in range(self.random.randint(2, 6))]
        self.execs = (new + self.execs)[:300]
        self.connections = [self._moved(row) for row in self.connections]
        for _ in range(60):
            self.ok[min(25, max(0, round(self.random.gauss(9, 1.8))))] += 1
        if self.tick % 2:
            self.failed[self.random.choice((8, 9, 10, 21))] += 1
        self.connects = ([self._connect() for _ in range(self.random.randint(0, 2))] + self.connects)[:60]
        if self.tick % 3 == 0:
            self.retransmits = [self._again(row) for row in self.retransmits]
        tx, rx = sum(r.tx_rate for r in self.connections), sum(r.rx_rate for r in self.connections)
        return Snapshot(
            time_ns=self.time_ns,
            execs=tuple(self.execs),
            tcp=tuple(sorted(self.connections, key=lambda r: -(r.tx_rate + r.rx_rate))),
            tcp_netns=(4026531840, 4026532200),
            tcp_netns_missed=0,
            retransmits=tuple(self.retransmits),
            connects=tuple(sorted(self.connects, key=lambda r: r.result != "pending")),
            histogram=ConnectHistogram(tuple(self.ok), tuple(self.failed)),
            stacks=tuple(self._stacks()),
            sampled_s=1.0,
            rates=Rates(len(new), len(new), 1.0 if self.tick % 4 == 0 else 0.0, 41, 33, 70, 2.3, tx, rx, 160),
            dropped_rows=0,
        )

    def _exec(self) -> ExecRow:
        r = self.random
        comm, parent, command = r.choice(_COMMANDS)
        status, ret = r.choices(
            (("run", 0), ("0", 0), ("1", 0), ("SIGKILL", 0), ("ENOENT", -2), ("EACCES", -13)), (3, 12, 2, 1, 1, 1)
        )[0]
        lived = None if ret else r.choice((0.0009, 0.0021, 0.012, 0.31, 2.4, 31.0, 190.0))
        pid, uid = r.randint(8000, 99_999), r.choice((0, 33, 1000, 1001))
        tried = r.choice((0, 0, 0, 0, 3, 5))
        return ExecRow(
            self.time_ns, pid, pid - 1, uid, comm, parent, command, ret, status, lived, tried, "/system.slice"
        )

    def _connection(self, n: int) -> TcpRow:
        r = self.random
        comm, port, direction = r.choice(
            (("nginx", 443, "in"), ("postgres", 5432, "in"), ("python3", 5432, "out"), ("node", 6379, "out"))
        )
        remote = r.choice((f"203.0.113.{n}", f"10.20.4.{n}", f"2001:db8:85a3::8a2e:370:{7000 + n:x}"))
        ended = r.random() < 0.12
        state = (
            r.choice(("closed", "closed", "reset")) if ended else r.choices(("ESTABLISHED", "CLOSE_WAIT"), (9, 1))[0]
        )
        local = "2001:db8:85a3::1" if ":" in remote else "10.20.4.17"
        ports = (port, 32_768 + 17 * n) if direction == "in" else (32_768 + 17 * n, port)
        return TcpRow(
            key=n,
            pid=1200 + n,
            comm=comm,
            owner="proc" if n % 9 == 0 else "exact",
            ip=6 if ":" in remote else 4,
            saddr=local,
            sport=ports[0],
            daddr=remote,
            dport=ports[1],
            direction=direction,
            state=state,
            tx_bytes=r.randint(400, 90_000_000),
            rx_bytes=r.randint(400, 9_000_000),
            tx_rate=0.0,
            rx_rate=0.0,
            duration_s=r.choice((0.4, 12.0, 340.0, 9000.0, 200_000.0)),
            netns=4026531840,
            retransmits=r.choice((0, 0, 0, 0, 2, 17)),
            open=not ended,
        )

    def _moved(self, row: TcpRow) -> TcpRow:
        if not row.open:
            return row._replace(tx_rate=0.0, rx_rate=0.0)
        busy = self.random.random() < 0.6
        tx = self.random.choice((300, 4_000, 90_000, 3_400_000)) * self.random.random() if busy else 0.0
        rx = tx * self.random.random()
        age = (row.duration_s or 0.0) + 1.0
        return row._replace(
            tx_rate=tx, rx_rate=rx, tx_bytes=row.tx_bytes + int(tx), rx_bytes=row.rx_bytes + int(rx), duration_s=age
        )

    def _retransmit(self, n: int) -> RetransmitRow:
        segments = self.random.randint(1, 400)
        kinds = self.random.choice(
            ((("rto", segments),), (("fast", segments), ("tlp", 1)), (("tlp", segments),), (("syn", segments),))
        )
        return RetransmitRow(
            time_ns=self.time_ns - n * 3 * 10**9,
            pid=1200 + n,
            comm=("nginx", "node", "rsync", "python3")[n % 4],
            owner="exact" if n % 4 else "unknown",
            saddr="10.20.4.17",
            sport=443,
            daddr=f"198.51.100.{20 + n}",
            dport=50_000 + 31 * n,
            state="ESTABLISHED" if kinds[0][0] != "syn" else "SYN_SENT",
            segments=segments,
            rate=round(segments / 120, 1) if n < 4 else 0.0,
            kinds=kinds,
        )

    def _again(self, row: RetransmitRow) -> RetransmitRow:
        (kind, segments), *rest = row.kinds
        more = self.random.randint(0, 3)
        return row._replace(segments=row.segments + more, kinds=((kind, segments + more), *rest), time_ns=self.time_ns)

    def _connect(self) -> ConnectRow:
        r = self.random
        result, error, low, high = r.choice(
            (
                ("ok", None, 101, 900),
                ("ok", None, 1010, 3100),
                ("refused", "ECONNREFUSED", 0, 3),
                ("timeout", "ETIMEDOUT", 127_000, 131_000),
                ("unreachable", "EHOSTUNREACH", 3000, 3100),
                ("pending", None, 120, 9000),
            )
        )
        return ConnectRow(
            self.time_ns,
            r.randint(1000, 9000),
            r.choice(("curl", "python3", "node", "php-fpm")),
            r.choice(("10.20.9.41", "198.51.100.7", "2001:db8::53")),
            r.choice((443, 5432, 6379, 9200)),
            r.uniform(low, high),
            result,
            error,
        )

    def _stacks(self) -> list[StackRecord]:
        r, taken = self.random, []
        for comm, path, weight in r.choices(_STACKS, [w for *_, w in _STACKS], k=self.stacks_a_second):
            frames = path[: r.randint(max(1, len(path) - 3), len(path))] if weight > 2 else path
            complete = comm != "mystery"
            taken.append(StackRecord(self.time_ns, 1, comm, 0, None, "cpu", 1, frames, complete))
        return taken


def _path(spec: str) -> tuple[Frame, ...]:
    """Frames from "module: a b c | module: d e"; [k] is the kernel, (py) Python, (js) JIT code, (?) no symbol."""
    kinds = {"[k]": "kernel", "(py)": "interpreted", "(js)": "jit", "(?)": "unknown"}
    frames = []
    for part in spec.split("|"):
        module, _, names = part.strip().partition(": ")
        frames += [
            Frame(name, kinds.get(module, "native"), "" if module == "[k]" else module) for name in names.split()
        ]
    return tuple(frames)


_SYSCALL = "[k]: entry_SYSCALL_64_after_hwframe do_syscall_64"
_SEND = f"libc.so.6: __send | {_SYSCALL} __x64_sys_sendto __sys_sendto tcp_sendmsg tcp_sendmsg_locked"
_STACKS = [
    (
        "nginx",
        _path(
            "nginx: _start main ngx_master_process_cycle ngx_worker_process_cycle ngx_process_events_and_timers "
            "ngx_epoll_process_events ngx_http_process_request ngx_http_core_run_phases ngx_http_gzip_body_filter "
            "| libz.so.1: deflate deflate_slow longest_match"
        ),
        9,
    ),
    (
        "nginx",
        _path(
            "nginx: _start main ngx_master_process_cycle ngx_worker_process_cycle ngx_process_events_and_timers "
            f"ngx_epoll_process_events ngx_http_writev_filter | {_SEND} tcp_push __tcp_push_pending_frames "
            "tcp_write_xmit __tcp_transmit_skb ip_queue_xmit __ip_queue_xmit dev_queue_xmit"
        ),
        7,
    ),
    (
        "nginx",
        _path(
            "nginx: _start main ngx_master_process_cycle ngx_worker_process_cycle ngx_process_events_and_timers "
            "ngx_epoll_process_events ngx_ssl_handshake | libssl.so.3: SSL_do_handshake tls_process_client_hello "
            "| libcrypto.so.3: ossl_ecdh_simple_compute_key ecp_nistz256_points_mul"
        ),
        5,
    ),
    (
        "python3",
        _path(
            "(py): <module>:app.py serve:wsgi.py handle_request:wsgi.py render_cart:views.py price_of:pricing.py "
            "| python3.11: _PyEval_EvalFrameDefault PyObject_Call _PyObject_MakeTpCall dict_subscript"
        ),
        9,
    ),
    (
        "python3",
        _path(
            "(py): <module>:app.py serve:wsgi.py handle_request:wsgi.py load_session:session.py loads:json "
            "| _json.so: scan_once_unicode _parse_object_unicode scanstring_unicode"
        ),
        5,
    ),
    (
        "python3",
        _path(
            "(py): <module>:app.py serve:wsgi.py handle_request:wsgi.py query:orm.py execute:psycopg "
            f"| libpq.so.5: PQexec PQsendQuery pqFlush | {_SEND} __local_bh_enable_ip do_softirq net_rx_action"
        ),
        4,
    ),
    (
        "postgres",
        _path(
            "postgres: _start main PostmasterMain ServerLoop BackendStartup PostgresMain exec_simple_query PortalRun "
            "ExecutorRun ExecHashJoin ExecScan heap_getnextslot heapgetpage"
        ),
        6,
    ),
    (
        "postgres",
        _path(
            "postgres: _start main PostmasterMain ServerLoop BackendStartup PostgresMain exec_simple_query PortalRun "
            f"ExecutorRun ExecSort tuplesort_performsort | {_SYSCALL} __x64_sys_pread64 vfs_read ext4_file_read_iter "
            "generic_file_read_iter filemap_read copy_page_to_iter"
        ),
        4,
    ),
    (
        "node",
        _path(
            "node: _start main node::Start uv_run uv__io_poll | (js): ~onRequest:server.js *route:router.js "
            "*JSON.stringify:native *flatten:util.js"
        ),
        7,
    ),
    (
        "node",
        _path("node: _start main node::Start uv_run v8::internal::Heap::Scavenge v8::internal::Scavenger::Process"),
        3,
    ),
    (
        "mystery",
        _path(f"(?): [mystery+0x1c40] [mystery+0x22f8] [unknown] | {_SYSCALL} __x64_sys_futex futex_wait"),
        2.5,
    ),
    ("kworker/1:2", _path("[k]: ret_from_fork kthread worker_thread process_one_work wb_workfn wb_writeback"), 2),
    ("kswapd0", _path("[k]: ret_from_fork kthread kswapd balance_pgdat shrink_node shrink_lruvec"), 1.2),
    ("sshd", _path("sshd: _start main server_loop2 | libcrypto.so.3: chacha20_poly1305_encrypt"), 1),
    ("containerd", _path("containerd: runtime.goexit runtime.mcall runtime.schedule runtime.findRunnable"), 1),
]

_COMMANDS = [
    ("sh", "cron", "/bin/sh -c /usr/local/bin/collect --interval 60 --out /var/lib/collect"),
    ("curl", "healthcheck", "curl -fsS --max-time 2 http://127.0.0.1:8080/healthz"),
    ("python3", "supervisord", "python3 -m worker.queue --queue orders --concurrency 4 --log-level warning"),
    ("git", "deploy", "git fetch --depth 1 origin refs/heads/release/2024-11"),
    ("convert", "php-fpm", "convert upload-8841.png -resize 640x -quality 82 thumb-8841.webp"),
    ("runc", "containerd", "runc --root /run/containerd/runc/k8s.io exec --process /tmp/runc-process2041"),
    ("grep", "collect", "grep -c ESTABLISHED /proc/net/tcp"),
    ("sleep", "sh", "sleep 5"),
    ("java", "sh", "java -Xmx512m -jar /opt/batch/report.jar --month 2024-10 --format parquet …+1840 B"),
]
