"""Drill-down, time and filters: which screen is on top, and what it is about."""

from __future__ import annotations

from conftest import Start
from driving import Driving
from fakes import PROBES, START_NS, FakeSource, FakeTimeline, empty_snapshot, exec_row, tcp_row
from textual.events import Key

from ebtop.store.containers import Container
from ebtop.store.records import Record
from ebtop.store.selection import Predicate, Pushed
from ebtop.store.source import ProcessFacts
from ebtop.ui.focus import Focus

FACTS = ProcessFacts(
    pid=42,
    comm="nginx",
    args=("nginx:", "worker", "process"),
    exe="/usr/sbin/nginx",
    user="www-data",
    uid=33,
    cgroup="/system.slice/nginx.service",
    started_ns=START_NS,
    parents=((41, "nginx"), (1, "systemd")),
    threads=4,
    rss_bytes=12 << 20,
    cpu_ns=3_000_000_000,
)


class OfPid:
    """A selection like the one that Enter on a process gives."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    @property
    def text(self) -> str:
        return f"pid:{self.pid}"

    def predicate(self) -> Predicate:
        def passes(record: Record) -> bool:
            return record.pid == self.pid

        return passes

    def pushed(self) -> Pushed:
        return Pushed(pids=frozenset((self.pid,)))


def process(pid: int = 42) -> Focus:
    return Focus("process", f"nginx ({pid})", OfPid(pid), pid)


async def drill(ui: Driving, focus: Focus) -> None:
    ui.app.drill(focus)
    await ui.work_done()
    await ui.tick()


async def test_a_drill_down_says_who_it_is_and_escape_comes_back_to_the_same_row(start: Start) -> None:
    source, store = FakeSource(), FakeTimeline()
    source.processes[42] = FACTS
    source.known_containers["/system.slice/nginx.service"] = Container("systemd", "nginx.service", "nginx", None, None)
    store.next_snapshot = empty_snapshot(execs=tuple(exec_row(pid) for pid in range(40, 45)))
    async with start(store, source) as ui:
        await ui.press("2", "down", "down", "down")
        chosen = ui.app.live.pane_of("exec").body.cursor_key
        await drill(ui, process())
        screen = "\n".join(ui.screen())
        assert "overview › nginx (42)" in screen
        assert "nginx: worker process" in screen
        assert "www-data (33)" in screen
        assert "unit nginx" in screen
        assert "nginx (41) ← systemd (1)" in screen
        assert store.selections[-1].text == "pid:42"
        await ui.press("escape")
        await ui.work_done()
        assert not ui.app.live.trail
        assert ui.app.live.current.probe == "exec"
        assert ui.app.live.pane_of("exec").body.cursor_key == chosen is not None


async def test_a_process_that_is_gone_is_told_from_its_exec(start: Start) -> None:
    store = FakeTimeline()
    row = exec_row(42, "/bin/job --now", status="SIGKILL", duration_s=3.0, parent_comm="cron", ppid=7)
    store.next_snapshot = empty_snapshot(execs=(row,))
    async with start(store) as ui:
        await drill(ui, process())
        screen = "\n".join(ui.screen())
        assert "/bin/job --now" in screen
        assert "cron (7)" in screen
        assert "ended: SIGKILL, lived 3.0s" in screen


async def test_steps_of_a_drill_down_are_all_in_the_breadcrumb(start: Start) -> None:
    async with start() as ui:
        await drill(ui, process(42))
        await drill(ui, process(43))
        assert "overview › nginx (42) › nginx (43)" in ui.text(ui.app.live.crumbs)
        await ui.press("q")
        assert [focus.pid for focus in ui.app.live.trail] == [42]
        await ui.press("escape", "escape", "escape", "escape")
        assert ui.app.is_running
        assert not ui.app.live.trail


async def test_a_drill_down_narrows_only_probes_that_are_dear(start: Start) -> None:
    source, store = FakeSource(), FakeTimeline()
    busy = store.next_snapshot.rates._replace(execs=900.0, closes=900.0)
    store.next_snapshot = empty_snapshot(rates=busy)
    async with start(store, source) as ui:
        await drill(ui, process())
        assert source.narrowed == (Pushed(pids=frozenset((42,))), frozenset(("tcp",)))
        await ui.press("escape")
        await ui.work_done()
        assert source.narrowed == (None, frozenset())


async def test_pause_counts_what_is_new(start: Start) -> None:
    async with start() as ui:
        await ui.press("space")
        ui.store.kept = ui.store.kept._replace(seen=1204)
        await ui.tick()
        await ui.tick()
        assert "PAUSED 2.0s" in ui.screen()[0]
        assert "1,204 new" in ui.screen()[0]
        await ui.press("space")
        assert "LIVE" in ui.screen()[0]


async def test_stepping_through_time_shows_that_moment_in_every_pane(start: Start) -> None:
    def past(time_ns: int):  # type: ignore[no-untyped-def]
        back = (START_NS - time_ns) // 10**9
        return empty_snapshot(time_ns=time_ns, execs=(exec_row(back + 500),), tcp=(tcp_row(back + 500),))

    async with start() as ui:
        ui.store.past = past
        await ui.press("left_square_bracket")
        await ui.work_done()
        assert ui.store.asked[-1] == START_NS - 10**9
        assert "/bin/prog-501" in ui.pane("exec")
        assert "app-501" in ui.pane("tcp")
        assert "PAUSED" in ui.screen()[0]
        assert "22:13:19" in ui.screen()[0]
        await ui.press("left_curly_bracket")
        await ui.work_done()
        assert "/bin/prog-561" in ui.pane("exec")
        assert "app-561" in ui.pane("tcp")
        await ui.press("right_curly_bracket", "right_square_bracket", "right_square_bracket")
        await ui.work_done()
        assert ui.app.time_view.live
        assert "LIVE" in ui.screen()[0]


async def test_a_time_can_be_typed_and_one_that_is_not_kept_is_refused(start: Start) -> None:
    async with start() as ui:
        await ui.press("at", *"xx", "enter")
        assert "a time is 14:03" in "\n".join(ui.screen())
        await ui.press("backspace", "backspace", *"01:00", "enter")
        assert "that is not kept" in "\n".join(ui.screen())
        assert ui.app.time_view.live
        await ui.press("escape")
        assert ui.app.live.current.body.has_focus


async def test_a_drill_down_from_a_past_moment_shows_that_moment(start: Start) -> None:
    async with start() as ui:
        ui.store.past = lambda time_ns: empty_snapshot(time_ns=time_ns, execs=(exec_row(777),))
        await ui.press("left_square_bracket")
        await ui.work_done()
        await drill(ui, process())
        assert "/bin/prog-777" in ui.pane("exec")
        assert "PAUSED" in ui.screen()[0]


async def test_keys_typed_into_a_prompt_are_text(start: Start) -> None:
    async with start() as ui:
        await ui.press("slash", "q", "u", "U", "space", "1")
        assert ui.app.is_running
        assert ui.app.live.prompt.entry.value == "quU 1"
        assert ui.app.time_view.live
        await ui.press("escape")
        assert not ui.app.live.prompt.asking
        await ui.press("3")
        assert ui.app.live.current.probe == "tcp"


async def test_what_is_typed_ahead_keeps_its_order(start: Start) -> None:
    store = FakeTimeline()
    store.next_snapshot = empty_snapshot(execs=tuple(exec_row(pid) for pid in range(40, 45)), tcp=(tcp_row(7),))
    async with start(store) as ui:
        # In one burst, as a slow link delivers them: nothing waits for the key before.
        for key in ("2", "down", "down", "slash", "x", "y", "backspace", "z", "enter", "down", "3"):
            ui.app.post_message(Key(key, key if len(key) == 1 else None))
        await ui.settle()
        assert ui.app.live.current.probe == "tcp"
        assert ui.app.live.prompt.entry.value == "xz"
        assert not ui.app.live.prompt.asking


async def test_a_filter_is_pushed_for_every_probe_and_cleared_again(start: Start) -> None:
    async with start() as ui:
        await ui.press("f", *"pid:42 lat", "greater_than_sign", *"100ms", "enter")
        await ui.work_done()
        assert ui.store.selections[-1].text == "pid:42 lat>100ms"
        assert ui.source.narrowed == (Pushed(pids=frozenset((42,))), frozenset(PROBES))
        await ui.tick()
        assert "filter pid:42 lat>100ms" in ui.screen()[0]
        await ui.press("F")
        await ui.work_done()
        assert ui.store.selections[-1] is None
        assert ui.source.narrowed == (None, frozenset())
        assert "pid:42" not in ui.screen()[0]


async def test_a_wrong_filter_is_explained_in_place_and_changes_nothing(start: Start) -> None:
    async with start() as ui:
        before = len(ui.store.selections)
        await ui.press("f", *"comn:nginx", "enter")
        await ui.work_done()
        assert ui.app.live.prompt.asking
        told = ui.screen()[-2]
        assert "comm" in told.replace("comn", ""), "the field that was meant"
        assert "character 1" in told
        await ui.press("escape")
        assert len(ui.store.selections) == before
        assert ui.app.filtering.text == ""


async def test_a_filter_is_completed_with_fields_and_with_names_that_are_there(start: Start) -> None:
    store = FakeTimeline()
    store.next_snapshot = empty_snapshot(execs=(exec_row(5, comm="gunicorn"),))
    async with start(store) as ui:
        await ui.press("f", *"com", "tab")
        assert ui.app.live.prompt.entry.value == "comm:"
        await ui.press(*"gu", "tab")
        assert ui.app.live.prompt.entry.value.strip() == "comm:gunicorn"


async def test_a_filter_holds_in_a_drill_down_too(start: Start) -> None:
    async with start() as ui:
        await ui.press("f", *"comm:nginx", "enter")
        await ui.work_done()
        await drill(ui, process())
        selection = ui.store.selections[-1]
        assert "comm:nginx" in selection.text
        assert "pid:42" in selection.text
