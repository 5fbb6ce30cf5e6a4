"""The CPU pane: what is drawn, and what its keys do."""

from __future__ import annotations

from fakes import stack
from pane_host import Hosted, hosted

from ebtop.store.focus_selections import OfCommand, OfFrame, OfProcess
from ebtop.store.records import Frame, StackRecord
from ebtop.store.rows import StackSpan
from ebtop.ui.focus import Focus
from ebtop.ui.icicle_layout import FRAME
from ebtop.ui.panes.cpu import CpuPane

AT_50_HZ = 20_000_000


def sampled(*names: str, samples: int = 1, **more: object) -> StackRecord:
    return stack(*names, samples=samples)._replace(**{"period_ns": AT_50_HZ, **more})  # type: ignore[arg-type]


def drawn(ui: Hosted[CpuPane], role: str = FRAME) -> list[str]:
    """Names of the frames on screen, row by row."""
    tree = ui.pane.window.tree
    return [tree.frame(s.node).name for row in ui.pane.icicle._spans for s in row if s.role == role]


def cursor_path(ui: Hosted[CpuPane]) -> list[str]:
    return [frame.name for frame in ui.pane.window.tree.frames_to(ui.pane.icicle.cursor)]


def names(ui: Hosted[CpuPane]) -> str:
    return ui.text(ui.pane.frame_line)


SHOP = (
    sampled("main", "serve", "parse", samples=25, comm="nginx", pid=10),
    sampled("main", "serve", "deflate", samples=20, comm="nginx", pid=11, thread="worker"),
    sampled("main", "vacuum", "deflate", samples=55, comm="postgres", pid=20),
)


async def test_the_cursor_is_named_with_samples_percent_and_cpus() -> None:
    """100 samples of 20 ms in one second are two CPUs."""
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        assert ui.body[0].startswith("▏all")
        assert ui.body[0].endswith("2.00 CPUs")
        await ui.press("j", "j", "j", "j")
        assert cursor_path(ui) == ["postgres", "main", "vacuum", "deflate"]
        figures, name = names(ui).splitlines()
        assert figures == " total 55 55.0 % 1.10 CPUs   self 55 55.0 % 1.10 CPUs   of 100 samples"
        assert name == " deflate   native in app"


async def test_cpus_are_a_dash_where_the_period_is_not_known() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(stack("main", samples=4))
        assert " total 4 100 % - CPUs" in names(ui)


