"""Write plain C++ and Rust names as people know them; leave all others as they are in the symbol table.

C++ (Itanium ABI): nested names of identifiers, constructors and destructors, without parameters. What has
templates, operators, substitutions or tags stays mangled: a raw name is better than a wrong one.
Rust: the legacy scheme, without the hash. The v0 scheme (_R...) stays mangled.
"""

from __future__ import annotations

import re

_RUST = re.compile(r"_ZN.*17h[0-9a-f]{16}E(?=$|\.)")
_RUST_ESCAPE = re.compile(r"\$(SP|BP|RF|LT|GT|LP|RP|C|u[0-9a-f]{1,6})\$|\.\.|\.")
_RUST_CHARACTERS = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
_QUALIFIERS = re.compile(r"[rVK]*[RO]?")
_SOURCE_NAME = re.compile(r"L?([1-9][0-9]{0,3})")
_CONSTRUCTOR = re.compile(r"C[123]")
_DESTRUCTOR = re.compile(r"D[012]")
_ANONYMOUS = re.compile(r"_GLOBAL_[_.$]N")


def demangle(symbol: str) -> str:
    """The name without its mangling, or `symbol` itself when it is none of the plain kinds."""
    if not symbol.startswith("_Z"):
        return symbol
    rust = _RUST.match(symbol)
    if rust is not None:
        parts, end = _nested(symbol, 3)
        if end == rust.end() and len(parts) > 1:
            return "::".join([_rust_part(part) for part in parts[:-1]]) + symbol[end:]
    mangled, dot, clone = symbol.partition(".")
    name = _plain_cpp(mangled)
    return symbol if name is None else f"{name} [clone .{clone}]" if dot else name


def _plain_cpp(mangled: str) -> str | None:
    if mangled.startswith("_ZN"):
        at = _QUALIFIERS.match(mangled, 3)
        parts, end = _nested(mangled, at.end() if at else 3)
        return "::".join(parts) if parts and end < len(mangled) else None
    source = _SOURCE_NAME.match(mangled, 2)
    if source is None:
        return None
    end = source.end() + int(source[1])
    # Without parameters it is a variable; what may follow otherwise (template arguments, a tag) is no plain name.
    if end >= len(mangled) or mangled[end] in "IB":
        return None
    return mangled[source.end() : end]


def _nested(mangled: str, at: int) -> tuple[list[str], int]:
    """(components, where the E after them ends); ([], 0) when there is anything but plain components."""
    parts: list[str] = []
    while not mangled.startswith("E", at):
        source = _SOURCE_NAME.match(mangled, at)
        if source is not None:
            at = source.end() + int(source[1])
            part = mangled[source.end() : at]
            if at > len(mangled):
                return [], 0
            parts.append("(anonymous namespace)" if _ANONYMOUS.match(part) else part)
        elif parts and _CONSTRUCTOR.match(mangled, at):
            parts.append(parts[-1])
            at += 2
        elif parts and _DESTRUCTOR.match(mangled, at):
            parts.append("~" + parts[-1])
            at += 2
        else:
            return [], 0
    return parts, at + 1


def _rust_part(part: str) -> str:
    return _RUST_ESCAPE.sub(_rust_character, part[1:] if part.startswith("_$") else part)


def _rust_character(match: re.Match[str]) -> str:
    code = match[1]
    if code is None:
        return "::" if match[0] == ".." else "."
    if code in _RUST_CHARACTERS:
        return _RUST_CHARACTERS[code]
    value = int(code[1:], 16)
    return chr(value) if value <= 0x10FFFF and chr(value).isprintable() else match[0]
