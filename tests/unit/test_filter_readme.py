"""The README's table of fields, and its examples, are the language's own."""

from __future__ import annotations

import re
from pathlib import Path

from ebtop.store.filter import describe_fields, field_table, parse

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_fields_in_the_readme_are_those_of_the_language() -> None:
    match = re.search(r"<!-- filters -->\n(.*?)\n<!-- /filters -->", README, re.DOTALL)
    assert match is not None
    assert match[1] == field_table()


def test_every_example_can_be_read() -> None:
    for field in describe_fields():
        assert parse(field.example.replace("www-data", "root")), field.name
    shown = re.findall(r"--filter '(.+?)'", README)
    assert len(shown) >= 4
    for text in shown:
        assert parse(text.replace("www-data", "root")), text