async def test_samples_are_marked_as_worked_out_when_the_rate_has_changed() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(sampled("main", samples=50))
        await ui.second(sampled("main", samples=100, period_ns=AT_50_HZ // 2))
        assert " total ≈150 100 % 1.00 CPUs" in names(ui)


async def test_processes_say_their_share() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        assert ui.body[1].split() == ["▏nginx", "45", "%", "▏postgres", "55", "%"]


async def test_search_marks_matches_and_says_what_share_of_the_samples_has_one() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        ui.pane.search("DEFL")
        await ui.settle()
        assert ui.pane.search_result() == "DEFL: 75.0 % of samples, 2 frames"
        assert "DEFL: 75.0 % of samples" in ui.title
        assert cursor_path(ui)[0] == "postgres", "the heaviest first"
        await ui.press("k")
        styles = {run[0].strip(): run[1] for run in ui.pane.icicle._lines[4].runs}
        assert styles["▏parse"].startswith("ghost:native:")
        palette = ui.pane.icicle.palette
        assert palette.style("match:native:0", "base").underline
        assert palette.style("match:native:0", "base").bgcolor != palette.style("ghost:native:0", "base").bgcolor
        ui.pane.search("nowhere")
        assert ui.pane.search_result() == "nowhere: not in any stack"
        ui.pane.search("")
        assert ui.pane.search_result() == ""


async def test_next_match_goes_by_weight_and_comes_round() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        ui.pane.search("deflate")
        found = []
        for _ in range(3):
            found.append(cursor_path(ui)[0])
            ui.pane.search_next(1)
        assert found == ["postgres", "nginx", "postgres"]
        ui.pane.search_next(-1)
        assert cursor_path(ui)[0] == "postgres"


async def test_a_match_too_narrow_to_see_is_zoomed_to() -> None:
    rare = sampled("main", "rare", "needle", samples=1, comm="nginx")
    async with hosted(CpuPane()) as ui:
        await ui.second(*(s._replace(samples=1000 * s.samples) for s in SHOP), rare)
        ui.pane.search("needle")
        assert cursor_path(ui) == [], "searching alone does not zoom"
        ui.pane.search_next(1)
        await ui.settle()
        assert cursor_path(ui) == ["nginx", "main", "rare", "needle"]
        assert "needle" in drawn(ui)
        assert ui.pane.back(), "ends the search"
        assert ui.pane.back(), "zooms out"
        assert not ui.pane.back()
        assert ui.pane.icicle.zoomed == 0


async def test_a_cursor_on_a_frame_that_became_too_narrow_stays_and_shows_in_the_remainder() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(sampled("main", "small", samples=10), sampled("main", "big", samples=100))
        await ui.press("j", "j", "j", "l")
        assert cursor_path(ui)[-1] == "small"
        await ui.second(sampled("main", "big", samples=10_000))
        assert cursor_path(ui)[-1] == "small"
        assert "small" not in drawn(ui)
        runs = [run for line in ui.pane.icicle._lines for run in line.runs if run[1] == "chosen"]
        assert runs == [], "a single remainder of less than a cell is not drawn"
        await ui.second(*(sampled("main", f"other-{n}", samples=60) for n in range(5)))
        runs = [run for line in ui.pane.icicle._lines for run in line.runs if run[1] == "chosen"]
        assert [text.strip("·") for text, _ in runs] == ["+6"]
        await ui.press("h")
        assert cursor_path(ui)[-1] == "big"


async def test_number_sign_marks_every_frame_of_the_same_name() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP, sampled("main", "deflate_slow", samples=5))
        await ui.press("G", "number_sign")
        assert cursor_path(ui)[-1] == "deflate"
        assert ui.pane.search_result() == "deflate: 71.4 % of samples, 2 frames"


async def test_callers_turn_the_stacks_round_and_follow_the_frame() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        await ui.press("G", "i")
        assert "callers" in ui.title
        assert cursor_path(ui) == ["deflate"]
        assert " total 75 75.0 % 1.50 CPUs   of 100 samples" in names(ui)
        assert sorted(drawn(ui)[1:3]) == ["deflate", "parse"]
        await ui.press("G")
        assert cursor_path(ui) == ["deflate", "vacuum", "main", "postgres"]
        assert not drawn(ui, "self"), "what stands last is the process, not where time was spent"
        await ui.press("k", "k", "i")
        assert "callers" not in ui.title
        assert cursor_path(ui) == ["postgres", "main", "vacuum"]


async def test_the_functions_that_ran_most_come_first_among_callers() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*(sampled("main", name, samples=n) for name, n in (("a", 10), ("b", 90), ("c", 30), ("d", 11))))
        await ui.press("i")
        assert drawn(ui)[1:5] == ["b", "c", "a", "d"]
        await ui.second(sampled("main", "d", samples=1))
        assert drawn(ui)[1:5] == ["b", "c", "a", "d"], "they do not change places for a sample more or less"


async def test_split_by_process_and_thread() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        await ui.press("p")
        assert "by process" in ui.title
        assert next(part for part in ui.body[1].split("▏") if part).split() == ["nginx", "(10)", "25", "%"]
        await ui.press("p")
        assert "by thread" in ui.title
        assert ["worker", "20", "%"] in [part.split() for part in ui.body[2].split("▏")]
        await ui.press("p")
        assert "by " not in ui.title
        assert ui.body[1].split() == ["▏nginx", "45", "%", "▏postgres", "55", "%"]


