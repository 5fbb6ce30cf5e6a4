from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import pytest

from ebtop.errors import UsageError
from ebtop.export.chart_svg import chart_svg
from ebtop.export.extract import Extract
from ebtop.export.formats import FORMATS, format_of
from ebtop.export.report import Chart
from ebtop.export.when import moment
from ebtop.store.evidence import Note
from ebtop.store.filter import parse
from ebtop.store.redact import Redactor
from tests.unit.evidence_maker import ListedEvidence, health, probe, tick
from tests.unit.record_makers import at, connect, exec_, exit_, retransmit, scan, stack, tcp, unseen_end

RECORDS = [
    exec_(1, 10, "early --token=abc"),
    exit_(5, 10, exit_code=3, comm="early"),
    exec_(50, 11, "late -v"),
    tcp("connect", 51, key=1, pid=11, comm="late"),
    retransmit(52, 3, pid=11, comm="late"),
    connect(53, "timeout", 900.0, pid=12, comm="other"),
]
STACKS = [stack(2, "main", "a", comm="early", pid=10), stack(52, "main", "b", comm="late", pid=11, samples=3)]


def evidence(**fields: object) -> ListedEvidence:
    open_one = tcp("live", 60, key=1, pid=11, comm="late", tx_bytes=700, rx_bytes=50)
    kept = tcp("live", 60, key=2, pid=13, comm="db", tx_bytes=9, daddr="10.0.0.9")
    given: dict[str, object] = {"records": RECORDS, "stacks": STACKS, "seconds": 60.0, "scan": scan(60, open_one, kept)}
    return ListedEvidence(**{**given, **fields})  # type: ignore[arg-type]


def objects(extract: Extract) -> list[dict[str, object]]:
    return [json.loads(line) for line in b"".join(FORMATS["ndjson"].write(extract)).splitlines()]


def test_ndjson_has_what_happened_what_is_open_and_the_stacks() -> None:
    found = objects(Extract(evidence(), redactor=Redactor()))
    assert [each["type"] for each in found] == [
        "header", "exec", "exit", "exec", "tcp", "retransmit", "connect", "tcp", "tcp", "stack", "stack", "end",
    ]  # fmt: skip
    assert found[1]["args"] == ["early", "--token=***"]
    assert {each["tx_bytes"] for each in found if each.get("event") == "live"} == {700, 9}
    assert found[-1]["records"] == 10
    assert found[-1]["secrets_masked"] == 1


def test_an_end_that_was_not_seen_is_no_exit_code_anywhere() -> None:
    """A process that was killed, and one whose end was lost: only the first counts as killed, neither as well ended."""
    records = [exec_(1, 10), exec_(1, 11), exit_(5, 10, signal=9), unseen_end(6, 11)]
    source = evidence(records=records, stacks=[])
    unseen = next(
        each
        for each in objects(Extract(source, redactor=Redactor()))
        if each.get("pid") == 11 and each["type"] == "exit"
    )
    assert (unseen["exit_code"], unseen["signal"], unseen["core_dumped"], unseen["duration_s"]) == (None,) * 4
    text = b"".join(FORMATS["csv"].write(Extract(source))).decode()
    killed, lost = [row for row in csv.DictReader(io.StringIO(text, newline="")) if row["type"] == "exit"]
    assert (killed["exit_code"], killed["signal"], killed["core_dumped"]) == ("0", "9", "false")
    assert (lost["exit_code"], lost["signal"], lost["core_dumped"], lost["duration_s"]) == ("", "", "", "")
    report = b"".join(FORMATS["md"].write(Extract(source))).decode()
    assert "exit code None" not in report
    page = b"".join(FORMATS["html"].write(Extract(source))).decode()
    assert "end not seen" in page


def test_secrets_stay_where_nobody_masks_them() -> None:
    found = objects(Extract(evidence()))
    assert found[1]["args"] == ["early", "--token=abc"]
    assert found[-1]["secrets_masked"] is None


def test_what_was_masked_in_the_file_counts_too() -> None:
    extract = Extract(evidence(masked=4), redactor=Redactor())
    assert list(extract.records())
    assert extract.about().masked_line == "5 secrets masked"


def test_a_range_and_a_filter_choose_records_stacks_and_connections() -> None:
    found = objects(Extract(evidence(), parse("comm:late"), at(40), at(60)))
    assert [(each["type"], each.get("comm")) for each in found[1:-1]] == [
        ("exec", "late"), ("tcp", "late"), ("retransmit", "late"), ("tcp", "late"), ("stack", "late"),
    ]  # fmt: skip
    assert found[0]["filter"] == "comm:late"
    assert found[0]["from"] == "2026-11-22T14:00:40.000000000Z"


def test_tables_of_a_part_add_up_only_what_passes() -> None:
    everything, part = Extract(evidence()), Extract(evidence(), parse("comm:late"))
    assert {row.comm for row in everything.snapshot.commands} == {"early", "late"}
    assert {row.comm for row in part.snapshot.commands} == {"late"}
    assert {(row.comm, row.tx_bytes) for row in part.snapshot.talkers} == {("late", 700)}
    assert [row.segments for row in part.snapshot.retransmit_peers] == [3]
    assert part.snapshot.targets == ()
    assert {row.comm for row in Extract(evidence(), None, at(40)).snapshot.commands} == {"late"}


