"""The README's table of keys is the program's own."""

from __future__ import annotations

import re
from pathlib import Path

from ebtop.ui.commands import key_table


def test_the_keys_in_the_readme_are_those_of_the_program() -> None:
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    match = re.search(r"<!-- keys -->\n(.*?)\n<!-- /keys -->", text, re.DOTALL)
    assert match is not None
    assert match[1] == key_table()
