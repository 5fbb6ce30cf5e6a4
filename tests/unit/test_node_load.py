"""Readings of how busy a node is, from a made-up /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebtop.kernel.node_load import NodeMeter
from ebtop.store.source import Pressure

STAT = "cpu  {user} 10 20 {idle} {iowait} 5 5 10 {user} 0\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 1 2 3\n"
MEMINFO = "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    4096 kB\nBuffers: 1 kB\n"
PRESSURE = "some avg10={0} avg60=1.00 avg300=2.00 total=99\nfull avg10=77.00 avg60=0.00 avg300=0.00 total=0\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "pressure").mkdir()
    (tmp_path / "loadavg").write_text("1.50 2.25 3.00 2/345 6789\n")
    (tmp_path / "meminfo").write_text(MEMINFO)
    for name, value in (("cpu", "12.50"), ("memory", "0.00"), ("io", "3.10")):
        (tmp_path / "pressure" / name).write_text(PRESSURE.format(value))
    use(tmp_path)
    return tmp_path


def use(proc: Path, user: int = 100, idle: int = 1000, iowait: int = 50) -> None:
    (proc / "stat").write_text(STAT.format(user=user, idle=idle, iowait=iowait))


def test_switches_and_faults_a_second(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 10.0, 12.0, 12.0, 13.0, 13.0])
    monkeypatch.setattr("ebtop.kernel.node_load.time.monotonic", lambda: next(now))
    stat = STAT.format(user=1, idle=1, iowait=1)
    (proc / "vmstat").touch()
    meter, found = NodeMeter(str(proc)), []
    for switches, faults in ((1000, 500), (5000, 700), (100, 100)):
        (proc / "stat").write_text(f"{stat}ctxt {switches}\nbtime 1\n")
        (proc / "vmstat").write_text(f"nr_free_pages 1\npgfault {faults}\npgmajfault 9\n")
        load = meter.read()
        assert load is not None
        found.append((load.switches, load.faults))
    # A counter that goes back is not one that can be told from.
    assert found == [(None, None), (2000.0, 100.0), (None, None)]


def test_a_reading(proc: Path) -> None:
    load = NodeMeter(str(proc)).read()
    assert load is not None
    assert load.load == (1.5, 2.25, 3.0)
    assert (load.memory_used, load.memory_total) == (12288 * 1024, 16384 * 1024)
    assert load.pressure == Pressure(12.5, 0.0, 3.1)


@pytest.mark.parametrize(
    ("change", "percent"),
    [
        ({"user": 150, "idle": 1050}, 50.0),
        ({"user": 200}, 100.0),
        ({"idle": 1100}, 0.0),
        ({"user": 125, "idle": 1050, "iowait": 75}, 25.0),
        ({"user": 110, "idle": 1090}, 10.0),
        ({"user": 110, "idle": 999}, 100.0),
        ({"idle": 990}, None),
        ({}, None),
    ],
)
def test_cpu_use_is_between_two_readings(proc: Path, change: dict[str, int], percent: float | None) -> None:
    meter = NodeMeter(str(proc))
    first = meter.read()
    assert first is not None
    assert first.cpu_percent is None
    use(proc, **change)
    second = meter.read()
    assert second is not None
    assert second.cpu_percent == percent


def test_a_kernel_that_does_not_count_pressure(proc: Path) -> None:
    (proc / "pressure" / "io").unlink()
    load = NodeMeter(str(proc)).read()
    assert load is not None
    assert load.pressure is None
    assert load.load == (1.5, 2.25, 3.0)


@pytest.mark.parametrize("name", ["stat", "loadavg", "meminfo"])
@pytest.mark.parametrize("content", [None, "", "nonsense\n"])
def test_what_is_missing_is_said_by_none(proc: Path, name: str, content: str | None) -> None:
    if content is None:
        (proc / name).unlink()
    else:
        (proc / name).write_text(content)
    assert NodeMeter(str(proc)).read() is None


def test_a_closed_meter_reads_nothing(proc: Path) -> None:
    meter = NodeMeter(str(proc))
    meter.close()
    meter.close()
    assert meter.read() is None
