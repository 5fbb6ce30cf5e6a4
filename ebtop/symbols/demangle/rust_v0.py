"""Rust's v0 mangling (RFC 2603): _R, a path, and the crate that made the copy. Written from the RFC."""

from __future__ import annotations

from collections.abc import Callable

from ebtop.symbols.demangle.punycode import from_punycode

_DEPTH_MAX = 64
_TEXT_MAX = 4096
_STEPS_MAX = 20_000
_BASIC = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize", "j": "usize",
    "l": "i32", "m": "u32", "n": "i128", "o": "u128", "s": "i16", "t": "u16", "u": "()", "v": "...", "x": "i64",
    "y": "u64", "z": "!", "p": "_",
}  # fmt: skip


class _CanNot(Exception):
    """Not such a name."""


_ESCAPES = {9: "\\t", 10: "\\n", 13: "\\r", 39: "\\'", 92: "\\\\"}


def rust_v0(symbol: str) -> str | None:
    """The path in words, without hashes; None when it can not be read."""
    # LLVM adds a number to what it moved between modules.
    mangled, dot, clone = symbol.partition(".")
    if not mangled.isascii() or not mangled[2:3].isupper():
        return None
    try:
        reader = _Reader(mangled[2:])
        reader.path(values=True)
        # What follows is the path of the crate that instantiated it.
        return reader.text() + ("" if clone.startswith("llvm.") else dot + clone)
    except _CanNot:
        return None


