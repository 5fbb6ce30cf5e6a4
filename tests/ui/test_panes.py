"""What the panes say about data, and about having none."""

from __future__ import annotations

import pytest
from conftest import Start
from fakes import (
    NO_RATES,
    START_NS,
    BusyNode,
    FakeSource,
    FakeTimeline,
    empty_snapshot,
    exec_row,
    probe_health,
    stack,
    tcp_row,
)

from ebtop.store.records import ConnectHistogram
from ebtop.store.rows import ConnectRow, RetransmitRow


def store_of(**changes: object) -> FakeTimeline:
    store = FakeTimeline()
    store.next_snapshot = empty_snapshot(**changes)
    return store


async def test_exec_rows_are_shown_with_their_fields(start: Start) -> None:
    rows = (
        exec_row(42, "curl -s http://x/", status="7", duration_s=0.31, parent_comm="cron"),
        exec_row(43, "nope", ret=-2, status="ENOENT", duration_s=None, failures=5),
    )
    async with start(store_of(execs=rows, rates=NO_RATES._replace(execs=12, exec_failures=3)), size=(200, 50)) as ui:
        head, first, second = ui.body("exec")[:3]
        assert head.split() == ["TIME", "PID", "USER", "PARENT", "STATUS", "LIVED", "TRIED", "COMMAND"]
        assert first.split() == ["22:14:02", "42", "root", "cron", "7", "310ms", "curl", "-s", "http://x/"]
        assert second.split() == ["22:14:03", "43", "root", "bash", "ENOENT", "-", "5", "nope"]
        assert "12/s" in ui.pane("exec")
        assert "3.0 failed/s" in ui.pane("exec")


async def test_tcp_rows_are_shown_with_owner_direction_and_rates(start: Start) -> None:
    rows = (
        tcp_row(1, comm="nginx", owner="listener", direction="in", tx_rate=2048.0, rx_bytes=5 * 2**20, retransmits=3),
        tcp_row(2, pid=0, comm="", owner="unknown", daddr="2001:db8::7", saddr="::1", ip=6),
    )
    async with start(store_of(tcp=rows, tcp_netns=(1, 2), tcp_netns_missed=1), size=(200, 50)) as ui:
        first, second = ui.body("tcp")[1:3]
        assert "~nginx" in first
        assert "← 10.0.0.1:40001" in first
        assert "ESTAB    2.0K     ·  1000  5.0M    3" in first
        assert second.split()[:2] == ["?", "?"]
        assert "[2001:db8::7]:443" in second
        title = ui.pane("tcp").splitlines()[0]
        assert "2 open" in title
        assert "50 % owned" in title
        assert "2 of 3 netns" in title


async def test_retransmits_name_their_kinds(start: Start) -> None:
    row = RetransmitRow(
        START_NS, 7, "rsync", "exact", "10.0.0.1", 1, "10.0.0.2", 873, "ESTABLISHED", 41, 1.5, (("rto", 40), ("tlp", 1))
    )
    async with start(store_of(retransmits=(row,)), size=(240, 50)) as ui:
        expected = "22:13:20 7 rsync 10.0.0.2:873 ESTABLISHED 41 1.5 rto 40 tlp 1"
        assert ui.body("retransmits")[1].split() == expected.split()


async def test_connects_show_latency_result_and_histogram(start: Start) -> None:
    row = ConnectRow(START_NS, 7, "curl", "10.0.0.9", 443, 3021.0, "timeout", "ETIMEDOUT")
    histogram = ConnectHistogram((0, 0, 0, 5, 10), (0, 0, 0, 1, 0))
    async with start(store_of(connects=(row,), histogram=histogram), size=(200, 50)) as ui:
        pane = ui.pane("connects")
        assert "10.0.0.9:443" in pane
        assert "3.02s timeout" in pane
        assert "8us–16us" in pane
        assert "16us–32us" in pane
        assert "of 16" in pane
        assert "1 of 16 failed" in pane
        assert "p50 <32us" in pane


async def test_icicle_shows_frames_self_time_cut_stacks_and_names_the_cursor(start: Start) -> None:
    stacks = (
        stack("main", "work", samples=60),
        stack("main", samples=20),
        stack("inner", samples=20, complete=False, comm="mystery"),
    )
    async with start(store_of(stacks=stacks, sampled_s=1.0)) as ui:
        root, processes, second, third = ui.body("cpu")[:4]
        assert root.startswith("▏all")
        assert processes.index("▏mystery") == 96
        assert second.index("▏main") == 0
        assert second.index("▏[cut]") == 96
        assert third.startswith("▏work" + " " * 67 + "░" * 24 + "▏inner")
        assert "80 % whole stacks" in ui.pane("cpu")
        await ui.press("j", "j")
        assert "total 80 80.0 % - CPUs   self 20 20.0 % - CPUs   of 100 samples" in ui.pane("cpu")
        assert ui.text(ui.app.live.panes[0].frame_line).splitlines()[1].startswith(" main   native in app")  # type: ignore[attr-defined]


