"""The demo's workers rest as long as their work deserves."""

from __future__ import annotations

import pytest

from ebtop.demo.pace import Pace


class Cpu:
    """Seconds of CPU that a test says were used, and what was slept."""

    def __init__(self) -> None:
        self.used = 100.0
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_work_takes_its_share_of_a_cpu(share: float) -> None:
    cpu = Cpu()
    pace = Pace(share, lambda: cpu.used, cpu.sleep)
    worked = 0.0
    for piece in (0.001, 0.02, 0.003, 0.05):
        cpu.used += piece
        worked += piece
        pace.rest()
    assert worked / (worked + cpu.slept) == pytest.approx(share)


def test_a_long_piece_of_work_does_not_put_it_to_sleep_for_good() -> None:
    cpu = Cpu()
    pace = Pace(0.01, lambda: cpu.used, cpu.sleep)
    cpu.used += 60
    pace.rest()
    assert cpu.slept == 2.0
