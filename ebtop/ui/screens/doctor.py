"""What this node can do, as `ebtop doctor` says it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Protocol

from textual import events
from textual.message import Message

from ebtop.errors import EbtopError
from ebtop.store.check import Check, ready
from ebtop.text import clean
from ebtop.ui.screens.page import TextPage
from ebtop.ui.strips import Line, Run, fit
from ebtop.units import plural

_STYLES = {"ok": "good", "warn": "warn", "fail": "bad"}
_LABEL = 24


class Diagnosing(Protocol):
    """What the page needs of a source."""

    def diagnose(self) -> tuple[Check, ...]: ...


class DoctorScreen(TextPage):
    """Asks the source in a thread of its own, and shows the answer with what to do."""

    heading = "DOCTOR"

    class Diagnosed(Message):
        """The answer, or why there is none."""

        def __init__(self, checks: Sequence[Check], error: str) -> None:
            super().__init__()
            self.checks, self.error = checks, error

    def __init__(self, source: Diagnosing) -> None:
        super().__init__()
        self._source = source
        self._checks: Sequence[Check] | None = None
        self._error = ""

    def on_mount(self) -> None:
        self.run_worker(self._ask, thread=True, group="doctor", exclusive=True, exit_on_error=False)
        self._put()

    def on_resize(self, event: events.Resize) -> None:
        self._put()

    def on_doctor_screen_diagnosed(self, event: Diagnosed) -> None:
        self._checks, self._error = event.checks, event.error
        self._put()

    def _ask(self) -> None:
        try:
            checks, error = self._source.diagnose(), ""
        except EbtopError as failure:
            checks, error = (), failure.line()
        except Exception as failure:
            # The page must not say that it is looking for ever.
            checks, error = (), f"the check broke off: {type(failure).__name__}: {clean(str(failure))}"
        self.post_message(self.Diagnosed(checks, error))

    def _put(self) -> None:
        width = max(40, self.app.size.width)
        if self._error:
            self.head.show([(" not known", "warn")])
            self.text_view.show([Line(((f" {part}", "bad"),)) for part in textwrap.wrap(self._error, width - 2)])
        elif self._checks is None:
            self.head.show([(" looking at this node …", "dim")])
        else:
            able = ready(self._checks)
            told = "all default probes can run" if able else "not all default probes can run"
            self.head.show([(f" {told}", "good" if able else "bad")], _counted(self._checks))
            self.text_view.show(check_lines(self._checks, width))


def check_lines(checks: Sequence[Check], width: int) -> list[Line]:
    """One line a check, and below it what is needed and what to do where it is not well."""
    lines = []
    room = max(20, width - _LABEL - 7)
    for check in checks:
        style = _STYLES[check.status]
        parts = textwrap.wrap(clean(check.value), room) or [""]
        head: list[Run] = [(f" {check.status:<4} ", style), (fit(check.name, _LABEL), "strong")]
        lines.append(Line((*head, (parts[0], "text"))))
        lines += [_below(part, "text") for part in parts[1:]]
        if check.status != "ok":
            lines += [_below(part, "dim") for part in textwrap.wrap(f"needed: {clean(check.need)}", room)]
            if check.fix:
                lines += [_below(part, "accent") for part in textwrap.wrap(f"what to do: {clean(check.fix)}", room)]
    return lines


def _below(text: str, style: str) -> Line:
    return Line(((" " * (_LABEL + 6), "text"), (text, style)))


def _counted(checks: Sequence[Check]) -> list[Run]:
    runs: list[Run] = []
    for status, words in (("fail", "failed"), ("warn", "to look at")):
        number = sum(check.status == status for check in checks)
        if number:
            runs.append((f" {number} {words} ", _STYLES[status]))
    runs.append((f" of {plural(len(checks), 'check')}", "dim"))
    return runs