async def test_narrow_siblings_become_a_remainder_with_their_number(start: Start) -> None:
    wide = stack("wide", samples=900)
    narrow = tuple(stack(f"narrow-{n:03}", samples=1) for n in range(100))
    async with start(store_of(stacks=(wide, *narrow), sampled_s=1.0)) as ui:
        row = ui.body("cpu")[2]
        assert row.startswith("▏wide")
        assert "+100" in row
        assert len(row.partition("wide")[2].lstrip()) == 12, "a tenth of 120 cells"


async def test_zoom_and_back(start: Start) -> None:
    stacks = (stack("main", "work", "deep", samples=50), stack("other", samples=50))
    async with start(store_of(stacks=stacks, sampled_s=1.0)) as ui:
        await ui.press("j", "j", "j", "enter")
        crumbs, top = ui.body("cpu")[:2]
        assert crumbs == " all › app › main › work"
        assert top.startswith("▏work ")
        await ui.press("escape")
        assert ui.body("cpu")[0].startswith("▏all")
        await ui.press("escape")
        assert ui.app.is_running


async def test_samples_leave_the_window_after_a_minute(start: Start) -> None:
    async with start(store_of(stacks=(stack("main"),), sampled_s=1.0)) as ui:
        assert "▏main" in ui.pane("cpu")
        ui.store.next_snapshot = empty_snapshot(time_ns=START_NS + 60 * 10**9)
        await ui.tick()
        assert "▏main" not in ui.pane("cpu")
        assert "No CPU sample taken in" in ui.pane("cpu")


async def test_an_empty_pane_says_so_and_for_how_long(start: Start) -> None:
    async with start(ticks=13) as ui:
        assert "No exec seen yet in 13s." in ui.pane("exec")
        assert "No retransmit seen yet in 13s." in ui.pane("retransmits")


async def test_a_loading_pane_says_so(start: Start) -> None:
    source = FakeSource()
    source.probes["exec"] = probe_health("exec", state="loading", programs=())
    async with start(source=source) as ui:
        assert "Loading the exec probe" in ui.pane("exec")
        assert "4/5" in ui.status


async def test_a_failed_probe_says_why_and_what_to_do_and_the_others_run(start: Start) -> None:
    source = FakeSource()
    source.probes["tcp"] = probe_health(
        "tcp", state="failed", error="no BTF here", fix="boot a newer kernel", programs=()
    )
    async with start(store_of(execs=(exec_row(5),)), source=source, size=(200, 50)) as ui:
        pane = ui.pane("tcp")
        assert "The tcp probe could not be loaded." in pane
        assert "no BTF here" in pane
        assert "What to do: boot a newer kernel" in pane
        assert "/bin/prog-5" in ui.pane("exec")


async def test_a_probe_that_was_not_asked_for(start: Start) -> None:
    source = FakeSource()
    del source.probes["connects"]
    async with start(source=source) as ui:
        assert "The connects probe was not asked for." in ui.pane("connects")


async def test_lost_events_make_counts_floors_and_the_status_a_warning(start: Start) -> None:
    source = FakeSource()
    source.probes["exec"] = probe_health("exec", lost={"ring full": 12, "map full": 5})
    store = store_of(execs=(exec_row(5),), rates=NO_RATES._replace(execs=100))
    async with start(store, source=source, size=(200, 50)) as ui:
        assert "≥100/s" in ui.pane("exec")
        assert "17 lost" in ui.pane("exec")
        assert "lost 17 events: counts marked ≥ are floors" in ui.status
        warn = ui.app.palette.style("text", "warn")
        assert ui.app.live.status.render_line(0)._segments[-1].style == warn


async def test_what_was_lost_before_a_reload_is_not_forgotten(start: Start) -> None:
    source = FakeSource()
    source.probes["exec"] = probe_health("exec", lost={"ring full": 12})
    async with start(source=source, size=(200, 50)) as ui:
        source.probes["exec"] = probe_health("exec", lost={"ring full": 3})
        await ui.tick()
        assert "lost 15" in ui.status


async def test_overhead_is_percent_of_all_cpus(start: Start) -> None:
    """4 CPUs: 40 ms of own time and 5 probes of 4 ms in one second are 1 % and 0.5 % of the node."""
    async with start(size=(200, 50)) as ui:
        for _ in range(6):
            await ui.tick(own_ns=40_000_000, bpf_ns=4_000_000)
        assert "overhead 1.50 % of the node = bpf 0.50 % + ebtop 1.00 %" in ui.status
        assert "bpf 0.10 %" in ui.pane("exec")
        assert "probes 5/5" in ui.status
        assert "maps 5.0 MiB" in ui.status
        assert "ring 2 % full" in ui.status


