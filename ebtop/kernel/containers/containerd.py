"""containerd: the OCI bundle of each running container, and nerdctl's list of names."""

from __future__ import annotations

from ebtop.kernel.containers.files import Files, Names, text_of, texts_of

_STATE = ("/run/containerd", "/run/k3s/containerd", "/run/k0s/containerd", "/var/snap/microk8s/common/run/containerd")
_TASKS = "io.containerd.runtime.v2.task"
_NAMESPACES = ("k8s.io", "default")
_NERDCTL, _NERDCTL_ROOTLESS = "/var/lib/nerdctl", ".local/share/nerdctl"
_SANDBOX = "POD"
"""What the kubelet and other runtimes call the container that holds a pod's namespaces."""


def names(files: Files, container_id: str, parent: str, home: str | None) -> Names | None:
    """None when containerd has no such container. `parent` may be its containerd namespace.

    A rootless containerd's bundles are in a mount namespace of its own; nerdctl's list is not.
    """
    namespaces = [*_NAMESPACES, *([parent] if parent and parent not in _NAMESPACES else [])]
    for folder in _STATE:
        for namespace in namespaces:
            bundle = files.json(f"{folder}/{_TASKS}", f"{namespace}/{container_id}/config.json")
            if bundle:
                return _from_annotations(texts_of(bundle.get("annotations")))
    for folder in [*([f"{home}/{_NERDCTL_ROOTLESS}"] if home else []), _NERDCTL]:
        if (found := _from_nerdctl(files, container_id, folder)) is not None:
            return found
    return None


def _from_annotations(annotations: dict[str, object]) -> Names:
    name = text_of(annotations.get("io.kubernetes.cri.container-name")) or text_of(annotations.get("nerdctl/name"))
    if name is None and annotations.get("io.kubernetes.cri.container-type") == "sandbox":
        name = _SANDBOX
    return Names(
        name,
        text_of(annotations.get("io.kubernetes.cri.sandbox-name")),
        text_of(annotations.get("io.kubernetes.cri.sandbox-namespace")),
    )


def _from_nerdctl(files: Files, container_id: str, folder: str) -> Names | None:
    """names/NAMESPACE/NAME holds the id, below a folder for each containerd."""
    for daemon in files.entries(folder):
        for namespace in files.entries(f"{folder}/{daemon}/names"):
            listed = f"{folder}/{daemon}/names/{namespace}"
            for name in files.entries(listed):
                if files.text(listed, name) == container_id:
                    return Names(text_of(name))
    return None
