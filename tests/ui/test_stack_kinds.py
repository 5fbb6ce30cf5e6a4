"""The CPU pane's other kinds of stacks: what they say, and how their probes are loaded."""

from __future__ import annotations

from conftest import Start
from driving import Driving
from fakes import FakeSource, FakeTimeline, empty_snapshot, probe_health, stack
from pane_host import Hosted, hosted
from test_views import drill, process

from ebtop.store.records import StackRecord
from ebtop.store.source import ON_DEMAND, Health, NodeLoad, ProbeHealth, UnloadProof
from ebtop.ui.panes.cpu import CpuPane

S = 10**9
NODE = NodeLoad(10.0, (1.0, 1.0, 1.0), 1, 2, None, switches=20_000.0, faults=5_000.0)


def blocked(*names: str, ns: int, state: str = "sleep", **more: object) -> StackRecord:
    return stack(*names, samples=1)._replace(kind="offcpu", amount=ns, state=state, **more)  # type: ignore[arg-type]


def faulted(*names: str, faults: int, state: str = "minor") -> StackRecord:
    return stack(*names, samples=1)._replace(kind="faults", amount=faults, state=state)


WAITS = (
    blocked("main", "read", ns=3 * S, waker="writer", waker_pid=7),
    blocked("main", "read", ns=S, waker="interrupt"),
    blocked("main", "fsync", ns=4 * S, state="io"),
    stack("main", "burn", samples=50),
)


