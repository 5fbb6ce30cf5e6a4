"""Write C++ and Rust names as people know them; leave all others as they are in the symbol table.

C++ (Itanium ABI) as `c++filt -p` writes it, without the parameters of the function itself; Rust (legacy and v0)
without hashes. What is damaged, very deep, or may be written in a wrong way stays mangled: a raw name is better than
a wrong one. Names are hostile: depth, output and work are bounded.
"""

from __future__ import annotations

from ebtop.symbols.demangle.cursor import CanNot
from ebtop.symbols.demangle.itanium import Names
from ebtop.symbols.demangle.rust_legacy import rust_legacy
from ebtop.symbols.demangle.rust_v0 import rust_v0

_INPUT_MAX = 4096


def demangle(symbol: str) -> str:
    """The name without its mangling, or `symbol` itself when it has none or can not be read."""
    if len(symbol) > _INPUT_MAX or not symbol.startswith(("_Z", "_R")):
        return symbol
    if symbol.startswith("_R"):
        return rust_v0(symbol) or symbol
    name = rust_legacy(symbol)
    if name is not None:
        return name
    # Copies that the compiler made of a function: .cold, .part.0, .constprop.0.
    mangled, dot, clone = symbol.partition(".")
    try:
        name = Names(mangled).function()
    except CanNot:
        return symbol
    return f"{name} [clone .{clone}]" if dot else name
