from __future__ import annotations

import pytest

from ebtop.kernel.artifact import MapSpec
from ebtop.kernel.map_budget import bytes_at_most, fit
from ebtop.kernel.maps import MapType
from tests.lab.artifacts import NAMES, artifact


def ring(name: str, kib: int) -> MapSpec:
    return MapSpec(name, MapType.RINGBUF, 0, 0, kib << 10, 0)


def table(name: str, entries: int, value: int = 1000) -> MapSpec:
    return MapSpec(name, MapType.HASH, 8, value, entries, 0)


@pytest.fixture(autouse=True)
def _four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebtop.kernel.map_budget.possible_cpus", lambda: 4)


def test_what_maps_take() -> None:
    assert bytes_at_most(ring("r", 64)) == 64 << 10
    assert bytes_at_most(MapSpec("a", MapType.ARRAY, 4, 12, 10, 0)) == 160
    assert bytes_at_most(MapSpec("p", MapType.PERCPU_ARRAY, 4, 8, 10, 0)) == 320
    assert bytes_at_most(table("h", 1000, 100)) >= 1000 * (8 + 100)


def test_what_fits_is_left_alone() -> None:
    specs = [ring("r", 1024), table("h", 4096)]
    assert fit(specs, sum(map(bytes_at_most, specs))) == specs


def test_the_largest_is_halved_until_all_fit() -> None:
    specs = [ring("big", 4096), ring("small", 256), table("h", 1024, 8)]
    fitted = fit(specs, 2 << 20)
    assert [spec.name for spec in fitted] == ["big", "small", "h"]
    assert [spec.max_entries for spec in fitted] == [1 << 20, 256 << 10, 1024]
    assert sum(map(bytes_at_most, fitted)) <= 2 << 20


def test_nothing_gets_smaller_than_it_can_work_with() -> None:
    fitted = fit([ring("r", 4096), table("h", 1 << 16), MapSpec("a", MapType.ARRAY, 4, 8, 4096, 0)], 0)
    assert [spec.max_entries for spec in fitted] == [64 << 10, 1024, 4096]


@pytest.mark.parametrize("mib", [1, 2, 4, 8])
def test_rings_stay_powers_of_two(mib: int) -> None:
    specs = [spec for name in NAMES for spec in artifact(name).maps]
    fitted = fit(specs, mib << 20)
    assert all(new.max_entries <= old.max_entries for old, new in zip(specs, fitted, strict=True))
    sizes = [spec.max_entries for spec in fitted if spec.type == MapType.RINGBUF]
    assert sizes
    assert all(size & (size - 1) == 0 for size in sizes)
