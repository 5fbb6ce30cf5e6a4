"""Names that processes choose, in every format, read back by somebody else's parser."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from ebtop.export.command import DIFF_FORMATS
from ebtop.export.diff import compare_extracts
from ebtop.export.extract import Extract
from ebtop.export.formats import FORMATS
from ebtop.store.redact import Redactor
from ebtop.text import clean
from tests.unit.hostile_text import NAMES, RAW, hostile_evidence
from tests.unit.pprof_reader import read_pprof
from tests.unit.record_makers import at

_SVG_TAGS = {"svg", "g", "rect", "text", "title", "desc", "style", "script"}
_HTML_TAGS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "ul", "li", "code", "div", "details", "summary",
    "table", "caption", "thead", "tbody", "tr", "th", "td", "script", "svg", "g", "rect", "text", "desc", "polygon",
    "line",
}  # fmt: skip


def written(name: str) -> bytes:
    return b"".join(FORMATS[name].write(Extract(hostile_evidence(), redactor=Redactor())))


@pytest.mark.parametrize("name", FORMATS)
def test_no_character_that_moves_a_terminal_is_written(name: str) -> None:
    data = written(name)
    text = (gzip.decompress(data) if name == "pprof" else data).decode("utf-8", "replace")
    if name == "pprof":
        texts = read_pprof(data).strings
        assert not any(raw in text for text in texts for raw in RAW)
    else:
        assert not any(raw in text for raw in RAW)
        assert not any(ord(c) < 32 and c not in "\r\n" for c in text)


def test_svg_is_one_tree_with_one_script_and_the_names_as_text() -> None:
    root = ElementTree.fromstring(written("svg"))
    tags = [element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in root.iter()]
    assert set(tags) <= _SVG_TAGS
    assert tags.count("script") == 1
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") or "href" in name for name in attributes)
    titles = {element.text for element in root.iter("{http://www.w3.org/2000/svg}title")}
    for name in filter(None, NAMES):
        assert any(title and title.startswith(clean(name)) for title in titles)


class _Html(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_has_only_its_own_elements_and_one_script() -> None:
    parser = _Html()
    parser.feed(written("html").decode())
    assert set(parser.tags) <= _HTML_TAGS
    assert parser.tags.count("script") == 1
    names = {name for name, _ in parser.attributes}
    assert not any(name.startswith("on") or name in ("href", "src", "style", "action", "xlink:href") for name in names)
    text = "\n".join(parser.text)
    for name in filter(None, NAMES):
        assert clean(name) in text


def test_html_lets_nothing_run_or_load_but_its_own_script_and_style() -> None:
    text = written("html").decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert "http" not in policy[1]


def test_csv_has_no_formula_and_as_many_cells_in_each_row() -> None:
    text = written("csv").decode()
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert text.endswith("\r\n")
    assert text.count("\n") == text.count("\r\n") == len(rows)
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@", "\t", "\r")]
    assert not [cell for cell in cells if cell.startswith("-") and not re.fullmatch(r"-\d+", cell)]
    comm = rows[0].index("comm")
    assert {row[comm].removeprefix("'") for row in rows if row[0] == "exec"} >= {
        clean(name).removeprefix("'") for name in NAMES
    }


def test_ndjson_is_an_object_a_line() -> None:
    lines = written("ndjson").decode("ascii").splitlines()
    objects = [json.loads(line) for line in lines]
    assert objects[0]["type"] == "header"
    assert objects[-1] == objects[-1] | {"type": "end", "records": len(objects) - 2}
    args = {tuple(each["args"]) for each in objects if each["type"] == "exec"}
    assert {(name, name) for name in NAMES} <= args


def test_folded_has_a_count_at_the_end_of_each_line_that_is_no_comment() -> None:
    lines = written("folded").decode().splitlines()
    # What flamegraph.pl, inferno and speedscope take for a stack; all else is skipped.
    stacks = [match for match in (re.fullmatch(r"(.*)\s+?(\d+(?:\.\d*)?)", line) for line in lines) if match]
    assert len(stacks) == len(NAMES)
    assert {len(match[1].split(";")) for match in stacks} == {6, 7}
    assert len(lines) > len(stacks)


def test_speedscope_keeps_names_as_they_are_printed() -> None:
    document = json.loads(written("speedscope"))
    names = {frame["name"] for frame in document["shared"]["frames"]}
    assert {clean(name) for name in NAMES if name} <= names


def test_pprof_keeps_names_as_they_are_printed() -> None:
    profile = read_pprof(written("pprof"))
    assert {clean(name) for name in NAMES} <= set(profile.strings)


def test_markdown_has_no_html_no_link_and_whole_tables() -> None:
    lines = written("md").decode().splitlines()
    columns = 0
    for line in lines:
        bare = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)  # code spans are inert
        bare = re.sub(r"\\.", "", bare)
        assert "<" not in bare
        assert "](" not in bare
        assert not re.search(r"https?://|www\.", bare)
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line)) - 1
            columns = columns or cells
            assert cells == columns
        else:
            columns = 0
    assert not [line for line in lines if line.startswith("#") and "heading" in line]


@pytest.mark.parametrize("name", DIFF_FORMATS)
def test_a_difference_of_hostile_names_is_as_clean(name: str) -> None:
    before, after = Extract(hostile_evidence(), None, None, at(14.2)), Extract(hostile_evidence(), None, at(14.2))
    text = "\n".join(DIFF_FORMATS[name](compare_extracts(before, after)))
    assert not any(ord(c) < 32 and c != "\n" for c in text)
    assert not any(raw in text for raw in RAW)
    if name == "json":
        assert json.loads(text)["new_commands"]
    elif name == "svg":
        root = ElementTree.fromstring(text)
        assert {e.tag.removeprefix("{http://www.w3.org/2000/svg}") for e in root.iter()} <= _SVG_TAGS
    elif name == "html":
        parser = _Html()
        parser.feed(text)
        assert set(parser.tags) <= _HTML_TAGS
        assert parser.tags.count("script") == 1
    else:
        assert "<" not in re.sub(r"\\.", "", re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text))
