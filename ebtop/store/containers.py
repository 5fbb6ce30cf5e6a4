"""What a cgroup belongs to, by name: container, pod, service."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Container(NamedTuple):
    """A container or a service. Text is printable; what is not known is None."""

    runtime: str
    """docker, containerd, cri-o, podman, lxc, nspawn; kubernetes or unknown where none of them tells; systemd for a
    service, a scope or a user's slice."""
    id: str
    """The runtime's whole id, 64 hex digits mostly; the unit's name for systemd."""
    name: str | None
    pod: str | None
    namespace: str | None
    """Of the pod."""

    @property
    def label(self) -> str:
        """For people: its name, or the first twelve characters of its id."""
        return self.name or self.id[:12]


ContainerLookup = Callable[[str | None], Container | None]
"""A cgroup path, as records carry it, to the container it is inside; None = none, or not known."""


def no_containers(cgroup: str | None) -> Container | None:
    """The lookup of a source that knows of none."""
    return None
