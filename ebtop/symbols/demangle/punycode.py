"""Identifiers that are not ASCII in Rust's v0 mangling."""

from __future__ import annotations


def from_punycode(text: str) -> str:
    """RFC 3492 with _ for the delimiter; "punycode{...}" when it can not be read, as Rust's own tools write it."""
    basic, delimiter, rest = text.rpartition("_")
    try:
        # The codec wants a hyphen before the digits, or none where there are no basic characters.
        decoded = (f"{basic}-{rest}" if delimiter else rest).encode("ascii").decode("punycode")
    except (UnicodeError, ValueError, OverflowError):
        return f"punycode{{{text}}}"
    return decoded if decoded.isprintable() else f"punycode{{{text}}}"
