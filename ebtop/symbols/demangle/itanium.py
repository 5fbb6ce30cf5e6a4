"""Names in mangled C++ symbols (Itanium C++ ABI, chapter 5.1). Written from the ABI's grammar."""

from __future__ import annotations

from ebtop.symbols.demangle.cursor import UNSURE, CanNot, Part, bracketed, joined
from ebtop.symbols.demangle.itanium_expressions import OPERATORS, Expressions

_STRING = "std::basic_string<char, std::char_traits<char>, std::allocator<char> >"
_ABBREVIATIONS = {
    "t": "std", "a": "std::allocator", "b": "std::basic_string", "s": "std::string", "i": "std::istream",
    "o": "std::ostream", "d": "std::iostream",
}  # fmt: skip
_IN_FULL = {
    "s": _STRING,
    "i": "std::basic_istream<char, std::char_traits<char> >",
    "o": "std::basic_ostream<char, std::char_traits<char> >",
    "d": "std::basic_iostream<char, std::char_traits<char> >",
}
_SPECIAL = {
    "TV": "vtable for ", "TT": "VTT for ", "TI": "typeinfo for ", "TS": "typeinfo name for ",
    "TW": "TLS wrapper function for ", "TH": "TLS init function for ", "GV": "guard variable for ",
}  # fmt: skip


