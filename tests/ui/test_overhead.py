from __future__ import annotations

import pytest
from fakes import FakeSource, empty_snapshot
from stage import Acting, Remembered, staged

from ebtop.errors import EbtopError
from ebtop.store.check import Check
from ebtop.ui.moment import CostMeter, Moment
from ebtop.ui.screens.doctor import DoctorScreen
from ebtop.ui.screens.overhead import OverheadMeter, OverheadScreen


def passed(source: FakeSource, page: OverheadScreen | None, ticks: int, runs: int, bpf_ns: int) -> OverheadMeter:
    """So many seconds in which each program ran so often, the first of each probe for so long in all."""
    meter, cost_meter = OverheadMeter(), CostMeter()
    for _ in range(ticks):
        source.spend(own_ns=40_000_000, bpf_ns=bpf_ns)
        for name, probe in source.probes.items():
            programs = tuple(p._replace(runs=p.runs + runs) for p in probe.programs)
            source.probes[name] = probe._replace(programs=programs, events=probe.events + 50)
        health = source.health()
        cost = cost_meter.measure(health)
        meter.add(health, cost)
        if page:
            page.take(Moment(empty_snapshot(), health, cost, {p.name: p.lost_total for p in health.probes}, 1.0))
    return meter


def test_rates_of_a_program() -> None:
    rows = passed(FakeSource(), None, ticks=4, runs=1000, bpf_ns=4_000_000).programs()
    first = next(row for row in rows if row.name == "cpu_prog")
    assert (first.runs_s, first.ns_per_run) == (1000, 4000)
    assert first.percent == pytest.approx(0.1), "4 ms a second on one of four CPUs"
    assert first.runs == 1000 + 4 * 1000
    assert [row.percent for row in rows] == sorted((row.percent or 0.0 for row in rows), reverse=True)


def test_a_program_that_did_not_run_has_no_mean() -> None:
    assert {row.ns_per_run for row in passed(FakeSource(), None, ticks=3, runs=0, bpf_ns=0).programs()} == {None}


def test_a_program_loaded_since_counts_from_its_loading() -> None:
    source = FakeSource()
    meter = passed(source, None, ticks=2, runs=10, bpf_ns=0)
    old = source.probes["exec"]
    programs = tuple(p._replace(id=p.id + 500, runs=30, run_ns=60_000) for p in old.programs)
    source.probes["exec"] = old._replace(programs=programs, events=7)
    source.time_ns += 10**9
    meter.add(source.health(), None)
    row = next(row for row in meter.programs() if row.name == "exec_prog")
    assert (row.runs_s, row.ns_per_run) == (15, 2000)
    probe = next(row for row in meter.probes(None) if row.probe.name == "exec")
    assert probe.events_s == 3.5


def line(ui: Acting, start: str) -> str:
    return next(text for text in ui.screen() if text.strip().startswith(start))


@pytest.mark.parametrize("size", [(200, 50), (120, 40), (80, 24)])
async def test_the_page(size: tuple[int, int]) -> None:
    source, page = FakeSource(), OverheadScreen(Remembered())
    source.probes["exec"] = source.probes["exec"]._replace(lost={"ring full": 12, "read failed": 3}, ring_fill=0.8)
    source.probes["tcp"] = source.probes["tcp"]._replace(state="failed", error="refused", programs=(), maps=())
    async with staged(page, size) as ui:
        passed(source, page, ticks=4, runs=1000, bpf_ns=4_000_000)
        await ui.settle()
        assert "1.40 % of the node = BPF 0.40 % + ebtop 1.00 %" in line(ui, "overhead")
        assert "4.00 % of one CPU, 64.0 MiB memory" in line(ui, "own process")
        assert "9m58s in 12.0 MiB of at most 64.0 MiB, 1.2M events so far" in line(ui, "history")
        assert line(ui, "cpu ").split()[:8] == ["cpu", "on", "50", "0.10", "%", "1.0MB", "2", "%"]
        assert line(ui, "exec ").split()[8:10] == ["%", "15"] or "15" in line(ui, "exec ").split()
        assert "12 ring full, 3 read failed" in ui.text()
        assert line(ui, "tcp ").split()[:6] == ["tcp", "failed", "-", "-", "-", "-"]
        assert "refused" in ui.text()
        assert [text for text in ui.screen() if "cpu_prog" in text and "1.0k" in text and "4,000" in text]
        assert ui.screen()[-1].startswith(" Esc close")


