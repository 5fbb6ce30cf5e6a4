"""Podman: the lists of containers in its storage, and its database for the pod that one belongs to."""

from __future__ import annotations

from ebtop.kernel.containers.files import Files, Names, text_of
from ebtop.kernel.containers.podman_pods import PodmanPods

_STORAGE, _TRANSIENT = "/var/lib/containers/storage", "/run/containers/storage"
_ROOTLESS = ".local/share/containers/storage"
_DRIVERS = ("overlay", "vfs", "btrfs", "zfs")
_LISTS = ("containers.json", "volatile-containers.json")
"""The second holds those of `podman run --rm`."""


def names(files: Files, pods: PodmanPods, container_id: str, home: str | None) -> Names | None:
    """None when Podman has no such container. `home` is of the user whose it may be, as a rootless one."""
    for folder in [*([f"{home}/{_ROOTLESS}"] if home else []), _STORAGE, _TRANSIENT]:
        for driver in _DRIVERS:
            for file in _LISTS:
                for container in files.json_objects(f"{folder}/{driver}-containers", file):
                    listed = container.get("names")
                    if container.get("id") == container_id and isinstance(listed, list) and listed:
                        return Names(text_of(listed[0]), pods.of(folder, container_id))
    return None
