"""The formats an extract can be written in, by name and by the end of a file's name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ebtop.errors import UsageError
from ebtop.export.csv_document import csv_lines
from ebtop.export.extract import Extract
from ebtop.export.folded import folded_lines
from ebtop.export.html import html_lines
from ebtop.export.make_report import make_report
from ebtop.export.markdown import markdown_lines
from ebtop.export.ndjson_document import ndjson_lines
from ebtop.export.pprof import pprof
from ebtop.export.speedscope import speedscope
from ebtop.export.svg import svg

_CHUNK_CHARACTERS = 1 << 18


class Format(NamedTuple):
    """One format."""

    name: str
    endings: tuple[str, ...]
    """Of file names, the usual one first."""
    write: Callable[[Extract], Iterator[bytes]]
    help: str


def _lines(make: Callable[[Extract], Iterable[str]], end: str = "\n") -> Callable[[Extract], Iterator[bytes]]:
    def write(extract: Extract) -> Iterator[bytes]:
        held: list[str] = []
        size = 0
        for line in make(extract):
            held.append(line)
            size += len(line)
            if size > _CHUNK_CHARACTERS:
                yield (end.join(held) + end).encode("utf-8", "backslashreplace")
                held, size = [], 0
        if held:
            yield (end.join(held) + end).encode("utf-8", "backslashreplace")

    return write


def _html(extract: Extract) -> Iterator[str]:
    return html_lines(make_report(extract, drawn=True))


def _markdown(extract: Extract) -> Iterator[str]:
    return markdown_lines(make_report(extract, drawn=False))


def _pprof(extract: Extract) -> Iterator[bytes]:
    evidence = extract.evidence
    yield pprof(extract.profiles, extract.about(), evidence.modules(), evidence.containers)


FORMATS = {
    each.name: each
    for each in (
        Format(
            "folded", (".folded", ".collapsed"), _lines(lambda e: folded_lines(e.profile, e.about())),
            "stacks a line, for flamegraph.pl and inferno",
        ),
        Format("pprof", (".pb.gz", ".pprof", ".pprof.gz"), _pprof, "for pprof, Parca, Pyroscope"),
        Format(
            "speedscope", (".speedscope.json", ".speedscope"), _lines(lambda e: [speedscope(e.profiles, e.about())]),
            "for www.speedscope.app",
        ),
        Format("svg", (".svg",), _lines(lambda e: [svg(e.profile, e.about())]), "an icicle to zoom and search"),
        Format("html", (".html", ".htm"), _lines(_html), "a report in one file"),
        Format("ndjson", (".ndjson", ".jsonl", ".json"), _lines(ndjson_lines), "every record, an object a line"),
        Format("csv", (".csv",), _lines(csv_lines, ""), "every record, a row each"),
        Format("md", (".md", ".markdown"), _lines(_markdown), "what stood out"),
    )
}  # fmt: skip


def format_of(output: str, chosen: str | None) -> Format:
    """The one that is asked for, or that the end of the output's name says. Raises UsageError."""
    if chosen is not None:
        if chosen not in FORMATS:
            raise UsageError(f"there is no format {chosen!r}", "", f"choose one of {', '.join(FORMATS)}")
        return FORMATS[chosen]
    name = output.lower()
    found = [(len(end), each) for each in FORMATS.values() for end in each.endings if name.endswith(end)]
    if not found:
        endings = ", ".join(each.endings[0] for each in FORMATS.values())
        why = "it goes to standard output" if output == "-" else f"the name {output!r} does not say it"
        raise UsageError("in which format?", why, f"use --format, or one of the endings {endings}")
    return max(found, key=lambda item: item[0])[1]
