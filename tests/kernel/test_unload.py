"""Nothing of ebtop stays in the kernel, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from ebtop.errors import EbtopError
from ebtop.probes.base import Settings
from ebtop.probes.filters import FilterSpec
from ebtop.session import LiveSource
from ebtop.store.records import Batch
from ebtop.unwind import FramePointers
from tests.lab import bpf_objects
from tests.lab.bpf_objects import BpfObjects
from tests.lab.collect import Collector
from tests.lab.process import TIMEOUT_S
from tests.lab.tracing import Trace

pytestmark = pytest.mark.usefixtures("no_bpf_left")

ALL = ("cpu", "exec", "tcp", "retransmits", "connects")


def ours() -> BpfObjects:
    return bpf_objects.held_by(os.getpid())


def descriptors() -> Counter[str]:
    """How many of each kind of kernel object this process holds, while no unwind table is being put in its place."""
    found = [held()]
    while len(found) < 3 or not found[-1] == found[-2] == found[-3]:
        time.sleep(0.02)
        found.append(held())
    return found[-1]


def held() -> Counter[str]:
    """As they are just now; an iterator is only open while it is read."""
    kinds: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # other threads go on opening and closing files
            kinds[os.readlink(f"/proc/self/fd/{fd}")] += 1
    return Counter({kind: n for kind, n in kinds.items() if kind.startswith("anon_inode:") and "iter" not in kind})


@pytest.fixture
def source() -> Iterator[LiveSource]:
    """All probes, running; nobody listens."""
    yield from running(Settings())


@pytest.fixture
def still_source() -> Iterator[LiveSource]:
    """The same without unwind tables, each of which is a map that comes and goes with what else runs."""
    yield from running(Settings(user_stacks=FramePointers()))


def running(settings: Settings) -> Iterator[LiveSource]:
    source = LiveSource(ALL, settings)
    loaded = threading.Event()
    source.start(lambda _: loaded.set())
    assert loaded.wait(TIMEOUT_S)
    yield source
    source.close()


def test_one_probe_goes_and_the_others_stay(still_source: LiveSource) -> None:
    before = ours()
    proof = still_source.unload("exec")
    gone = before - ours()
    assert (proof.remaining_ids, proof.kept) == ((), "")
    assert proof.programs == len(gone.programs) > 0
    assert proof.maps == len(gone.maps) > 0
    assert not gone & bpf_objects.loaded()
    health = {probe.name: probe for probe in still_source.health().probes}
    assert health["exec"].state == "off"
    assert {health[name].state for name in ALL if name != "exec"} == {"on"}


def test_what_others_need_stays_and_is_named(still_source: LiveSource) -> None:
    def states() -> dict[str, str]:
        return {probe.name: probe.state for probe in still_source.health().probes}

    proof = still_source.unload("tcp")
    assert proof.kept == "(sockets) stays for retransmits"
    assert proof.remaining_ids == ()
    assert states()["(sockets)"] == "on"
    before = ours()
    proof = still_source.unload("retransmits")
    gone = before - ours()
    assert proof.kept == ""
    assert "(sockets)" not in states()
    assert proof.programs == len(gone.programs), "the programs of (sockets) belong to the proof"
    assert proof.maps == len(gone.maps)
    assert not gone & bpf_objects.loaded()


def test_what_others_need_can_not_be_taken_away(source: LiveSource) -> None:
    with pytest.raises(EbtopError, match=r"^\(sockets\) can't be unloaded: tcp, retransmits needs it"):
        source.unload("(sockets)")
    with pytest.raises(EbtopError, match="nonsense is not loaded"):
        source.unload("nonsense")


def test_all_go(source: LiveSource) -> None:
    before = ours()
    proofs = source.close()
    assert {proof.probe for proof in proofs} == set(ALL)
    # Programs that walk stacks may have come since.
    assert sum(proof.programs for proof in proofs) >= len(before.programs)
    # And the unwind tables, which stand in a map and need no descriptor.
    assert sum(proof.maps for proof in proofs) >= len(before.maps)
    assert not [i for proof in proofs for i in proof.remaining_ids]
    assert not before & bpf_objects.loaded()
    assert source.close() == proofs


def test_unloading_one_after_the_other_leaves_nothing(source: LiveSource) -> None:
    before = ours()
    for name in ALL:
        assert source.unload(name).remaining_ids == ()
    assert not before & bpf_objects.loaded()
    assert not ours()


def test_unloading_and_loading_again_leaks_nothing(source: LiveSource) -> None:
    source.unload("tcp")
    source.load("tcp")
    before = descriptors()
    for _ in range(20):
        for name in ("exec", "tcp"):
            assert source.unload(name).remaining_ids == ()
            source.load(name)
    assert descriptors() == before
    assert {probe.state for probe in source.health().probes} == {"on"}


def test_a_child_process_keeps_nothing_alive(source: LiveSource) -> None:
    objects = ours()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        try:
            source.close()
            assert not objects & bpf_objects.loaded()
        finally:
            child.kill()


def test_an_exception_in_the_sink_unloads_and_is_said() -> None:
    loaded: list[BpfObjects] = []

    def sink(_: Batch) -> None:
        loaded.append(ours())
        raise RuntimeError("the sink is broken")

    source = LiveSource(["exec", "retransmits"])
    source.start(sink)
    assert source._thread is not None
    source._thread.join(TIMEOUT_S)
    health = source.health()
    assert health.log[-1] == "collecting stopped: RuntimeError: the sink is broken"
    bpf_objects.assert_gone(loaded[0])
    source.close()


def test_an_exception_while_naming_stops_neither_naming_nor_collecting(capfd: pytest.CaptureFixture[str]) -> None:
    named = threading.Event()
    failed: list[Batch] = []

    def sink(batch: Batch) -> None:
        if batch.sampled_s and not failed:
            failed.append(batch)
            raise RuntimeError("no names today")
        if batch.sampled_s:
            named.set()

    source = LiveSource(["cpu"])
    source.start(sink)
    assert named.wait(TIMEOUT_S), "no samples were named after one failure"
    assert "samples could not be named: RuntimeError: no names today" in source.health().log
    objects = ours()
    source.close()
    bpf_objects.assert_gone(objects)
    assert capfd.readouterr() == ("", "")


def test_a_probe_that_fails_leaves_no_map(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> list[object]:
        raise EbtopError("not here")

    monkeypatch.setattr("ebtop.probes.exec.ExecProbe.attachments", refuse)
    monkeypatch.setattr("ebtop.probes.tcp.TcpProbe.attachments", refuse)
    source = LiveSource(["exec", "tcp"])
    source.open()
    try:
        assert set(source.failures) == {"exec", "tcp"}
        assert source.loaded == ()
        left = ours()
        assert not left.programs
        assert not left.maps
    finally:
        source.close()


def test_a_filter_that_can_not_be_applied_shows_nothing_instead_of_everything() -> None:
    source = LiveSource(["exec", "connects"], filter_spec=FilterSpec(cgroups=("/not-there",)))
    source.open()
    try:
        assert source.loaded == ()
        assert set(source.failures) == {"exec", "connects"}
        assert [line for line in source.health().log if "no cgroup" in line] == [
            "exec, connects: " + source.failures["exec"].line()
        ]
    finally:
        source.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_signals(number: signal.Signals) -> None:
    with Trace(",".join(ALL)) as trace:
        objects = bpf_objects.held_by(trace.pid)
        ended = trace.end(number)
        bpf_objects.assert_gone(objects)
    if number != signal.SIGKILL:
        assert ended.code == 0
        assert [line["probe"] for line in ended.objects if line["type"] == "stats"] == list(ALL)
        assert "Traceback" not in ended.err


def test_many_signals_at_once() -> None:
    with Trace("exec,cpu") as trace:
        objects = bpf_objects.held_by(trace.pid)
        for _ in range(20):
            trace.process.send_signal(signal.SIGINT)
            trace.process.send_signal(signal.SIGTERM)
        ended = trace.end()
        bpf_objects.assert_gone(objects)
    assert ended.code == 0
    assert "Traceback" not in ended.err


def test_end_of_the_duration() -> None:
    with Trace("exec,tcp", "--duration", "500ms") as trace:
        objects = bpf_objects.held_by(trace.pid)
        assert trace.end().code == 0
        bpf_objects.assert_gone(objects)


def test_every_descriptor_is_closed_on_exec() -> None:
    with Collector(ALL):
        flags = [int(info["flags"], 8) for info in bpf_objects.descriptors(os.getpid()) if _is_bpf(info)]
    assert flags
    assert all(flag & os.O_CLOEXEC for flag in flags)


def _is_bpf(info: dict[str, str]) -> bool:
    return any(name in info for name in ("prog_id", "map_id", "link_id"))