async def test_cost_the_kernel_does_not_count_is_unknown_and_not_zero(start: Start) -> None:
    source = FakeSource()
    source.stats_enabled = False
    async with start(store_of(execs=(exec_row(5),)), source=source, size=(200, 50)) as ui:
        await ui.tick(own_ns=40_000_000)
        assert "overhead ≥1.00 % of the node = bpf unknown + ebtop 1.00 %" in ui.status
        assert "bpf ?" in ui.pane("exec")
        assert "bpf 0.00" not in "\n".join(ui.screen())


HOSTILE = ("a[/foo]b", "[bold red]x[/]", "\\x1b[2J", "“wide” 漢字漢字", "[@click=app.quit]q[/]", "$(reboot)", "a" * 500)


@pytest.mark.parametrize("name", HOSTILE)
async def test_names_are_never_markup(start: Start, name: str) -> None:
    snapshot = store_of(
        execs=(exec_row(5, name, comm=name, parent_comm=name),),
        tcp=(tcp_row(1, comm=name),),
        connects=(ConnectRow(START_NS, 7, name, "10.0.0.9", 443, 3.0, "ok", None),),
        stacks=(stack(name, comm=name),),
        sampled_s=1.0,
    )
    source = FakeSource()
    source.log = (name,)
    async with start(snapshot, source=source, size=(200, 50), filter_text=name[:40]) as ui:
        await ui.press("L")
        await ui.press("j", "question_mark", "escape")
        assert name[:12] in ui.pane("exec")
        assert name[:12] in ui.pane("cpu")
        assert name[:12] in ui.text(ui.app.live.log_text)
        assert all(len(line) <= 200 for line in ui.screen())


@pytest.mark.parametrize("text", ["\x1b[2J\x1b]0;owned\x07", "tab\there", "bell\x07"])
async def test_control_characters_in_the_log_and_the_filter_do_not_reach_the_terminal(start: Start, text: str) -> None:
    source = FakeSource()
    source.log = (text,)
    async with start(source=source, filter_text=text, size=(200, 50)) as ui:
        await ui.press("L")
        assert all(line.isprintable() for line in ui.screen())


@pytest.mark.parametrize("size", [(80, 24), (60, 12), (100, 30), (120, 40), (200, 50), (300, 90)])
async def test_every_line_fills_the_terminal_exactly(start: Start, size: tuple[int, int]) -> None:
    async with start(FakeTimeline(BusyNode().snapshot), size=size, ticks=4) as ui:
        for key in ("1", "2", "3", "4", "5"):
            await ui.press(key)
            lines = ui.screen()
            assert len(lines) == size[1]
            assert [line for line in lines if len(line) != size[0]] == []


async def test_ascii_mode_sends_only_ascii(start: Start) -> None:
    rows = (exec_row(5, "prog 漢字 “x” …+7 B"),)
    node = BusyNode().snapshot()._replace(execs=rows)
    async with start(FakeTimeline(lambda: node), size=(200, 50), ascii_only=True) as ui:
        await ui.press("L")
        lines = ui.screen()
        assert [line for line in lines if not line.isascii()] == []
        assert any("prog ????" in line for line in lines)


async def test_no_color_sends_no_colour_and_still_shows_the_cursor(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with start(FakeTimeline(BusyNode().snapshot), size=(200, 50)) as ui:
        await ui.press("2", "j")
        styles = [s.style for strip in ui.app.screen._compositor.render_strips() for s in strip if s.style]
        colors = [color for style in styles for color in (style.color, style.bgcolor) if color]
        assert [color for color in colors if not color.is_default] == []
        row = ui.app.live.current.body.render_line(2)
        assert all(segment.style and segment.style.reverse for segment in row)


@pytest.mark.parametrize(("size", "width"), [((200, 50), 31), ((120, 40), 60), ((80, 24), 31)])
async def test_the_histogram_stands_beside_the_table_or_below_it(
    start: Start, size: tuple[int, int], width: int
) -> None:
    async with start(FakeTimeline(BusyNode().snapshot), size=size, ticks=2) as ui:
        await ui.press("5")
        await ui.tick()
        pane = ui.app.live.pane_of("connects")
        histogram = pane.histogram  # type: ignore[attr-defined]
        assert histogram.size.width == width
        assert (histogram.region.y > pane.body.region.y) is (size == (120, 40))
        longest = max(line.count("█") for line in histogram.text_lines())
        assert longest == width - 22, "the largest bucket fills the room"