async def test_what_the_kernel_does_not_count_is_unknown() -> None:
    source, page = FakeSource(), OverheadScreen(Remembered())
    source.stats_enabled = False
    async with staged(page) as ui:
        passed(source, page, ticks=3, runs=0, bpf_ns=0)
        await ui.settle()
        assert "the kernel does not count the run time of BPF programs here" in ui.screen()[0]
        assert "≥1.00 % of the node = BPF programs unknown + ebtop 1.00 %" in line(ui, "overhead")
        assert line(ui, "cpu ").split()[:4] == ["cpu", "on", "50", "unknown"]
        program = next(text for text in ui.screen() if "cpu_prog" in text)
        assert program.split()[-4:] == ["-", "-", "-", "-"]


async def test_before_anything_was_measured() -> None:
    page = OverheadScreen(Remembered())
    async with staged(page) as ui:
        assert "measuring" in ui.text()
        passed(FakeSource(), page, ticks=1, runs=0, bpf_ns=0)
        await ui.settle()
        assert "…" in line(ui, "overhead")


CHECKS = (
    Check("kernel", "ok", "6.1.0", ">= 5.10"),
    Check("statistics", "warn", "off", "on, to tell what programs cost", "sysctl kernel.bpf_stats_enabled=1"),
    Check("tracefs", "fail", "\x1b[31mnot mounted", "/sys/kernel/tracing", "mount -t tracefs tracefs /sys"),
)


class Diagnosed:
    def __init__(self, answer: tuple[Check, ...] | Exception) -> None:
        self.answer = answer

    def diagnose(self) -> tuple[Check, ...]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_the_doctor_answers() -> None:
    async with staged(DoctorScreen(Diagnosed(CHECKS)), (80, 24)) as ui:
        await ui.app.workers.wait_for_complete()
        await ui.settle()
        assert "not all default probes can run" in ui.screen()[0]
        assert line(ui, "ok").split() == ["ok", "kernel", "6.1.0"]
        assert "needed: on, to tell what programs cost" in ui.text()
        assert "what to do: sysctl kernel.bpf_stats_enabled=1" in ui.text()
        assert "\\x1b[31mnot mounted" in ui.text()
        assert ">= 5.10" not in ui.text(), "what is well needs no more words"


async def test_a_healthy_node() -> None:
    async with staged(DoctorScreen(Diagnosed(CHECKS[:2]))) as ui:
        await ui.app.workers.wait_for_complete()
        await ui.settle()
        assert "all default probes can run" in ui.screen()[0]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (EbtopError("cannot look", "no /proc", "mount it"), "cannot look: no /proc; mount it"),
        (ValueError("odd\x1b"), "the check broke off: ValueError: odd\\x1b"),
    ],
)
async def test_a_diagnosis_that_fails_is_said(error: Exception, told: str) -> None:
    async with staged(DoctorScreen(Diagnosed(error))) as ui:
        await ui.app.workers.wait_for_complete()
        await ui.settle()
        assert told in ui.text()
        assert "looking" not in ui.screen()[0]


@pytest.mark.parametrize("theme", ["ebtop-dark", "ebtop-light", "ebtop-colorblind", "terminal-16", "mono"])
async def test_a_page_in_every_theme(theme: str) -> None:
    page = OverheadScreen(Remembered())
    async with staged(page, theme=theme) as ui:
        passed(FakeSource(), page, ticks=3, runs=10, bpf_ns=1000)
        await ui.settle()
        assert "cpu_prog" in ui.text()
        if theme in ("terminal-16", "mono"):
            assert ui.app.screen.styles.background.ansi == -1, "the terminal's own background"
