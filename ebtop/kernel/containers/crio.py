"""CRI-O: the OCI configuration that it keeps with each container."""

from __future__ import annotations

from ebtop.kernel.containers.files import Files, Names, text_of, texts_of

_FOLDERS = ("/run/containers/storage/overlay-containers", "/var/lib/containers/storage/overlay-containers")


def names(files: Files, container_id: str) -> Names | None:
    """None when CRI-O has no such container. The one that holds a pod's namespaces is called POD."""
    for folder in _FOLDERS:
        config = files.json(folder, f"{container_id}/userdata/config.json")
        annotations = texts_of(config.get("annotations"))
        name = text_of(annotations.get("io.kubernetes.container.name"))
        if name is not None:
            return Names(
                name,
                text_of(annotations.get("io.kubernetes.pod.name")),
                text_of(annotations.get("io.kubernetes.pod.namespace")),
            )
    return None
