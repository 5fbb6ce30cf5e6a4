"""Text in the formats that give some characters a meaning. Names and arguments are chosen by whoever runs a process.

What comes from a snapshot file may have been written by somebody else: nothing here relies on it being printable.
"""

from __future__ import annotations

import re

from ebtop.text import clean

_XML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
_XML_TABLE = str.maketrans(_XML)
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~&$@]|(?<=:)/(?=/)|(?<=www)\.|^[-+=]|(?<=^\d)[.)](?= )|(?<=^\d\d)[.)](?= ))")
"""What is markup anywhere in a line, makes a link of an address, or a list of a line that begins with it."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def xml(text: str) -> str:
    """For element content and quoted attributes of XML, SVG and HTML."""
    return clean(text).translate(_XML_TABLE)


def markdown(text: str) -> str:
    """For running text and cells of tables: nothing in it is markup, HTML, or a link."""
    return _MARKDOWN.sub(r"\\\1", clean(text))


def markdown_code(text: str) -> str:
    """As a code span, also inside a table."""
    text = clean(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if not text or text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|")


def csv_cell(text: str) -> str:
    """One cell as RFC 4180 has it; what a spreadsheet would take for a formula gets a ' in front."""
    text = clean(text)
    if text.startswith(_FORMULA) and not _is_number(text):
        text = f"'{text}"
    if "," not in text and '"' not in text and text == text.strip():
        return text
    quoted = text.replace('"', '""')
    return f'"{quoted}"'


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", text, re.ASCII) is not None
