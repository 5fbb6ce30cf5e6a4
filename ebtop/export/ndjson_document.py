"""An extract as newline-delimited JSON: a header, what happened, what is open, the stacks, and an end.

The last line says how many there are, so that a file that was cut short can be told from a whole one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from ebtop.export.about import completeness
from ebtop.export.extract import Extract
from ebtop.export.ndjson import JsonLines


def ndjson_lines(extract: Extract) -> Iterator[str]:
    """The lines of `ebtop trace --json`, after one of type `header` and before one of type `end`.

    Events in order of time, then connections that are open at the end (`event` live), then each distinct stack of a
    process once with its count.
    """
    header = extract.about().header()
    del header["secrets_masked"]  # known at the end
    line = JsonLines(extract.evidence.containers).line
    yield json.dumps({"type": "header", **header})
    written = 0
    for record in extract.records():
        yield line(record)
        written += 1
    for connection in extract.open_connections():
        yield line(connection)
        written += 1
    for profile in extract.profiles:
        for stack in profile.stacks:
            yield line(stack.record)
        written += len(profile.stacks)
    yield json.dumps(
        {
            "type": "end",
            "records": written,
            "secrets_masked": extract.masked,
            "stacks": [completeness(profile) for profile in extract.profiles],
        }
    )
