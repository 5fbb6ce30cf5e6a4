"""A report as Markdown: the first draft of a postmortem, and the summary of a bundle."""

from __future__ import annotations

from collections.abc import Iterator

from ebtop.export.escape import markdown, markdown_code
from ebtop.export.report import Report, Table, Words
from ebtop.units import plural

_MOST_ROWS = 12
_LONGEST = 120
"""Characters of a cell."""


def markdown_lines(report: Report) -> Iterator[str]:
    """Findings first, then the top of each table."""
    yield f"# {markdown(report.heading)}"
    yield ""
    for line in report.about:
        yield f"- {markdown(line)}"
    for section in report.sections:
        yield ""
        yield f"## {section.title}"
        yield ""
        for words in section.findings:
            yield f"- {_sentence(words)}"
    for table in report.tables:
        yield ""
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield f"## {table.title}"
    yield ""
    if not table.rows:
        yield f"{table.nothing}."
        return
    if table.words:
        yield f"{table.words}."
        yield ""
    yield f"| {' | '.join(column.name for column in table.columns)} |"
    yield f"|{'|'.join('---:' if column.kind == 'number' else '---' for column in table.columns)}|"
    for row in table.rows[:_MOST_ROWS]:
        cells = [_cell(text, column.kind) for text, column in zip(row, table.columns, strict=True)]
        yield f"| {' | '.join(cells)} |"
    if len(table.rows) > _MOST_ROWS:
        yield ""
        yield f"… and {plural(len(table.rows) - _MOST_ROWS, 'more row')}."


def _cell(text: str, kind: str) -> str:
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    if not text:
        return ""
    return markdown_code(text) if kind == "code" else markdown(text)


def _sentence(words: Words) -> str:
    return "".join([markdown(part) if isinstance(part, str) else markdown_code(part.text) for part in words])
