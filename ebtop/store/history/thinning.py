"""Fewer scans of very many connections on the way to a moment."""

from __future__ import annotations

from ebtop.store.history.arrived import Arrived
from ebtop.store.rates import SECOND_NS
from ebtop.store.recent import WINDOW_SECONDS

_MANY = 5_000
"""Connections in a scan from which on taking it in takes long: each costs two microseconds."""
_LAST_NS = 3 * SECOND_NS
"""Rates of a connection are of what lies between the last two scans."""
_FIRST_NS = 2 * SECOND_NS
"""Rates of what adds up begin with the last scan before their window."""
_EVERY_NS = 10 * SECOND_NS


class Thinning:
    """Leaves out what a later scan says again, as if the source had looked at its sockets less often until then.

    Nothing is missing at the moment gone to: counts, sums, rates and what is open are the same. Only when a peer or a
    process moved bytes last may be said some seconds later, and what goes by that, the order of rows that nobody sorts.
    """

    def __init__(self) -> None:
        self._last_ns = 0

    def thinned(self, arrived: Arrived, now_ns: int) -> Arrived:
        """A batch on the way to `now_ns`, without its scan where that is not needed."""
        scan = arrived.batch.tcp_scan
        if scan is None:
            return arrived
        if len(scan.connections) < _MANY or self._is_needed(arrived.time_ns, now_ns):
            self._last_ns = arrived.time_ns
            return arrived
        return arrived._replace(batch=arrived.batch._replace(tcp_scan=None))

    def _is_needed(self, time_ns: int, now_ns: int) -> bool:
        window_ns = (now_ns // SECOND_NS - WINDOW_SECONDS) * SECOND_NS
        return (
            time_ns >= now_ns - _LAST_NS
            or window_ns - _FIRST_NS <= time_ns < window_ns
            or time_ns >= self._last_ns + _EVERY_NS
        )
