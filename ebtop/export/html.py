"""A report as one HTML file: findings, charts, the icicle, tables. Nothing in it is fetched, and nothing can be: its
content security policy allows the one script and the one style sheet by their hash, and no other source of anything."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator

from ebtop.export import chart_svg, icicle_svg
from ebtop.export.escape import xml
from ebtop.export.report import Report, Table, Words
from ebtop.units import plural

_MOST_ROWS = 500
_OPEN_ROWS = 30
"""Of a longer table only the heading is seen at first."""
_KEYS = (
    "A click on a frame, or Enter, zooms; Esc goes back; / searches, n and N go to the next match and the one before; "
    "arrows move."
)
_STYLE = (
    """
:root{color-scheme:light dark;--line:#d5d9e0;--dim:#5d6675}
@media (prefers-color-scheme:dark){:root{--line:#353b46;--dim:#9aa4b2}}
body{font:14px/1.5 system-ui,sans-serif;margin:1.5rem auto;padding:0 1rem;max-width:1400px}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}
code,td.number{font:12px ui-monospace,"DejaVu Sans Mono",monospace}
.about{color:var(--dim);padding-left:1.2rem;margin:.2rem 0}
.table{overflow-x:auto}
table{border-collapse:collapse;width:100%}
caption{text-align:left;color:var(--dim)}
th,td{text-align:left;padding:.15rem .6rem .15rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{white-space:nowrap}.number{text-align:right;white-space:nowrap}
td code{overflow-wrap:anywhere}
summary{cursor:pointer}summary h2{display:inline}
.icicle-box{overflow-x:auto;border:1px solid var(--line)}
"""
    + chart_svg.STYLE
    + icicle_svg.STYLE
    + "svg.icicle:focus{outline:2px solid #2f6fde}"
)


def html_lines(report: Report) -> Iterator[str]:
    """The whole document."""
    script = icicle_svg.script()
    policy = "; ".join(
        (
            "default-src 'none'", f"script-src {_hash(script)}", f"style-src {_hash(_STYLE)}", "base-uri 'none'",
            "form-action 'none'",
        )
    )  # fmt: skip
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield f"<title>{xml(report.heading)}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{xml(report.heading)}</h1>"
    yield f'<ul class="about">{"".join(f"<li>{xml(line)}</li>" for line in report.about)}</ul>'
    for section in report.sections:
        yield f"<h2>{section.title}</h2>"
        yield f"<ul>{''.join(f'<li>{_sentence(words)}</li>' for words in section.findings)}</ul>"
    if report.charts:
        yield "<h2>Over time</h2>"
        yield from [chart_svg.chart_svg(chart, report.notes) for chart in report.charts]
    for drawn in report.icicles:
        yield f"<h2>{xml(drawn.title)}</h2><p>{_KEYS} {drawn.words}</p>"
        yield f'<div class="icicle-box">{icicle_svg.drawing(drawn.cells, drawn.paint, [drawn.title])}</div>'
    for table in report.tables:
        yield from _table(table)
    yield f"<script>{script}</script></body></html>"


def _table(table: Table) -> Iterator[str]:
    shown = table.rows[:_MOST_ROWS]
    opened = " open" if len(shown) <= _OPEN_ROWS else ""
    yield f"<details{opened}><summary><h2>{table.title}</h2> {plural(len(table.rows), 'row')}</summary>"
    if not shown:
        yield f"<p>{table.nothing}</p></details>"
        return
    more = f"; {plural(len(table.rows) - len(shown), 'more row')} left out" if len(table.rows) > len(shown) else ""
    yield f'<div class="table"><table><caption>{table.words}{more}</caption><thead><tr>'
    yield "".join([f"<th{_class(column.kind)}>{column.name}</th>" for column in table.columns])
    yield "</tr></thead><tbody>"
    for row in shown:
        cells_ = [
            f"<td{_class(column.kind)}>{f'<code>{xml(text)}</code>' if column.kind == 'code' else xml(text)}</td>"
            for text, column in zip(row, table.columns, strict=True)
        ]
        yield f"<tr>{''.join(cells_)}</tr>"
    yield "</tbody></table></div></details>"


def _class(kind: str) -> str:
    return ' class="number"' if kind == "number" else ""


def _sentence(words: Words) -> str:
    return "".join([xml(part) if isinstance(part, str) else f"<code>{xml(part.text)}</code>" for part in words])


def _hash(text: str) -> str:
    """As a content security policy names it."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
