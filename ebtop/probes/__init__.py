"""The probes. A new one is a C file in bpf/, a module here, and a line in this registry."""

from __future__ import annotations

from ebtop.errors import UsageError
from ebtop.probes.base import Probe
from ebtop.probes.children import ChildrenProbe
from ebtop.probes.connects import ConnectsProbe
from ebtop.probes.cpu import CpuProbe
from ebtop.probes.exec import ExecProbe
from ebtop.probes.faults import FaultsProbe
from ebtop.probes.names import DEFAULT
from ebtop.probes.offcpu import OffCpuProbe
from ebtop.probes.retransmits import RetransmitsProbe
from ebtop.probes.sockets import SocketsProbe
from ebtop.probes.tcp import TcpProbe

_ALL: tuple[type[Probe], ...] = (
    CpuProbe,
    ExecProbe,
    SocketsProbe,
    TcpProbe,
    RetransmitsProbe,
    ConnectsProbe,
    OffCpuProbe,
    FaultsProbe,
    ChildrenProbe,
)

REGISTRY: dict[str, type[Probe]] = {probe.name: probe for probe in _ALL}
"""By name, in the order of the screen."""

NAMES = tuple(name for name in REGISTRY if not name.startswith("("))
"""What people can choose from."""

__all__ = ["DEFAULT", "NAMES", "REGISTRY", "Probe", "filter_slot", "parse_names"]


def filter_slot(name: str) -> int:
    """Where the filter of a probe stands in filter_kinds of bpf/filter.h; who reports for another shares its own."""
    return list(REGISTRY).index(REGISTRY[name].reports_for or name)


def parse_names(text: str) -> tuple[str, ...]:
    """Probe names from "exec,tcp", in the order given. Raises UsageError for one that does not exist."""
    names = dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        if name not in NAMES:
            raise UsageError(f"there is no probe {name!r}", "", f"choose from {', '.join(NAMES)}")
    if not names:
        raise UsageError("no probe named", "", f"choose from {', '.join(NAMES)}")
    return tuple(names)
