"""Make text that came from a process safe, once, where it enters.

comm, argv, paths, cgroup names and symbols are chosen by whoever runs the process. A terminal escape
in one of them must not reach a terminal, a markup parser, HTML, CSV or SQL, so nothing but printable
characters gets past this module.
"""

from __future__ import annotations


def printable(raw: bytes) -> str:
    """UTF-8 bytes as printable text; bytes and characters that are not printable become \\xNN or \\uNNNN."""
    text = raw.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else clean(text)


def clean(text: str) -> str:
    """Text with every character that is not printable written as an escape; undecodable bytes too."""
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else _escape(c) for c in text])


def c_string(raw: bytes) -> str:
    """A NUL-terminated kernel string (comm, filename) as printable text."""
    return printable(raw.partition(b"\0")[0])


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that os.fsdecode could not decode
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