async def test_frames_of_the_interpreter_are_shown_when_asked_for() -> None:
    def python(name: str) -> Frame:
        return Frame(name, "interpreted", "app.py", "/srv/app.py", 12)

    glue = [Frame(name, "native", "libpython3.12.so.1.0") for name in ("Py_RunMain", "PyObject_Vectorcall")]
    record = sampled()._replace(frames=(glue[0], python("main"), glue[1], python("work")), samples=3)
    async with hosted(CpuPane()) as ui:
        await ui.second(record)
        assert drawn(ui) == ["all", "app", "main", "work"]
        await ui.press("G")
        assert names(ui).splitlines()[1] == " work   interpreted in /srv/app.py:12"
        await ui.press("e")
        assert drawn(ui) == ["all", "app", "Py_RunMain", "main", "PyObject_Vectorcall", "work"]
        assert "interpreter frames" in ui.title
        await ui.press("e")
        assert drawn(ui) == ["all", "app", "main", "work"]


async def test_windows_take_in_what_is_kept_and_say_how_much_that_is() -> None:
    async with hosted(CpuPane()) as ui:
        for number in range(75):
            await ui.second(sampled(f"f{number}", samples=2), draw=number > 64)
        assert ui.pane.window.samples == 2 * 60
        assert " 60 s " in ui.title
        await ui.press("m")
        assert ui.pane.window.samples == 2 * 75
        assert " all 1m15s " in ui.title
        await ui.press("m")
        assert ui.pane.window.samples == 2 * 10
        assert " 10 s " in ui.title
        await ui.press("m")
        await ui.second(sampled("late", samples=2))
        assert ui.pane.window.samples == 2 * 60
        assert max(ui.asked) == 600.0


async def test_a_window_that_is_not_full_yet_says_so() -> None:
    async with hosted(CpuPane()) as ui:
        for _ in range(4):
            await ui.second(sampled("main"))
        assert " 4.0s of 60 s " in ui.title


async def test_cursor_and_zoom_stay_through_another_window() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        await ui.press("j", "j", "enter", "j")
        before = cursor_path(ui)
        await ui.press("m")
        assert cursor_path(ui) == before == ["nginx", "main", "serve"] or before == ["postgres", "main", "vacuum"]
        assert ui.body[0].endswith("› main")


async def test_what_does_not_continue_is_gathered_anew() -> None:
    """Another filter, another moment: nothing of what was shown before may stay."""
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        ui.kept = [StackSpan(ui.kept[0].time_ns, (sampled("old", samples=3),), 1.0)]
        await ui.second(sampled("new", samples=4), continues=False)
        assert ui.pane.window.samples == 7
        assert {"old", "new"} < set(drawn(ui))
        assert "serve" not in drawn(ui)


async def test_a_hidden_pane_does_nothing_and_catches_up() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        nodes = len(ui.pane.window.tree)
        for _ in range(3):
            await ui.second(sampled("hidden", samples=5), draw=False)
        assert len(ui.pane.window.tree) == nodes
        await ui.second()
        assert ui.pane.window.samples == 115
        assert ui.asked == [], "a few seconds were held"
        for _ in range(30):
            await ui.second(sampled("hidden", samples=5), draw=False)
        assert len(ui.pane._due) <= 10
        await ui.second()
        assert ui.pane.window.samples == 115 + 150
        assert len(ui.asked) == 1


async def test_frozen_shows_the_same_and_may_be_looked_at_otherwise() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        for _ in range(3):
            await ui.second(sampled("during", samples=100), frozen=True)
        assert "during" not in drawn(ui)
        await ui.press("i")
        assert ui.pane.window.samples == 100
        assert "during" not in drawn(ui)
        await ui.second(sampled("after", samples=1))
        assert ui.pane.window.samples == 401
        assert "during" in drawn(ui)


