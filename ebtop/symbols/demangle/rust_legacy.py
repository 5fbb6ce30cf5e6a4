"""Rust's older mangling: C++ nested names with a hash at the end."""

from __future__ import annotations

import re

_RUST = re.compile(r"_ZN.*17h[0-9a-f]{16}E(?=$|\.)")
_ESCAPE = re.compile(r"\$(SP|BP|RF|LT|GT|LP|RP|C|u[0-9a-f]{1,6})\$|\.\.|\.")
_CHARACTERS = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
_SOURCE_NAME = re.compile(r"([1-9][0-9]{0,3})")


def rust_legacy(symbol: str) -> str | None:
    """The path without its hash; None for anything else."""
    rust = _RUST.match(symbol)
    if rust is None:
        return None
    parts, at = [], 3
    while not symbol.startswith("E", at):
        source = _SOURCE_NAME.match(symbol, at)
        if source is None:
            return None
        at = source.end() + int(source[1])
        if at > len(symbol):
            return None
        parts.append(symbol[source.end() : at])
    if at + 1 != rust.end() or len(parts) < 2:
        return None
    clone = symbol[at + 1 :]
    # LLVM adds a number to what it moved between modules.
    return "::".join([_unescaped(part) for part in parts[:-1]]) + ("" if clone.startswith(".llvm.") else clone)


def _unescaped(part: str) -> str:
    return _ESCAPE.sub(_character, part[1:] if part.startswith("_$") else part)


def _character(match: re.Match[str]) -> str:
    code = match[1]
    if code is None:
        return "::" if match[0] == ".." else "."
    if code in _CHARACTERS:
        return _CHARACTERS[code]
    value = int(code[1:], 16)
    return chr(value) if value <= 0x10FFFF and chr(value).isprintable() else match[0]
