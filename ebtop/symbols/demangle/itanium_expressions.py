"""Expressions in mangled C++ names: template arguments that are values, and what decltype is about."""

from __future__ import annotations

from ebtop.symbols.demangle.cursor import UNSURE, CanNot
from ebtop.symbols.demangle.itanium_types import Types

OPERATORS = {
    "nw": " new", "na": " new[]", "dl": " delete", "da": " delete[]", "aw": " co_await", "ps": "+", "ng": "-",
    "ad": "&", "de": "*", "co": "~", "pl": "+", "mi": "-", "ml": "*", "dv": "/", "rm": "%", "an": "&", "or": "|",
    "eo": "^", "aS": "=", "pL": "+=", "mI": "-=", "mL": "*=", "dV": "/=", "rM": "%=", "aN": "&=", "oR": "|=",
    "eO": "^=", "ls": "<<", "rs": ">>", "lS": "<<=", "rS": ">>=", "eq": "==", "ne": "!=", "lt": "<", "gt": ">",
    "le": "<=", "ge": ">=", "ss": "<=>", "nt": "!", "aa": "&&", "oo": "||", "pp": "++", "mm": "--", "cm": ",",
    "pm": "->*", "pt": "->", "cl": "()", "ix": "[]", "qu": "?",
}  # fmt: skip
"""Code to how it is written after the word operator."""
_UNARY = {"ps", "ng", "ad", "de", "co", "nt", "pp", "mm", "nx", "sz", "az", "te", "sp", "aw", "dl", "da", "tw"}
_OF_TYPE = {"st", "at", "ti"}
_CASTS = {"sc", "cc", "rc", "dc"}
_BINARY = set(OPERATORS) - _UNARY - {"nw", "na", "pt", "cl", "qu"} | {"ds", "an", "pl", "mi", "ml"}
_LITERAL_SUFFIX = {"int": "", "unsigned int": "u", "long": "l", "unsigned long": "ul", "long long": "ll",
                   "unsigned long long": "ull"}  # fmt: skip


class Expressions(Types):
    """Reads expressions. Literals and functions whose address is taken are written; anything else is read over."""

    def expression(self) -> str:
        with self.deeper():
            if self.peek() == "L":
                return self.literal()
            if self.peek() == "T" and self.peek(2) not in ("Ts", "Tu", "Te"):
                return self.template_parameter().text
            if self.take("adL_Z"):
                # c++filt writes some of them with parameters.
                text = f"&{self.encoding().left}"
                self.expect("E")
                return text
            self._read_over()
            return UNSURE

    def literal(self) -> str:
        """L type value E, or L_Z encoding E."""
        self.expect("L")
        if self.take("_Z") or self.take("Z"):
            text = self.encoding().left
            self.expect("E")
            return text
        kind = self.type().text
        end = self.mangled.find("E", self.at)
        if end < 0:
            raise CanNot
        value, self.at = self.mangled[self.at : end], end + 1
        if not value.isascii() or not value.replace("_", "").isalnum():
            return UNSURE
        if kind == "bool" and value in ("0", "1"):
            return "true" if value == "1" else "false"
        if value.startswith("n"):
            value = f"-{value[1:]}"
        if not value.lstrip("-").isdecimal():
            return UNSURE
        return f"{value}{_LITERAL_SUFFIX[kind]}" if kind in _LITERAL_SUFFIX else f"({kind}){value}"

    def _read_over(self) -> None:
        code = self.peek(2)
        if code == "gs":
            self.at += 2
            self._read_over()
        elif code in _UNARY:
            self.at += 2
            if code in ("pp", "mm"):
                self.take("_")
            self.expression()
        elif code in _OF_TYPE:
            self.at += 2
            self.type()
        elif code in _CASTS:
            self.at += 2
            self.type()
            self.expression()
        elif code in ("fp", "fL"):
            self._function_parameter()
        elif code in _BINARY:
            self.at += 2
            self.expression()
            self.expression()
        elif code == "qu":
            self.at += 2
            for _ in range(3):
                self.expression()
        elif code in ("cl", "cp", "il"):
            self.at += 2
            self._until_end()
        elif code == "tl":
            self.at += 2
            self.type()
            self._until_end()
        elif code == "cv":
            self.at += 2
            self.type()
            if self.take("_"):
                self._until_end()
            else:
                self.expression()
        elif code in ("dt", "pt"):
            self.at += 2
            self.expression()
            self._unresolved_name()
        elif code in ("sZ", "sP"):
            self.at += 2
            self._read_pack(code)
        elif code == "tr":
            self.at += 2
        elif code in ("fl", "fr", "fR"):
            raise CanNot
        else:
            self._unresolved_name()

    def _until_end(self) -> None:
        while not self.take("E"):
            self.expression()

    def _function_parameter(self) -> None:
        if self.take("fpT"):
            return
        self.at += 2
        if self.mangled[self.at - 1] == "L":
            self.number()
            self.expect("p")
        self.qualifiers()
        if self.peek() != "_":
            self.number()
        self.expect("_")

    def _read_pack(self, code: str) -> None:
        if code == "sP":
            while not self.take("E"):
                self.type()
        elif self.peek() == "T":
            self.template_parameter()
        else:
            self._function_parameter()

    def _unresolved_name(self) -> None:
        if self.take("sr"):
            if self.take("N"):
                self.type()
                while not self.take("E"):
                    self._simple_id()
            elif self.peek().isdecimal():
                while not self.take("E"):
                    self._simple_id()
            else:
                self.type()
        self._simple_id()

    def _simple_id(self) -> None:
        if self.take("on"):
            self.unqualified_name("")
        elif self.take("dn"):
            if self.peek().isdecimal():
                self._simple_id()
            else:
                self.type()
            return
        else:
            self.source_name()
        if self.peek() == "I":
            self.template_argument_list()