class Names(Expressions):
    """Reads one symbol."""

    def __init__(self, mangled: str) -> None:
        super().__init__(mangled)
        self._of_function = False
        """Whether the name that is read is the function's own, whose template arguments T_ refers to."""
        self._qualifiers = ""
        """Of the member function read last."""
        self._untyped = False
        """Whether the name read last is one without a return type: a constructor, destructor or conversion."""
        self._returns = False
        """Whether the name read last is that of a function template, whose type begins with what it returns."""

    def function(self) -> str:
        """The whole symbol in words, without parameters. Raises CanNot."""
        self.expect("_Z")
        special = self._special()
        if special is not None:
            text = special
        else:
            self._of_function = True
            text = self.name().text
            # Without parameters it is a variable.
            if not self.peek():
                raise CanNot
        if UNSURE in text or not text:
            raise CanNot
        return text

    def _special(self) -> str | None:
        two = self.peek(2)
        if two in _SPECIAL:
            self.at += 2
            of = self.type() if two in ("TV", "TT", "TI", "TS") else self.name()
            return _SPECIAL[two] + of.text
        if two in ("Th", "Tv"):
            self.at += 1
            kind = "virtual thunk to " if self._offset() else "non-virtual thunk to "
            return kind + self.encoding().text
        if self.take("GTt") or self.take("GTn"):
            return "transaction clone for " + self.encoding().text
        if two == "Tc":
            self.at += 2
            self._offset()
            self._offset()
            return "covariant return thunk to " + self.encoding().text
        return None

    def _offset(self) -> bool:
        """How far `this` is moved; says whether it is a virtual one."""
        virtual = self.next() == "v"
        for _ in range(2 if virtual else 1):
            self.take("n")
            self.number()
            self.expect("_")
        return virtual

    def encoding(self) -> Part:
        """A function with its parameters, or a variable."""
        with self.deeper():
            special = self._special()
            if special is not None:
                return Part(special)
            outer = self.template_args, self._of_function, self.lambda_depth
            self.template_args, self._of_function, self.lambda_depth = None, True, 0
            name = self.name()
            qualifiers, returns = self._qualifiers, self._returns
            self._of_function = False
            right = ""
            if self.peek() not in ("", "E", "."):
                if returns:
                    self.type()
                right = f"({self.parameters()}){qualifiers}"
            self.template_args, self._of_function, self.lambda_depth = outer
            return Part(name.text, right)

    def name(self) -> Part:
        with self.deeper():
            self._qualifiers, self._returns = "", False
            character = self.peek()
            if character == "N":
                return Part(self._nested())
            if character == "Z":
                return Part(self._local())
            if character == "S" and self.peek(2) != "St":
                text = self._abbreviation()
                return Part(self._with_arguments(text) if self.peek() == "I" else text)
            scope = "std::" if self.take("St") else ""
            text = scope + self.unqualified_name(scope)
            if self.peek() == "I":
                self.remember(Part(text))
                return Part(self._with_arguments(text, returns=True))
            return Part(text)

    def _with_arguments(self, text: str, *, returns: bool = False) -> str:
        # "operator<" and its arguments are kept apart by a blank.
        space = " " if text.endswith("<") else ""
        arguments = self.template_argument_list()
        self._returns = returns
        return text + space + bracketed(joined(arguments))

    def _abbreviation(self) -> str:
        """Sa, Ss..., S_, S0_..."""
        self.expect("S")
        code = self.peek()
        if code in _ABBREVIATIONS:
            self.at += 1
            in_full = code in _IN_FULL and self.peek() in ("C", "D")
            return _IN_FULL[code] if in_full else _ABBREVIATIONS[code]
        return self.substitution().text

    def _nested(self) -> str:
        self.expect("N")
        qualifiers = self.qualifiers()
        qualifiers += " &" if self.take("R") else " &&" if self.take("O") else ""
        text = ""
        returns = False
        while not self.take("E"):
            character = self.peek()
            if character == "S":
                if text:
                    raise CanNot
                text = self._abbreviation()
                continue
            if character == "I":
                if not text:
                    raise CanNot
                text = self._with_arguments(text, returns=returns)
                returns = self._returns
            elif character == "T":
                text = self.template_parameter().text
            elif character == "M":
                self.at += 1
                continue
            elif character == "D" and self.peek(2) in ("Dt", "DT"):
                text = self.type().text
                continue
            else:
                part = self.unqualified_name(text)
                returns = not self._untyped
                text = f"{text}::{part}" if text else part
            if self.peek() != "E":
                self.remember(Part(text))
        self._qualifiers = qualifiers
        self._returns = returns and text.endswith(">") and self.mangled[self.at - 2 : self.at] == "EE"
        if not text:
            raise CanNot
        return text

    def _local(self) -> str:
        self.expect("Z")
        function = self.encoding()
        self.expect("E")
        if self.take("s"):
            self._discriminator()
            return f"{function.text}::string literal"
        default = ""
        if self.take("d"):
            number = 1 if self.peek() == "_" else self.number() + 2
            self.expect("_")
            default = f"{{default arg#{number}}}::"
        entity = self.name().text
        self._discriminator()
        return f"{function.text}::{default}{entity}"

    def _discriminator(self) -> None:
        if self.take("__"):
            self.number()
            self.expect("_")
        elif self.peek() == "_" and self.peek(2)[1:].isdecimal():
            self.at += 2

    def unqualified_name(self, scope: str) -> str:
        """A name without what it lies in; `scope` is that."""
        self._untyped = False
        self.take("L")
        character = self.peek()
        if character.isdecimal():
            text = self.source_name()
        elif character == "C" and self.peek(2)[1:] in ("1", "2", "3", "4", "5"):
            self.at += 2
            self._untyped = True
            text = _class_name(scope)
        elif character == "D" and self.peek(2)[1:] in ("0", "1", "2", "4", "5"):
            self.at += 2
            self._untyped = True
            text = "~" + _class_name(scope)
        elif character == "U":
            text = self._unnamed()
        else:
            text = self._operator()
        while self.take("B"):
            text += f"[abi:{self.source_name()}]"
        return text

    def _unnamed(self) -> str:
        """A lambda or a type without a name."""
        if self.take("Ut"):
            number = self._number_from_one()
            return f"{{unnamed type#{number}}}"
        self.expect("Ul")
        self.lambda_depth += 1
        parameters = self.parameters()
        self.lambda_depth -= 1
        self.expect("E")
        number = self._number_from_one()
        return f"{{lambda({parameters})#{number}}}"

    def _number_from_one(self) -> int:
        number = 1 if self.peek() == "_" else self.number() + 2
        self.expect("_")
        return number

    def _operator(self) -> str:
        code = self.peek(2)
        if code == "cv":
            self.at += 2
            outer, self._of_function = self._of_function, False
            target = self.type().text
            self._of_function = outer
            self._untyped = True
            return f"operator {target}"
        if code == "li":
            self.at += 2
            return f'operator"" {self.source_name()}'
        if code not in OPERATORS or code == "qu":
            raise CanNot
        self.at += 2
        return f"operator{OPERATORS[code]}"

    def template_argument_list(self) -> list[Part]:
        """I argument... E"""
        with self.deeper():
            self.expect("I")
            of_function, self._of_function = self._of_function, False
            arguments: list[Part] = []
            if of_function:
                self.template_args = arguments
            while not self.take("E"):
                arguments.append(self._template_argument())
            self._of_function = of_function
            return arguments

    def _template_argument(self) -> Part:
        character = self.peek()
        if character == "L":
            return Part(self.literal())
        if character == "X":
            self.at += 1
            text = self.expression()
            self.expect("E")
            return Part(text)
        if character == "J":
            self.at += 1
            pack: list[Part] = []
            with self.deeper():
                while not self.take("E"):
                    pack.append(self._template_argument())
            return Part(joined(pack), "", "pack")
        return self.type()


def _class_name(scope: str) -> str:
    """The last name of a::b<c>::d<e>, without template arguments: what its constructors are called."""
    # A tag is no part of it.
    scope = scope.partition("[abi:")[0] if scope.endswith("]") else scope
    end = len(scope)
    depth = 0
    for at in range(len(scope) - 1, -1, -1):
        character = scope[at]
        if character in ")}]>":
            depth += 1
        elif character in "({[<":
            depth -= 1
            if not depth and character == "<":
                end = at
        elif character == ":" and not depth:
            return scope[at + 1 : end].rstrip()
    if not scope or depth:
        raise CanNot
    return scope[:end].rstrip()
