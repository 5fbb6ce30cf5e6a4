"""Python programs that end before anybody can look at them: their functions are named all the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ebtop.cpython.layout import NEWEST, OLDEST
from ebtop.probes.base import Settings
from ebtop.store.records import StackRecord
from ebtop.symbols.interpreters import GONE
from ebtop.unwind import UnwindTables
from tests.lab import unwind
from tests.lab.collect import Collector
from tests.lab.interpreters import builds

pytestmark = pytest.mark.usefixtures("root")

READ = [path for path, version in builds().items() if OLDEST <= version <= NEWEST]
HZ = 997
FIRST_RUNS, RUNS = 40, 20
SCRIPT = """
import time
class Report:
    def hot(self, n):
        return sum(i * i for i in range(n))
    def cold(self, n):
        return sorted(str(i) for i in range(n))
spent = {"hot": 0.0, "cold": 0.0}
report, began = Report(), time.process_time()
while time.process_time() - began < 0.15:
    for name, n in ("hot", 3000), ("cold", 700):
        at = time.process_time()
        getattr(report, name)(n)
        spent[name] += time.process_time() - at
print(spent["hot"], spent["cold"], time.process_time())
"""


class Runs:
    """One program after the other, each of which says what its functions took."""

    def __init__(self) -> None:
        self.pids: set[int] = set()
        self.hot = self.cold = self.all = 0.0

    def run(self, python: str, script: Path) -> None:
        child = subprocess.Popen([python, "-I", script], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        hot, cold, everything = map(float, child.stdout.read().split())
        assert child.wait() == 0
        self.pids.add(child.pid)
        self.hot, self.cold, self.all = self.hot + hot, self.cold + cold, self.all + everything


def share(records: list[StackRecord], function: str) -> float:
    """Of the samples those in which this function is; up to 3.10 its class is not known."""
    within = [r for r in records if any(f.kind == "interpreted" and f.name.endswith(function) for f in r.frames)]
    return unwind.samples(within) / max(1, unwind.samples(records))


@pytest.mark.parametrize("python", READ)
def test_shares_are_what_the_programs_say(python: str, tmp_path: Path) -> None:
    script = tmp_path / "report.py"
    script.write_text(SCRIPT)
    runs = Runs()
    with Collector(["cpu"], Settings(hertz=HZ, user_stacks=UnwindTables())) as collected:
        # Which file holds CPython is found out at the first of them.
        first = Runs()
        for _ in range(FIRST_RUNS):
            first.run(python, script)
            if share(collected.of(StackRecord, first.pids), "hot"):
                break
        for _ in range(RUNS):
            runs.run(python, script)
        ran = len(collected.batches)
        collected.wait_until(lambda c: len(c.batches) > ran + 1)
    records = collected.of(StackRecord, runs.pids)
    assert len({r.pid for r in records}) == RUNS
    assert abs(share(records, "hot") - runs.hot / runs.all) < 0.05
    assert abs(share(records, "cold") - runs.cold / runs.all) < 0.05
    assert unwind.samples(r for r in records if GONE in r.frames) < 0.02 * unwind.samples(records)
    files = {f.file for r in records for f in r.frames if f.kind == "interpreted" and f.name.endswith("hot")}
    assert files == {str(script)}
