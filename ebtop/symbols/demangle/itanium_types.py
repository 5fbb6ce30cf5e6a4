"""Types in mangled C++ names."""

from __future__ import annotations

from ebtop.symbols.demangle.cursor import UNSURE, CanNot, Cursor, Part, bracketed, joined

_BUILTIN = {
    "v": "void", "w": "wchar_t", "b": "bool", "c": "char", "a": "signed char", "h": "unsigned char", "s": "short",
    "t": "unsigned short", "i": "int", "j": "unsigned int", "l": "long", "m": "unsigned long", "x": "long long",
    "y": "unsigned long long", "n": "__int128", "o": "unsigned __int128", "f": "float", "d": "double",
    "e": "long double", "g": "__float128", "z": "...",
}  # fmt: skip
_BUILTIN_D = {
    "d": "decimal64", "e": "decimal128", "f": "decimal32", "h": "half", "i": "char32_t", "s": "char16_t",
    "u": "char8_t", "a": "auto", "c": "decltype(auto)", "n": "decltype(nullptr)",
}  # fmt: skip
_QUALIFIERS = {"r": " restrict", "V": " volatile", "K": " const"}
_INSIDE = {"function": "(", "array": " ("}


def pointer_to(part: Part, sign: str) -> Part:
    """A pointer, reference or qualifier applied from outside."""
    if part.shape == "function":
        return Part(f"{part.left}({sign}", f"){part.right}")
    if part.shape == "array":
        return Part(f"{part.left} ({sign}", f"){part.right}")
    if sign in ("&", "&&") and not part.right and part.left.endswith("&"):
        # References to references collapse.
        return part if sign == "&&" or not part.left.endswith("&&") else Part(part.left[:-1])
    return Part(part.left + sign, part.right)


def qualified(part: Part, qualifiers: str) -> Part:
    """With const and the like, which stand behind what they qualify."""
    if part.shape == "function":
        return Part(part.left, part.right + qualifiers, "function")
    return Part(part.left + qualifiers, part.right, part.shape)


class Types(Cursor):
    """Reads types."""

    def type(self) -> Part:
        with self.deeper():
            return self._type()

    def _type(self) -> Part:
        character = self.peek()
        if character in _BUILTIN:
            self.at += 1
            return Part(_BUILTIN[character])
        qualifiers = self.qualifiers()
        if qualifiers:
            inner = self.type()
            return self.remember(qualified(inner, qualifiers))
        if character in ("P", "R", "O"):
            self.at += 1
            return self.remember(pointer_to(self.type(), {"P": "*", "R": "&", "O": "&&"}[character]))
        if character == "F":
            return self.remember(self.function_type(""))
        if character == "A":
            return self.remember(self._array())
        if character == "M":
            return self.remember(self._member_pointer())
        if character == "T":
            return self._template_parameter_type()
        if character == "S" and self.peek(2) != "St":
            return self._substituted()
        if character == "D":
            return self._extended()
        if character == "u":
            self.at += 1
            return self.remember(Part(self.source_name()))
        if character == "U":
            raise CanNot
        return self.remember(self.name())

    def qualifiers(self) -> str:
        """const and the like, in the order of c++filt."""
        found = ""
        while self.peek() in ("r", "V", "K"):
            found = _QUALIFIERS[self.next()] + found
        return found

    def function_type(self, exception: str) -> Part:
        """F [Y] return-type parameter-types [R|O] E"""
        self.expect("F")
        self.take("Y")
        result = self.type()
        parameters = self.parameters()
        reference = " &" if self.take("R") else " &&" if self.take("O") else ""
        self.expect("E")
        right = f"({parameters}){reference}{exception}"
        if result.right or result.shape:
            # A function that returns a pointer to a function: its own parameters stand in the middle.
            return Part(result.left, right + result.right, "") if not result.shape else _raise()
        return Part(f"{result.left} ", right, "function")

    def parameters(self) -> str:
        """Types up to the E, the ref-qualifier or the end."""
        types = []
        while self.peek() not in ("", "E", ".") and self.peek(2) not in ("RE", "OE"):
            types.append(self.type())
        if not types:
            raise CanNot
        return "" if [t.text for t in types] == ["void"] else joined(types)

    def _array(self) -> Part:
        self.expect("A")
        if self.peek() == "_":
            size = ""
        elif self.peek().isdecimal():
            size = str(self.number())
        else:
            size = self.expression()
        self.expect("_")
        element = self.type()
        return Part(element.left, f" [{size}]{element.right.lstrip(' ')}", "array")

    def _member_pointer(self) -> Part:
        self.expect("M")
        owner = self.type()
        member = self.type()
        if member.shape == "function":
            return Part(f"{member.left}({owner.text}::*", f"){member.right}")
        if member.shape == "array":
            return Part(f"{member.left} ({owner.text}::*", f"){member.right}")
        return Part(f"{member.left} {owner.text}::*", member.right)

    def _template_parameter_type(self) -> Part:
        if self.peek(2) in ("Ts", "Tu", "Te"):
            self.at += 2
            return self.remember(self.name())
        part = self.remember(self.template_parameter())
        if self.peek() == "I":
            part = self.remember(Part(part.text + bracketed(joined(self.template_argument_list()))))
        return part

    def template_parameter(self) -> Part:
        """T_, T0_...: what it stands for."""
        self.expect("T")
        index = self.parameter_index()
        if self.lambda_depth:
            return Part(f"auto:{index + 1}")
        if self.template_args is None or index >= len(self.template_args):
            return Part(UNSURE)
        return self.template_args[index]

    def _substituted(self) -> Part:
        begin = self.at
        self.expect("S")
        if self.peek() in ("_", *"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
            part = self.substitution()
            if self.peek() == "I":
                part = self.remember(Part(part.text + bracketed(joined(self.template_argument_list()))))
            return part
        self.at = begin
        simple = self.peek(2) in ("Ss", "Si", "So", "Sd")
        part = self.name()
        # The abbreviation itself is none of the things that are counted.
        return part if simple else self.remember(part)

    def _extended(self) -> Part:
        second = self.peek(2)[1:]
        if second in _BUILTIN_D:
            self.at += 2
            return Part(_BUILTIN_D[second])
        if second in ("t", "T"):
            self.at += 2
            inner = self.expression()
            self.expect("E")
            return self.remember(Part(f"decltype ({inner})"))
        if second == "p":
            self.at += 2
            self.type()
            return self.remember(Part(UNSURE))
        if second == "v":
            return self.remember(self._vector())
        if second == "o":
            self.at += 2
            return self.remember(self.function_type(" noexcept"))
        if second in ("O", "w"):
            raise CanNot
        if second == "F":
            self.at += 2
            bits = self.number()
            self.expect("_")
            return Part(f"_Float{bits}")
        raise CanNot

    def _vector(self) -> Part:
        self.expect("Dv")
        if self.peek() == "_":
            self.at += 1
            size = self.expression()
        else:
            size = str(self.number())
        self.expect("_")
        element = self.type()
        return Part(f"{element.left} __vector({size})", element.right)

    def source_name(self) -> str:
        """A length and so many characters."""
        length = self.number()
        text = self.peek(length)
        if not length or len(text) != length:
            raise CanNot
        self.at += length
        return "(anonymous namespace)" if text.startswith(("_GLOBAL__N", "_GLOBAL_.N", "_GLOBAL_$N")) else text


def _raise() -> Part:
    raise CanNot
