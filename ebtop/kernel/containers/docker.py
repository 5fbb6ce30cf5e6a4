"""Docker: containers/ID/config.v2.json below its data folder, also for those that the kubelet starts by cri-dockerd."""

from __future__ import annotations

from ebtop.kernel.containers.files import Files, Names, text_of, texts_of

_FOLDERS = ("/var/lib/docker", "/var/snap/docker/common/var-lib-docker")
_SETTINGS = "/etc/docker"
_ROOTLESS = ".local/share/docker"


def names(files: Files, container_id: str, home: str | None) -> Names | None:
    """None when Docker has no such container. `home` is of the user whose it may be, as a rootless one."""
    for folder in _folders(files, home):
        config = files.json(f"{folder}/containers", f"{container_id}/config.v2.json")
        name = text_of(config.get("Name"))
        if name is None:
            continue
        labels = texts_of(texts_of(config.get("Config")).get("Labels"))
        return Names(
            text_of(labels.get("io.kubernetes.container.name")) or name.removeprefix("/"),
            text_of(labels.get("io.kubernetes.pod.name")),
            text_of(labels.get("io.kubernetes.pod.namespace")),
        )
    return None


def _folders(files: Files, home: str | None) -> list[str]:
    settings = files.json(_SETTINGS, "daemon.json")
    chosen = [settings[key] for key in ("data-root", "graph") if isinstance(settings.get(key), str)]
    return [*([f"{home}/{_ROOTLESS}"] if home else []), *chosen, *_FOLDERS]
