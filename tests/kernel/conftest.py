"""A kernel test may skip on a developer's machine; in CI a test that could not run is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from ebtop.probes.stacks import RawSample
from ebtop.process.places import Files
from ebtop.session.naming import NamingThread
from tests.lab.fixtures import child_cgroup, client, net_lab, no_bpf_left, root, segment_lab, server

__all__ = ["child_cgroup", "client", "net_lab", "no_bpf_left", "root", "segment_lab", "server"]

IN_CI = os.environ.get("CI") == "true"
WHY = "skipped, but in CI every kernel test must run"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{WHY}: {call.excinfo.value if call.excinfo else ''}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{WHY}: {report.longrepr}"
    return report


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[RawSample]:
    """Every sample by address, as it goes to be named."""
    found: list[RawSample] = []
    add = NamingThread.add

    def listen(self: NamingThread, time_ns: int, kind: str, samples: list[RawSample], sampled_s: float) -> None:
        found.extend(samples)
        add(self, time_ns, kind, samples, sampled_s)

    monkeypatch.setattr(NamingThread, "add", listen)
    return found


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> Files:
    """The files that places in stacks are places in."""
    files = Files()
    monkeypatch.setattr("ebtop.unwind.handed_over.Files", lambda: files)
    return files
