from __future__ import annotations

import pytest

from ebtop import cli
from ebtop.errors import EbtopError, UsageError
from ebtop.probes import NAMES, REGISTRY, parse_names
from ebtop.probes.names import DEFAULT
from ebtop.store.records import ExecRecord, ExitRecord, StackRecord
from ebtop.store.source import MapUse, ProbeHealth, ProgramCost
from ebtop.trace import ProbeStats, TraceOptions, probe_stats


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("30s", 30), ("5m", 300), ("1h", 3600), ("1.5h", 5400), ("250ms", 0.25), (" 2s ", 2), ("0.1", 0.1)],
)
def test_durations(text: str, seconds: float) -> None:
    assert cli.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1", "1d", "5 m", "s", "1e3", "nan", "inf", "1s1s", "٣", "9999999h", "\n", "1.", ".5"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        cli.parse_duration(text)


def test_probe_names_keep_their_order_and_come_once() -> None:
    assert parse_names("tcp, exec,tcp,") == ("tcp", "exec")


@pytest.mark.parametrize("text", ["", ",", "bogus", "exec,bogus", "(sockets)", "EXEC", "exec tcp"])
def test_what_is_no_probe(text: str) -> None:
    with pytest.raises(UsageError, match="choose from cpu, exec, tcp"):
        parse_names(text)


def test_defaults_are_probes_and_internal_ones_are_not_offered() -> None:
    assert set(DEFAULT) <= set(NAMES)
    assert not [name for name in NAMES if name.startswith("(")]
    for probe in REGISTRY.values():
        assert set(probe.requires) <= set(REGISTRY)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> TraceOptions:
    """What `trace` is asked for."""
    asked: list[TraceOptions] = []
    monkeypatch.setattr("ebtop.trace.trace", lambda options: asked.append(options) or 0)
    monkeypatch.setattr(cli, "_require_privileges", lambda: None)
    assert cli.main(["trace", *arguments]) == 0
    return asked[0]


def test_trace_options(monkeypatch: pytest.MonkeyPatch) -> None:
    options = run(
        monkeypatch, "exec,cpu", "--json", "--duration", "5m", "--interval", "2s", "--rate", "99",
        "--pid", "1,2", "--pid", "3", "--comm", "nginx,php", "--children", "--min-latency", "0",
    )  # fmt: skip
    assert options.probes == ("exec", "cpu")
    assert (options.as_json, options.duration_s, options.interval_s) == (True, 300, 2)
    assert (options.settings.hertz, options.settings.min_latency_ms) == (99, 0)
    assert options.filter_spec.pids == {1, 2, 3}
    assert options.filter_spec.children
    assert options.filter_spec.comms == {"nginx", "php"}


def test_trace_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    options = run(monkeypatch, "tcp")
    assert (options.as_json, options.duration_s, options.interval_s) == (False, None, None)
    assert (options.settings.hertz, options.settings.min_latency_ms) == (49, 100)
    assert not options.filter_spec


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (EbtopError("no BTF", "old kernel", "upgrade"), 1, "ebtop: no BTF: old kernel; upgrade\n"),
        (UsageError("no such\nprobe"), 2, "ebtop: no such probe\n"),
        (EbtopError("bad \x1b[31mname"), 1, "ebtop: bad \\x1b[31mname\n"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    error: EbtopError, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "_run", fail)
    assert cli.main([]) == code
    assert capsys.readouterr() == ("", said)


def test_a_bug_is_one_line_too_unless_asked_for_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise KeyError("x\ny")

    monkeypatch.setattr(cli, "_run", fail)
    assert cli.main([]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("ebtop: this is a bug in ebtop: KeyError: 'x\\ny' (test_cli.py:")
    monkeypatch.setenv("EBTOP_TRACEBACK", "1")
    with pytest.raises(KeyError):
        cli.main([])


def test_ctrl_c_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupt)
    assert cli.main([]) == 130


def probe(name: str, events: int, lost: dict[str, int], runs: int, run_ns: int, size: int, *notes: str) -> ProbeHealth:
    return ProbeHealth(
        name, "on", "", "", (ProgramCost("p", 1, runs, run_ns),), (MapUse("m", 1, size),), 0.0, events, lost, notes
    )


def test_what_internal_probes_cost_is_added_to_the_first_that_needs_them() -> None:
    stats = probe_stats(
        ("exec", "retransmits", "tcp"),
        [
            probe("exec", 10, {}, 20, 300, 4000, "blind"),
            probe("retransmits", 1, {"map full": 1}, 2, 3, 4),
            probe("tcp", 5, {}, 6, 7, 8),
            probe("(sockets)", 100, {"map full": 2, "ring buffer full": 3}, 200, 300, 400),
            probe("(filter)", 0, {}, 0, 0, 50),
        ],
    )
    assert stats[0] == ProbeStats("exec", 10, 0, 20, 300, 4050, {}, ("blind",))
    assert stats[1] == ProbeStats("retransmits", 101, 6, 202, 303, 404, {"map full": 3, "ring buffer full": 3}, ())
    assert stats[2] == ProbeStats("tcp", 5, 0, 6, 7, 8, {}, ())


def test_filters_are_read_and_all_of_them_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "exec").chosen is None
    assert run(monkeypatch, "exec", "--filter", " ").chosen is None
    one = run(monkeypatch, "exec", "--filter", "comm:x lat>1s").chosen
    assert one is not None
    assert one.text == "comm:x lat>1s"
    both = run(monkeypatch, "exec", "--filter", "pid:1 or pid:2", "--filter", "", "--filter", "comm:x").chosen
    assert both is not None
    assert both.canonical == "(pid:1 or pid:2) comm:x"


@pytest.mark.parametrize("command", [["trace", "exec"], ["live"], []])
def test_a_wrong_filter_is_one_line_that_shows_where(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--filter", "comm:nginx lat>fast"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "ebtop: fast is not a length of time: character 16 of the filter, after comm:nginx lat>; "
        "write it as 250us, 100ms, 5s, 2m or 1h\n"
    )


def test_a_cgroup_that_is_not_there_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["trace", "exec", "--filter", "cgroup:/no/such/cgroup"]) == 1
    assert "there is no cgroup /no/such/cgroup" in capsys.readouterr().err
    chosen = run(monkeypatch, "exec", "--filter", "not cgroup:/no/such/cgroup").chosen
    assert chosen is not None


def test_what_the_filter_left_out_is_counted_for_the_probe_that_saw_it() -> None:
    probes = [probe("exec", 10, {}, 20, 300, 4000), probe("cpu", 70, {}, 2, 3, 4), probe("tcp", 5, {}, 6, 7, 8)]
    filtered = {ExecRecord: 2, ExitRecord: 3, StackRecord: 40}
    stats = probe_stats(("exec", "cpu", "tcp"), probes, filtered)
    assert [entry.filtered for entry in stats] == [5, 40, 0]