async def test_functions_as_a_table_and_back_to_the_icicle() -> None:
    recursive = sampled("main", "walk", "walk", "walk", samples=10, comm="find")
    async with hosted(CpuPane(), size=(140, 30)) as ui:
        await ui.second(*SHOP, recursive)
        await ui.press("t")
        assert "functions" in ui.title
        assert ui.pane.body.has_focus
        head, *rows = [line.split() for line in ui.body if line]
        assert head[-2:] == ["MODULE", "FUNCTION"]
        assert rows[0] == ["75", "68.2", "%", "1.50", "75", "68.2", "%", "1.50", "native", "app", "deflate"]
        walk = next(row for row in rows if row[-1] == "walk")
        assert walk[4] == "10", "recursion counts once"
        assert names(ui).splitlines()[1].split() == ["deflate", "native", "in", "app"]
        await ui.press("enter")
        assert cursor_path(ui) == ["postgres", "main", "vacuum", "deflate"], "where it is heaviest"
        await ui.press("escape", "t", "j", "enter")
        assert "functions" not in ui.title
        assert ui.pane.icicle.has_focus
        assert ui.pane.search_result() == "parse: 22.7 % of samples, 1 frame"
        assert cursor_path(ui) == ["nginx", "main", "serve", "parse"]


async def test_a_search_leaves_only_what_matches_in_the_table() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        ui.pane.search("v")
        await ui.press("t")
        assert [row.function.frame.name for row in ui.pane.functions.rows] == ["vacuum", "serve"]
        assert ui.pane.back()
        assert len(ui.pane.functions.rows) == 5


async def test_functions_are_the_same_in_every_shape() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        tables = []
        for keys in ("t", "ti", "tp", "i"):
            await ui.press(*keys)
            if not ui.pane.flat:
                await ui.press("t")
            tables.append([row.function for row in ui.pane.functions.rows])
            await ui.press("t")
            assert not ui.pane.flat
        assert all(table == tables[0] for table in tables)
        await ui.press("t")


async def test_enter_zooms_and_on_the_top_row_goes_on_to_who_runs_it() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        await ui.press("j", "j", "enter")
        assert ui.body[0].startswith(" all ›")
        assert ui.app.drilled == []
        await ui.press("enter")
        assert len(ui.app.drilled) == 1
        await ui.press("j", "d")
        assert len(ui.app.drilled) == 2
        assert ui.pane.icicle.zoomed != ui.pane.icicle.cursor


async def test_escape_ends_the_search_then_zooms_out_and_then_is_the_apps() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        await ui.press("j", "enter", "j", "enter", "number_sign", "escape")
        assert ui.pane.search_result() == ""
        assert len(ui.pane.icicle.zooms) == 3
        await ui.press("escape", "escape")
        assert ui.pane.icicle.zooms == [0]
        assert ui.app.went_back == 0
        await ui.press("i", "escape")
        assert ui.app.went_back == 1
        assert "callers" in ui.title, "modes stay"


async def test_the_stack_is_copied_root_first_whichever_way_it_is_shown() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        assert (copied := ui.pane.copied())
        assert copied.text == "100 samples in 1.0s of 60 s"
        await ui.press("G")
        assert (copied := ui.pane.copied())
        assert copied.what == "stack"
        assert copied.text.splitlines() == [
            "100 samples in 1.0s of 60 s",
            "      55  55.0 %  postgres",
            "      55  55.0 %  main (app)",
            "      55  55.0 %  vacuum (app)",
            "      55  55.0 %  deflate (app)",
            "postgres;main;vacuum;deflate 55",
        ]
        await ui.press("i", "G")
        assert (copied := ui.pane.copied())
        assert copied.text.splitlines()[-1] == "postgres;main;vacuum;deflate 55"
        await ui.press("t")
        assert (copied := ui.pane.copied())
        assert copied.what == "function"
        assert copied.text.startswith("deflate (app): self 75 75.0 %, total 75 75.0 %")


