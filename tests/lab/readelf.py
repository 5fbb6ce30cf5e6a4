"""The rules that binutils reads out of .eh_frame: `readelf -wF` as rows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FDE = re.compile(r"^[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ FDE cie=([0-9a-f]+) pc=([0-9a-f]+)\.\.([0-9a-f]+)")
_IN_REGISTER = re.compile(r"\br\d+ \((\w+)\)")
_CIE = re.compile(r'^([0-9a-f]+) [0-9a-f]+ [0-9a-f]+ CIE "([^"]*)"')


class Row(NamedTuple):
    """What holds from `start` to `end`, in readelf's words: `rsp+8`, `exp`; `c-16`, `u`, `exp`."""

    start: int
    end: int
    cfa: str
    frame_pointer: str
    return_address: str
    signal: bool


def rows(path: Path) -> Iterator[Row]:
    """The rows of all functions. Raises FileNotFoundError when there is no readelf.

    Functions without instructions of their own have none: readelf does not print what holds there.
    """
    arguments = ["readelf", "--debug-dump=frames-interp", path]
    output = subprocess.run(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
    ).stdout
    signal_cies: set[str] = set()
    columns: list[str] = []
    signal, end = False, 0
    row: Row | None = None
    for line in output.splitlines():
        if line.startswith("   LOC"):
            columns = line.split()
        elif match := _CIE.match(line):
            row, end = None, 0
            if "S" in match[2]:
                signal_cies.add(match[1].lstrip("0"))
        elif match := _FDE.match(line):
            end, signal = int(match[3], 16), match[1].lstrip("0") in signal_cies
        elif end and line[:1].isalnum() and len(fields := _IN_REGISTER.sub(r"\1", line).split()) == len(columns):
            values = dict(zip(columns, fields, strict=True))
            start = int(values["LOC"], 16)
            if row is not None and row.start < start:
                yield row._replace(end=min(start, end))
            if start >= end:  # the program says more than there is code
                row = None
                continue
            row = Row(start, end, values["CFA"], values.get("rbp", "u"), values.get("ra", "u"), signal)
        else:
            if row is not None:
                yield row
            row, columns = None, []
