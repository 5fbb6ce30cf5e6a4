"""The one kind of error that reaches a person: what happened, why, and what to do about it."""

from __future__ import annotations


class EbtopError(Exception):
    """An expected failure, said in one line.

    `what` is what happened, `why` the cause (an errno's text, a file's name), `fix` what the reader
    can do. Anything else that is raised is a bug.
    """

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        self.what = what
        self.why = why
        self.fix = fix
        super().__init__(self.line())

    def line(self) -> str:
        """`what: why; fix` without line breaks, empty parts left out."""
        text = self.what
        if self.why:
            text += f": {self.why}"
        if self.fix:
            text += f"; {self.fix}"
        return " ".join(text.split())


class UsageError(EbtopError):
    """Wrong arguments: exit code 2."""
