"""The contract of `trace`, on the real program."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab import cpu, execs, tcp
from tests.lab.actor import Actor
from tests.lab.process import TIMEOUT_S
from tests.lab.tracing import EBTOP, Trace, ebtop

pytestmark = pytest.mark.usefixtures("root")

COMMON = ["type", "time", "pid", "comm", "uid", "cgroup", "container", "pod"]
FIELDS = {
    "exec": ["ppid", "ret", "args", "args_truncated", "filename"],
    "exit": ["exit_code", "signal", "duration_s"],
    "tcp": ["event", "ip", "saddr", "sport", "daddr", "dport", "state", "tx_bytes", "rx_bytes", "duration_s",
            "direction"],
    "connect": ["ip", "daddr", "dport", "latency_ms", "result"],
    "stack": ["kind", "count", "frames", "complete", "cut"],
}  # fmt: skip
STATS = ["type", "probe", "events", "lost", "runs", "run_ns", "map_bytes"]
RFC_3339_NS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


def records(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["type"] not in ("ready", "probe-failed", "stats")]


def test_lines_of_a_whole_run() -> None:
    with Trace("exec,tcp,connects,cpu,retransmits", "--min-latency", "0", "--rate", "999") as trace:
        assert trace.ready == {"type": "ready", "probes": ["exec", "tcp", "connects", "cpu", "retransmits"]}
        execs.exec_storm(50)
        tcp.tcp_storm(20)
        ended = trace.end(signal.SIGINT)
    lines = ended.objects
    stats = lines[-5:]
    assert [line["probe"] for line in stats] == ["exec", "tcp", "connects", "cpu", "retransmits"]
    assert not [line for line in lines[:-5] if line["type"] in ("ready", "stats", "probe-failed")]
    for line in stats:
        assert [name for name in line if name in STATS] == STATS
        assert all(isinstance(line[name], int) for name in STATS[2:])
        assert line["map_bytes"] > 0
        assert line["events"] >= 0
        assert line["lost"] >= 0
    assert all(line["runs"] > 0 and line["run_ns"] > 0 for line in stats if line["probe"] != "retransmits")
    seen = records(lines)
    assert {line["type"] for line in seen} >= set(FIELDS)
    for line in seen:
        assert list(line)[:8] == COMMON
        if line["type"] in FIELDS:
            assert list(line)[8 : 8 + len(FIELDS[line["type"]])] == FIELDS[line["type"]]
        assert RFC_3339_NS.fullmatch(line["time"])
    assert ended.code == 0
    assert all(line.startswith("ebtop: ") for line in ended.said)


def test_what_the_lines_say_is_what_happened() -> None:
    with Trace("exec", "--comm", f"{execs.LEAF_COMM},{execs.STORM_COMM}") as trace:
        storm = execs.exec_storm(40)
        seen = records(trace.end(signal.SIGTERM).objects)
    started = {line["pid"]: line for line in seen if line["type"] == "exec" and line["ret"] == 0}
    ended = {line["pid"]: line for line in seen if line["type"] == "exit"}
    for done in storm.execs:
        line = started[done.pid]
        assert line["ppid"] == done.ppid
        assert len(line["args"]) == len(done.args) or line["args_truncated"]
        assert line["args"][:3] == [arg.decode() for arg in done.args[:3]]
        assert (ended[done.pid]["exit_code"], ended[done.pid]["signal"]) == (done.exit_code, done.signal)


def test_failures_of_an_exec_come_with_a_negative_errno() -> None:
    with Trace("exec") as trace:
        case = execs.exec_case("path-search")
        seen = records(trace.end(signal.SIGINT).objects)
    failed = [line for line in seen if line["type"] == "exec" and line["pid"] == case.pid and line["ret"] < 0]
    assert [line["filename"].encode() for line in failed] == [failure.filename for failure in case.failures]
    assert [line["ret"] for line in failed] == [-failure.errno for failure in case.failures]


def test_a_refused_connect(client: Actor, server: Actor) -> None:
    listener = server.listen("127.0.0.1")
    server.close(listener)
    with Trace("connects", "--min-latency", "0", "--pid", str(client.pid)) as trace:
        failure = client.fail_to_connect("127.0.0.1", listener.port)
        assert failure.errno == errno.ECONNREFUSED
        (line,) = records(trace.end(signal.SIGINT).objects)
    assert (line["pid"], line["comm"], line["result"]) == (client.pid, client.comm, "refused")
    assert (line["ip"], line["daddr"], line["dport"]) == (4, "127.0.0.1", listener.port)
    assert 0 < line["latency_ms"] <= failure.ms


def test_a_probe_that_can_not_attach_is_named_and_the_others_run() -> None:
    script = (
        "import sys\n"
        "from ebtop.errors import EbtopError\n"
        "from ebtop.probes.tcp import TcpProbe\n"
        "def refuse(*_):\n"
        "    raise EbtopError('no iter/tcp', 'too old', 'use Linux 5.10')\n"
        "TcpProbe.attachments = refuse\n"
        "from ebtop.cli import main\n"
        "sys.exit(main(['trace', *sys.argv[1:]]))\n"
    )
    one = subprocess.run(
        [sys.executable, "-c", script, "exec,tcp", "--json", "--duration", "300ms"], capture_output=True, text=True,
        cwd=EBTOP.parent.parent, timeout=TIMEOUT_S,
    )  # fmt: skip
    lines = [json.loads(line) for line in one.stdout.splitlines()]
    assert lines[0] == {"type": "ready", "probes": ["exec"]}
    failed = {"type": "probe-failed", "probe": "tcp", "error": "no iter/tcp: too old", "fix": "use Linux 5.10"}
    assert lines[1] == failed
    assert [line["probe"] for line in lines if line["type"] == "stats"] == ["exec", "tcp"]
    assert one.returncode == 0
    assert one.stderr.splitlines() == ["ebtop: tcp: no iter/tcp: too old; use Linux 5.10"]
    none = subprocess.run(
        [sys.executable, "-c", script, "tcp", "--json"], capture_output=True, text=True, cwd=EBTOP.parent.parent,
        timeout=TIMEOUT_S,
    )  # fmt: skip
    assert none.returncode == 1
    assert [json.loads(line)["type"] for line in none.stdout.splitlines()] == ["probe-failed"]
    assert len(none.stderr.splitlines()) == 1


@pytest.mark.parametrize("probes", ["exec", "retransmits"])
def test_a_reader_who_leaves_ends_it(probes: str) -> None:
    """Also where nothing happens that could be written: retransmits, of a process that has no connection."""
    command = f'set -o pipefail; "{EBTOP}" trace {probes} --json --pid {os.getpid()} | head -1'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert json.loads(done.stdout) == {"type": "ready", "probes": [probes]}
    assert (done.returncode, done.stderr) == (0, "")


def test_columns_for_people() -> None:
    done = ebtop("trace", "exec", "--duration", "1s", "--comm", execs.LEAF_COMM)
    header, *_ = done.out.splitlines()
    assert header.split() == ["TIME", "TYPE", "PID", "COMM"]
    (total,) = done.said
    assert re.fullmatch(r"ebtop: exec: \d+ events, none lost, \d+ runs(, \d+ ns a run)?, \d+ KiB maps", total)


def test_columns_line_up() -> None:
    process = subprocess.Popen(
        [EBTOP, "trace", "exec", "--comm", execs.LEAF_COMM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    head = [process.stdout.readline() for _ in range(3)]
    storm = execs.exec_storm(20)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=TIMEOUT_S)
    pids = {str(done.pid) for done in storm.execs}
    lines = [line for line in out.splitlines() if line.split()[2] in pids]
    assert {line.split()[2] for line in lines} == pids
    at = {name: head[0].index(name) for name in ("TYPE", "PID", "COMM")}
    for line in lines:
        assert line[at["TYPE"] :].startswith(("exec ", "exit "))
        assert line[at["PID"] :].split()[0] in pids
        assert line[at["COMM"] :].startswith(execs.LEAF_COMM)


def test_stacks_come_at_the_end_and_at_each_interval() -> None:
    with cpu.Hot(60):
        once = ebtop("trace", "cpu", "--json", "--duration", "1s", "--rate", "199").objects
        types = [line["type"] for line in once]
        assert types[0] == "ready"
        assert types[-1] == "stats"
        assert set(types[1:-1]) == {"stack"}
        keys = [(line["pid"], line["comm"], *line["frames"], line["cut"]) for line in once[1:-1]]
        assert len(keys) == len(set(keys)), "a stack was printed twice"
        assert sum(line["count"] for line in once[1:-1]) == once[-1]["events"]
        every = ebtop("trace", "cpu", "--json", "--duration", "3200ms", "--rate", "199", "--interval", "1s").objects
        assert sum(line["count"] for line in every if line["type"] == "stack") == every[-1]["events"]


def test_a_run_that_has_to_build_first_keeps_the_compiler_out_and_says_so_only_on_stderr(tmp_path: Path) -> None:
    with Trace("exec,connects", env={"XDG_CACHE_HOME": str(tmp_path)}) as trace:
        mapped = Path(f"/proc/{trace.pid}/maps").read_text()
        ended = trace.end(signal.SIGINT)
    assert "libbcc" not in mapped
    assert "LLVM" not in mapped
    assert "libclang" not in mapped
    assert {line["type"] for line in ended.objects} <= {"exec", "exit", "connect", "stats"}
    assert ended.said == ["ebtop: building bpf/exec.c", "ebtop: building bpf/connects.c"]
    with Trace("exec,connects", env={"XDG_CACHE_HOME": str(tmp_path)}) as trace:
        assert trace.end(signal.SIGINT).said == []


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_interrupted_while_it_builds(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [EBTOP, "trace", "--json", "exec,tcp,connects,cpu"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)}, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline() == "ebtop: building bpf/exec.c\n"
    while not any(os.getpgid(child) == child for child in children(process.pid)):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does for Ctrl-C: the compiler gets it too
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["probe"] for line in lines if line["type"] == "stats"] == ["exec", "tcp", "connects", "cpu"]


def test_nohup_stays_in_force() -> None:
    with subprocess.Popen(
        ["nohup", EBTOP, "trace", "--json", "exec"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0
