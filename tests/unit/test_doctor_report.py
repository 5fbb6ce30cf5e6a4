from __future__ import annotations

import json
import re

import pytest

from ebtop.kernel.doctor import Check, as_json, as_table, ready

OK = Check("kernel", "ok", "6.1.0", ">= 5.10")
WARN = Check("tracefs", "warn", "not mounted", "mounted", "mount -t tracefs tracefs /sys/kernel/tracing")
FAIL = Check("perf_event_paranoid", "fail", "a long story " * 20, "a need " * 30, "sysctl " + "x" * 200)


@pytest.mark.parametrize(("checks", "expected"), [([OK, WARN], True), ([OK, FAIL], False), ([], True)])
def test_only_a_failed_check_makes_it_not_ready(checks: list[Check], expected: bool) -> None:
    assert ready(checks) is expected
    assert json.loads(as_json(checks))["ready"] is expected


def test_json_has_the_fields_of_the_contract() -> None:
    text = as_json([OK, WARN])
    assert "\n" not in text
    assert json.loads(text) == {
        "ready": True,
        "checks": [
            {"name": "kernel", "status": "ok", "value": "6.1.0", "need": ">= 5.10", "fix": None},
            {
                "name": "tracefs",
                "status": "warn",
                "value": "not mounted",
                "need": "mounted",
                "fix": "mount -t tracefs tracefs /sys/kernel/tracing",
            },
        ],
    }


def test_table() -> None:
    assert as_table([OK, WARN]).splitlines() == [
        "ok    kernel   6.1.0",
        "warn  tracefs  not mounted",
        "      needs mounted",
        "      fix   mount -t tracefs tracefs /sys/kernel/tracing",
        "",
        "Ready: the default probes can run here.",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_table(width: int) -> None:
    lines = as_table([OK, WARN, FAIL], width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[-1] == "Not ready: perf_event_paranoid."


def test_colours_change_nothing_but_the_colour() -> None:
    painted = as_table([OK, WARN, FAIL], colour=True)
    assert painted.count("\x1b[31mfail\x1b[0m") == 1
    assert re.sub(r"\x1b\[\d*m", "", painted) == as_table([OK, WARN, FAIL])