class _Reader:
    """Reads at a place, writes into a list. Back references read at an earlier place again."""

    def __init__(self, mangled: str) -> None:
        self._mangled = mangled
        self._at = 0
        self._out: list[str] = []
        self._length = 0
        self._depth = 0
        self._steps = 0
        self._lifetimes = 0

    def text(self) -> str:
        return "".join(self._out)

    def path(self, *, values: bool) -> None:
        """`values`: generic arguments are written as in expressions, with ::."""
        self._enter()
        tag = self._next()
        if tag == "C":
            self._disambiguator()
            self._write(self._identifier())
        elif tag == "N":
            self._nested(values=values)
        elif tag in "MXY":
            if tag != "Y":
                self._disambiguator()
                self._silently(lambda: self.path(values=False))
            self._write("<")
            self.type()
            if tag != "M":
                self._write(" as ")
                self.path(values=False)
            self._write(">")
        elif tag == "I":
            self.path(values=values)
            self._write("::<" if values else "<")
            self._list(self._generic_argument)
            self._write(">")
        elif tag == "B":
            self._back(lambda: self.path(values=values))
        else:
            raise _CanNot
        self._depth -= 1

    def _nested(self, *, values: bool) -> None:
        space = self._next()
        self.path(values=values)
        number = self._disambiguator()
        name = self._identifier()
        if space.isupper():
            kind = {"C": "closure", "S": "shim"}.get(space, space)
            self._write(f"::{{{kind}:{name}#{number}}}" if name else f"::{{{kind}#{number}}}")
        elif not space.islower():
            raise _CanNot
        elif name:
            self._write(f"::{name}")

    def _generic_argument(self) -> None:
        if self._take("L"):
            self._write(self._lifetime(self._base62()))
        elif self._take("K"):
            self._constant()
        else:
            self.type()

    def type(self) -> None:
        self._enter()
        tag = self._next()
        if tag in _BASIC:
            self._write(_BASIC[tag])
        elif tag in "RQ":
            self._write("&")
            if self._take("L"):
                number = self._base62()
                if number:
                    self._write(self._lifetime(number) + " ")
            self._write("mut " if tag == "Q" else "")
            self.type()
        elif tag in "PO":
            self._write("*const " if tag == "P" else "*mut ")
            self.type()
        elif tag in "AS":
            self._write("[")
            self.type()
            if tag == "A":
                self._write("; ")
                self._constant()
            self._write("]")
        elif tag == "T":
            self._write("(")
            self._write(",)" if self._list(self.type) == 1 else ")")
        elif tag == "F":
            self._function_type()
        elif tag == "D":
            self._dynamic()
        elif tag == "B":
            self._back(self.type)
        else:
            self._at -= 1
            self.path(values=False)
        self._depth -= 1

    def _function_type(self) -> None:
        bound = self._binder()
        if self._take("U"):
            self._write("unsafe ")
        if self._take("K"):
            abi = "C" if self._take("C") else self._identifier().replace("_", "-")
            self._write(f'extern "{abi}" ')
        self._write("fn(")
        self._list(self.type)
        self._write(")")
        if not self._take("u"):
            self._write(" -> ")
            self.type()
        self._lifetimes -= bound

    def _dynamic(self) -> None:
        self._write("dyn ")
        bound = self._binder()
        self._list(self._dynamic_trait, " + ")
        self._lifetimes -= bound
        if not self._take("L"):
            raise _CanNot
        number = self._base62()
        if number:
            self._write(f" + {self._lifetime(number)}")

    def _dynamic_trait(self) -> None:
        is_open = self._path_left_open()
        while self._take("p"):
            self._write(", " if is_open else "<")
            is_open = True
            self._write(f"{self._identifier()} = ")
            self.type()
        if is_open:
            self._write(">")

    def _path_left_open(self) -> bool:
        """A path whose generic arguments can be added to; says whether there are some."""
        if self._take("B"):
            found: list[bool] = []
            self._back(lambda: found.append(self._path_left_open()))
            return bool(found and found[0])
        if not self._take("I"):
            self.path(values=False)
            return False
        self.path(values=False)
        self._write("<")
        self._list(self._generic_argument)
        return True

    def _binder(self) -> int:
        if not self._take("G"):
            return 0
        count = self._base62() + 1
        if count > 32:
            raise _CanNot
        names = []
        for _ in range(count):
            self._lifetimes += 1
            names.append(self._lifetime(1))
        self._write(f"for<{', '.join(names)}> ")
        return count

    def _lifetime(self, number: int) -> str:
        if not number:
            return "'_"
        depth = self._lifetimes - number
        if depth < 0:
            raise _CanNot
        return f"'{chr(97 + depth)}" if depth < 26 else f"'_{depth}"

    def _constant(self) -> None:
        self._enter()
        if self._take("B"):
            self._back(self._constant)
        elif self._take("p"):
            self._write("_")
        else:
            tag = self._next()
            if tag not in _BASIC or tag in "efdpuvz":
                raise _CanNot
            sign = "-" if tag in "ailnsx" and self._take("n") else ""
            end = self._mangled.find("_", self._at)
            digits = self._mangled[self._at : end] if end >= 0 else "?"
            self._at = end + 1
            try:
                value = int(digits or "0", 16)
            except ValueError:
                raise _CanNot from None
            self._write(_constant_text(tag, sign, value))
        self._depth -= 1

    def _list(self, item: Callable[[], None], separator: str = ", ") -> int:
        count = 0
        while not self._take("E"):
            if count:
                self._write(separator)
            item()
            count += 1
        return count

    def _back(self, read: Callable[[], object]) -> None:
        begin = self._at - 1
        target = self._base62()
        if target >= begin:
            raise _CanNot
        after, self._at = self._at, target
        self._enter()
        read()
        self._depth -= 1
        self._at = after

    def _silently(self, read: Callable[[], object]) -> None:
        kept, length = len(self._out), self._length
        read()
        del self._out[kept:]
        self._length = length

    def _identifier(self) -> str:
        unicode = self._take("u")
        length = 0
        begin = self._at
        if not self._take("0"):
            while self._peek().isdecimal() and self._at - begin < 6:
                length = length * 10 + int(self._next())
            if begin == self._at:
                raise _CanNot
        self._take("_")
        text = self._mangled[self._at : self._at + length]
        if len(text) != length:
            raise _CanNot
        self._at += length
        return from_punycode(text) if unicode else text

    def _disambiguator(self) -> int:
        return self._base62() + 1 if self._take("s") else 0

    def _base62(self) -> int:
        if self._take("_"):
            return 0
        value = 0
        for _ in range(12):
            character = self._next()
            if character == "_":
                return value + 1
            digit = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".find(character)
            if digit < 0:
                raise _CanNot
            value = value * 62 + digit
        raise _CanNot

    def _enter(self) -> None:
        self._depth += 1
        self._steps += 1
        if self._depth > _DEPTH_MAX or self._steps > _STEPS_MAX:
            raise _CanNot

    def _write(self, text: str) -> None:
        self._length += len(text)
        if self._length > _TEXT_MAX:
            raise _CanNot
        self._out.append(text)

    def _peek(self) -> str:
        return self._mangled[self._at : self._at + 1]

    def _take(self, character: str) -> bool:
        found = self._peek() == character
        self._at += found
        return found

    def _next(self) -> str:
        character = self._peek()
        if not character:
            raise _CanNot
        self._at += 1
        return character


def _constant_text(tag: str, sign: str, value: int) -> str:
    if tag == "b":
        if value > 1:
            raise _CanNot
        return "true" if value else "false"
    if tag == "c":
        if value in _ESCAPES:
            return f"'{_ESCAPES[value]}'"
        if value > 0x10FFFF or not chr(value).isprintable():
            return f"'\\u{{{value:x}}}'"
        return f"'{chr(value)}'"
    return f"{sign}{value}"