class DemandingSource(FakeSource):
    """Has probes that are only loaded when somebody wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.tried: list[str] = []
        for name in ("offcpu", "faults"):
            self.probes[name] = self.waiting(name)

    def waiting(self, name: str) -> ProbeHealth:
        return probe_health("cpu", state=ON_DEMAND, programs=(), maps=(), events=0)._replace(name=name)

    def health(self) -> Health:
        return super().health()._replace(node=NODE)

    def load(self, probe: str) -> None:
        self.tried.append(probe)
        self.probes[probe] = probe_health("cpu")._replace(name=probe)

    def unload(self, probe: str) -> UnloadProof:
        self.probes[probe] = self.waiting(probe)
        return UnloadProof(probe, 2, 9, 0.01, (), "")


async def off_cpu(ui: Hosted[CpuPane]) -> None:
    await ui.second()
    await ui.press("o")


async def test_off_cpu_stacks_weigh_the_time_that_they_were_blocked() -> None:
    async with hosted(CpuPane()) as ui:
        await off_cpu(ui)
        await ui.second(*WAITS, sampled_others=(("offcpu", 2.0),))
        assert ui.body[0].startswith("▏all")
        assert ui.body[0].endswith("4.0s/s")
        assert ui.pane.heading == "OFF-CPU"
        assert "burn" not in "\n".join(ui.body)
        await ui.press("j", "j")
        figures, name = ui.text(ui.pane.frame_line).splitlines()
        assert figures == " total 4.0s 50.0 % 2.0s/s   self 0us 0.00 % 0us/s   of 8.0s blocked"
        assert name.split() == ["[I/O", "wait]", "what", "they", "wait", "in,", "or", "the", "kind", "of", "fault"]


async def test_wakers_are_told_apart_after_threads() -> None:
    async with hosted(CpuPane()) as ui:
        await off_cpu(ui)
        await ui.second(*WAITS)
        await ui.press("p", "p", "p")
        drawn = "\n".join(ui.body)
        assert "woken by writer (7)" in drawn
        assert "woken by an i" in drawn
        # On the CPU nobody is woken: that split is off the CPU's alone.
        await ui.press("o")
        assert ui.pane.shape.split == "command"


async def test_page_faults_are_counted_and_their_memory_estimated() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.press("o", "o")
        await ui.second(faulted("main", "fill", faults=5120), faulted("main", "load", faults=512, state="major"))
        assert ui.pane.heading == "FAULTS"
        ui.pane.window.sampled_s = 2.0
        ui.pane.draw()
        await ui.settle()
        assert ui.body[0].endswith("11.0 MiB/s")
        assert "[major" in ui.body[2]
        assert "of 5,632 faults" in ui.text(ui.pane.frame_line)


async def test_a_kind_that_was_not_shown_is_gathered_from_what_is_kept() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*WAITS)
        assert ui.pane.window.samples == 50
        await off_cpu(ui)
        assert ui.pane.window.weight == 8 * S
        await ui.press("o", "o")
        assert ui.pane.window.samples == 50


async def test_the_table_of_functions_has_the_figures_of_its_kind() -> None:
    async with hosted(CpuPane(), size=(140, 30)) as ui:
        await off_cpu(ui)
        await ui.second(*WAITS)
        await ui.press("t")
        head, first, *_ = ui.body
        assert head.split()[:4] == ["SELF", "SELF", "%▼", "TIME/S"]
        assert first.split()[:2] == ["4.0s", "50.0"]
        await ui.press("o", "o")
        assert "CPUS" in ui.body[0]


async def test_completeness_is_of_the_time() -> None:
    async with hosted(CpuPane()) as ui:
        await off_cpu(ui)
        await ui.second(blocked("main", ns=3 * S), blocked("inner", ns=S)._replace(complete=False))
        probe = DemandingSource().probes["cpu"]
        assert ui.pane.view is not None
        assert [figure.text for figure in ui.pane.completeness(ui.pane.view, probe)] == ["75 % whole stacks"]


def last_line(ui: Driving) -> str:
    return ui.text(ui.app.live.hints)


async def test_loading_is_asked_for_twice_and_names_its_cost(start: Start) -> None:
    source = DemandingSource()
    async with start(source=source) as ui:
        assert "probes 5/5" in ui.status
        await ui.press("o")
        shown = ui.pane("cpu")
        assert "The offcpu probe is not loaded" in shown
        assert "at its 20k a second" in shown
        await ui.press("u")
        assert "u again loads offcpu: about" in last_line(ui)
        assert source.tried == []
        await ui.press("u")
        await ui.work_done()
        assert source.tried == ["offcpu"]
        await ui.tick()
        assert "probes 6/6" in ui.status


async def test_leaving_keeps_it_loaded_and_says_so(start: Start) -> None:
    async with start(source=DemandingSource()) as ui:
        await ui.press("o", "u", "u")
        await ui.work_done()
        await ui.tick()
        await ui.press("o")
        assert "offcpu stays loaded" in last_line(ui)
        await ui.press("o")
        assert "stays loaded" not in last_line(ui) or "faults" not in last_line(ui)


async def test_unload_all_takes_it_along_and_does_not_bring_it_back(start: Start) -> None:
    source = DemandingSource()
    async with start(source=source) as ui:
        await ui.press("o", "u", "u")
        await ui.work_done()
        await ui.tick()
        await ui.press("U")
        await ui.work_done()
        assert {probe.state for probe in source.probes.values()} == {ON_DEMAND}
        source.tried.clear()
        await ui.press("U")
        await ui.work_done()
        assert "offcpu" not in source.tried


async def test_a_drill_down_goes_on_with_the_kind_that_was_shown(start: Start) -> None:
    source = DemandingSource()
    async with start(FakeTimeline(lambda: empty_snapshot(stacks=WAITS)), source) as ui:
        await ui.press("o")
        await drill(ui, process())
        pane = ui.app.live.pane_of("cpu")
        assert isinstance(pane, CpuPane)
        assert (pane.kind, pane.heading) == ("offcpu", "OFF-CPU")
        # Whoever loads it now pays for this process only.
        pushed, probes = source.narrowed
        assert pushed is not None
        assert {"offcpu", "faults"} <= probes
        await ui.press("q")
        below = ui.app.live.pane_of("cpu")
        assert isinstance(below, CpuPane)
        assert below.kind == "offcpu"
