"""`ebtop export` and `ebtop diff`: from snapshot files to what others read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ebtop.errors import UsageError
from ebtop.export.diff import Comparison, compare_extracts, diff_json, diff_report, diff_svg
from ebtop.export.extract import Extract
from ebtop.export.formats import format_of
from ebtop.export.html import html_lines
from ebtop.export.markdown import markdown_lines
from ebtop.export.output import STANDARD_OUTPUT, refuse_existing, write
from ebtop.export.when import moment
from ebtop.store.evidence import Evidence
from ebtop.store.file.reader import SnapshotFile
from ebtop.store.filter import Filter
from ebtop.store.redact import Redactor


class ExportOptions(NamedTuple):
    """What `export` and `diff` were asked for."""

    output: str = STANDARD_OUTPUT
    format: str | None = None
    """None: by the output's name."""
    chosen: Filter | None = None
    start: str | None = None
    """`--from` as it was typed; None = from the beginning."""
    end: str | None = None
    kind: str = ""
    """Of stacks; "" = cpu where there is any."""
    redactor: Redactor | None = None
    """None: secrets are written as they are."""
    force: bool = False


DIFF_FORMATS: dict[str, Callable[[Comparison], Iterator[str]]] = {
    "md": lambda comparison: markdown_lines(diff_report(comparison, drawn=False)),
    "json": lambda comparison: iter([diff_json(comparison)]),
    "svg": lambda comparison: iter([diff_svg(comparison)]),
    "html": lambda comparison: html_lines(diff_report(comparison, drawn=True)),
}
_OF_STACKS = frozenset({"folded", "pprof", "speedscope", "svg"})
_DIFF_ENDINGS = {".md": "md", ".markdown": "md", ".json": "json", ".svg": "svg", ".html": "html", ".htm": "html"}


def export(file: Path, options: ExportOptions) -> int:
    """Write one format; returns the exit code. Raises EbtopError."""
    chosen = format_of(options.output, options.format)
    refuse_existing(options.output, options.force)
    if chosen.name == "pprof" and options.output == STANDARD_OUTPUT and os.isatty(1):
        raise UsageError("pprof is no text for a terminal", "", "add -o FILE, or pipe it")
    with closing(SnapshotFile(file)) as opened:
        extract = extract_of(opened, options)
        _report(options, write(options.output, chosen.write(extract), force=options.force), extract)
    return 0


def diff(before: Path, after: Path, options: ExportOptions) -> int:
    """Compare two files; `start`, `end` and the filter are about both. Returns the exit code. Raises EbtopError."""
    name = _diff_format(options)
    refuse_existing(options.output, options.force)
    with closing(SnapshotFile(before)) as first, closing(SnapshotFile(after)) as second:
        earlier, later = extract_of(first, options), extract_of(second, options)
        comparison = compare_extracts(earlier, later, options.kind)
        lines = ((line + "\n").encode("utf-8", "backslashreplace") for line in DIFF_FORMATS[name](comparison))
        _report(options, write(options.output, lines, force=options.force), later)
    return 0


class OneStep:
    """An export of what is only just being recorded."""

    def __init__(self, output: str, format_name: str | None, *, force: bool) -> None:
        """Raises EbtopError for what can't be written, before anything is recorded."""
        self._options = ExportOptions(output, format_name, force=force)
        self.of_stacks = format_of(output, format_name).name in _OF_STACKS
        """It has room for nothing else."""
        refuse_existing(output, force)

    def write(self, file: Path) -> None:
        """What is secret has been masked when it was recorded."""
        export(file, self._options)


def extract_of(evidence: Evidence, options: ExportOptions) -> Extract:
    """The part that the options are about."""
    start = moment(options.start, evidence) if options.start is not None else None
    end = moment(options.end, evidence) if options.end is not None else None
    if start is not None and start >= (evidence.until_ns if end is None else end):
        raise UsageError("the range is empty", "it begins after its end", "see --from and --to")
    return Extract(evidence, options.chosen, start, end, options.redactor, options.kind)


def _diff_format(options: ExportOptions) -> str:
    ending = os.path.splitext(options.output)[1].lower()
    name = options.format or _DIFF_ENDINGS.get(ending) or ("md" if options.output == STANDARD_OUTPUT else None)
    if name not in DIFF_FORMATS:
        raise UsageError("in which format?", "", f"use --format, or an ending: {', '.join(DIFF_FORMATS)}")
    return name


def _report(options: ExportOptions, written: int, extract: Extract) -> None:
    """Where it went, and what a person should know of it, beside the data."""
    if options.output == STANDARD_OUTPUT:
        return
    about = extract.about()
    masked = "secrets not masked" if about.masked is None else f"{about.masked} secrets masked"
    print(f"ebtop: {options.output}: {written:,} bytes, {about.loss_line}, {masked}", file=sys.stderr)