async def test_the_way_down_keeps_its_end_where_it_is_too_long() -> None:
    deep = sampled(*(f"function_number_{n}" for n in range(30)), samples=9)
    async with hosted(CpuPane(), size=(80, 24)) as ui:
        await ui.second(deep)
        await ui.press("G", "enter")
        crumbs = ui.body[0]
        assert crumbs.startswith(" all › … › ")
        assert crumbs.endswith("› function_number_29")
        assert len(crumbs) <= 80


async def test_without_colour_matches_and_cursor_can_still_be_told_apart() -> None:
    async with hosted(CpuPane(), mono=True) as ui:
        await ui.second(*SHOP)
        ui.pane.search("deflate")
        palette = ui.pane.icicle.palette
        looks = {
            (style.bold, style.underline, style.reverse)
            for style in (palette.style(name, "base") for name in ("match:native:0", "ghost:native:0", "chosen"))
        }
        assert len(looks) == 3


async def test_hostile_names_are_drawn_as_they_are() -> None:
    """Names are made printable where they enter; here they must not be taken for markup or break the widths."""
    hostile = StackRecord(0, 7, "[/foo]", 0, None, "cpu", 5, (Frame("[bold]漢字漢字[/", "native", "[red]"),), True)
    async with hosted(CpuPane(), size=(80, 24)) as ui:
        await ui.second(hostile)
        await ui.press("j", "j", "number_sign", "t")
        ui.pane.search("[")
        await ui.settle()
        assert "[bold]漢字漢字[/" in names(ui)


async def test_gathering_that_fails_keeps_the_picture_and_says_so() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        assert ui.pane.view

        def broken(seconds: float) -> list[StackSpan]:
            raise RuntimeError("no")

        ui.pane.view = ui.pane.view._replace(spans=broken)
        await ui.press("m")
        assert "serve" in drawn(ui)
        assert "older samples could not be gathered" in ui.title


async def test_frames_lead_to_who_runs_them() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        assert ui.pane.focus_of() is None, "everything is on screen already"
        await ui.press("j")
        focus = ui.pane.focus_of()
        assert focus
        assert (focus.kind, focus.title, focus.pid) == ("command", "postgres", 0)
        assert focus.selection == OfCommand("postgres")
        await ui.press("j", "j")
        assert (focus := ui.pane.focus_of())
        assert (focus.kind, focus.title, focus.selection) == ("frame", "vacuum", OfFrame("vacuum", "app"))
        await ui.press("t")
        assert (focus := ui.pane.focus_of())
        assert focus.selection == OfFrame("deflate", "app")


async def test_a_process_or_thread_leads_to_the_process() -> None:
    async with hosted(CpuPane()) as ui:
        await ui.second(*SHOP)
        await ui.press("p", "p", "j", "j")
        assert cursor_path(ui) == ["postgres", "postgres"]
        assert (focus := ui.pane.focus_of())
        assert (focus.kind, focus.title, focus.pid) == ("process", "postgres (20)", 20)
        assert focus.selection == OfProcess(20, "postgres")
        await ui.press("i", "g", "G", "k")
        assert cursor_path(ui)[-1] == "postgres"
        assert (focus := ui.pane.focus_of())
        assert focus.pid == 20


async def test_a_drill_down_to_a_frame_marks_it() -> None:
    pane = CpuPane()
    async with hosted(pane) as ui:
        pane.look_at(Focus("frame", "deflate", OfFrame("deflate", "app")))
        await ui.second(*SHOP, continues=False)
        assert pane.search_result() == "deflate: 75.0 % of samples, 2 frames"
        pane.search("parse")
        assert pane.back(), "a search of one's own ends"
        assert pane.search_result() == "deflate: 75.0 % of samples, 2 frames"
        assert not pane.back(), "the way back is not in the pane"