def test_losses_are_those_of_the_range() -> None:
    ticks = [tick(s, health(probe(lost={"ring full": s // 10}), time=s)) for s in range(0, 61, 5)]
    full = evidence(ticks=ticks, probes=[probe(lost={"ring full": 6})])
    assert Extract(full).about().lost == 6
    assert Extract(full, None, at(30), at(50)).about().lost == 2
    assert Extract(full, None, None, at(9)).about().losses == ()
    assert Extract(full).about().loss_line == "6 records lost, counts are a floor: cpu 6 (ring full)"


def test_notes_are_those_of_the_range_and_masked() -> None:
    notes = [Note(at(10), "first"), Note(at(50), "tried --password x")]
    extract = Extract(evidence(notes=notes), None, at(40), redactor=Redactor())
    assert [note.text for note in extract.notes] == ["tried --password ***"]


def test_csv_has_the_columns_of_the_types_in_it() -> None:
    data = b"".join(FORMATS["csv"].write(Extract(evidence(), parse("type:exec"))))
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert "command" in rows[0]
    assert "daddr" not in rows[0]
    assert [row["command"] for row in rows if row["type"] == "exec"] == ["early --token=abc", "late -v"]
    assert next(row["text"] for row in rows if row["type"] == "end").startswith("2 rows; secrets were not masked")
    assert "nothing was lost" in [row["text"] for row in rows if row["type"] == "about"]


def test_markdown_says_what_stood_out() -> None:
    extract = Extract(evidence(notes=[Note(at(50), "deploy")]), redactor=Redactor())
    text = b"".join(FORMATS["md"].write(extract)).decode()
    for line in (
        "# ebtop on node1, 2026-11-22T14:00:00Z, 1m00s",
        "- 4 samples of on-CPU time, 100 % of it with whole stacks",
        "- Most on-CPU time: `late` 75.0 %, `early` 25.0 %.",
        "- `early`: 1 ended with an exit code other than 0, of 1.",
        "- Top talker `late` (11): sent 700, received 50, 1 open connection.",
        "- 3 segments sent again, most to 10.0.0.2:443 3.",
        "- Connects to 10.0.0.2:443: 1 timed out, the slowest took 900ms; by `other`.",
        "- The last 30s against the 30s before:",
        "- `a` itself took 100 %, now 0.00 % of the time.",
        "- 14:00:50: `deploy`",
    ):
        assert line in text.splitlines()
    assert "abc" not in text


def test_every_format_of_nothing_is_written() -> None:
    for each in FORMATS.values():
        assert b"".join(each.write(Extract(ListedEvidence(seconds=0.0), redactor=Redactor())))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.svg", "svg"), ("a.pb.gz", "pprof"), ("A.SVG", "svg"), ("a.speedscope.json", "speedscope"),
        ("a.json", "ndjson"), ("a.folded", "folded"), ("dir.svg/a.md", "md"), ("a.htm", "html"), ("x.csv", "csv"),
    ],
)  # fmt: skip
def test_the_ending_says_the_format(name: str, expected: str) -> None:
    assert format_of(name, None).name == expected
    assert format_of(name, "folded").name == "folded"


@pytest.mark.parametrize(("name", "chosen"), [("a.txt", None), ("-", None), ("a.svg", "xml"), ("svg", None)])
def test_an_unknown_format_is_wrong_usage(name: str, chosen: str | None) -> None:
    with pytest.raises(UsageError):
        format_of(name, chosen)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("-10", 590), ("-1m", 540), ("+30s", 30), ("14:03", 180), ("14:03:20", 200), ("2026-11-22T14:01:00Z", 60),
        ("2026-11-22T14:01:00.5+00:00", 60.5), ("2026-11-22 14:02", 120), ("13:59", -60), ("-0.5h", -1200),
    ],
)  # fmt: skip
def test_moments(text: str, seconds: float) -> None:
    assert moment(text, ListedEvidence()) == at(seconds)


@pytest.mark.parametrize("text", ["", "now", "25:00", "14:61", "5m", "--5", "-5d", "2026-13-01T00:00:00Z"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        moment(text, ListedEvidence())


def test_a_chart_says_the_most_and_the_mean() -> None:
    points = tuple((at(n), float(n == 3)) for n in range(10))
    drawn = chart_svg(Chart("Execs", "a second", points), [Note(at(4), "<deploy>")])
    root = ElementTree.fromstring(drawn)
    texts = [element.text for element in root.iter("text")]
    assert texts == ["Execs: at most 1.0 a second, 0.1 a second on average", "14:00:00", "14:00:09 UTC"]
    assert [element.text for element in root.iter("title")] == ["<deploy>"]
    still = chart_svg(Chart("Execs", "a second", tuple((at(n), 0.0) for n in range(10))), [])
    assert "at most 0 a second, 0 a second" in still
