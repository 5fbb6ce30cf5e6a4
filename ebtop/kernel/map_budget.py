"""Keep the memory of all maps under a cap: how much a map can take, and smaller ones where it would be too much."""

from __future__ import annotations

from collections.abc import Iterable

from ebtop.kernel.artifact import MapSpec
from ebtop.kernel.cpus import possible_cpus
from ebtop.kernel.maps import MapType

_HASH_ELEMENT_OVERHEAD, _BUCKET = 48, 16
_POINTER = 8
_SMALLEST_RING, _FEWEST_ENTRIES = 64 << 10, 1024


def bytes_at_most(spec: MapSpec) -> int:
    """Kernel memory of a map when it is full."""
    key, value = _round_up(spec.key_size), _round_up(spec.value_size)
    match spec.type:
        case MapType.RINGBUF:
            return spec.max_entries
        case MapType.PROG_ARRAY | MapType.ARRAY_OF_MAPS:
            return _POINTER * spec.max_entries
        case MapType.ARRAY:
            return value * spec.max_entries
        case MapType.PERCPU_ARRAY:
            return value * spec.max_entries * possible_cpus()
        case _:
            return (key + value + _HASH_ELEMENT_OVERHEAD + _BUCKET) * spec.max_entries


def fit(specs: Iterable[MapSpec], budget: int) -> list[MapSpec]:
    """The maps, the largest halved until all fit in `budget` bytes or none can be halved any more."""
    fitted = list(specs)
    while sum(map(bytes_at_most, fitted)) > budget:
        candidates = [i for i, spec in enumerate(fitted) if _can_halve(spec)]
        if not candidates:
            break
        largest = max(candidates, key=lambda i: bytes_at_most(fitted[i]))
        fitted[largest] = fitted[largest]._replace(max_entries=fitted[largest].max_entries // 2)
    return fitted


def _can_halve(spec: MapSpec) -> bool:
    if spec.type == MapType.RINGBUF:
        return spec.max_entries > _SMALLEST_RING
    return spec.type in (MapType.HASH, MapType.LRU_HASH) and spec.max_entries > _FEWEST_ENTRIES


def _round_up(size: int) -> int:
    return (size + 7) // 8 * 8
