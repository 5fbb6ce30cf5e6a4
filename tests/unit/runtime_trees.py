"""Files as container runtimes leave them on a node, made up below a folder."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

WEB, DB, POD = "ab" * 32, "abc" + "d" * 61, "5e" * 32
UID = "1b3ad6a8-5c3d-4f5a-9a63-0d1f4a5c7e21"
POD_SLICE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
POD_FOLDER = f"/kubepods/burstable/pod{UID}"
_PODMAN_TABLES = """
CREATE TABLE PodConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, JSON TEXT NOT NULL);
CREATE TABLE ContainerConfig(
    ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT, JSON TEXT NOT NULL,
    FOREIGN KEY (PodID) REFERENCES PodConfig(ID)
);
"""
"""Of Podman's own schema what matters here."""


def write(root: Path, path: str, content: object) -> Path:
    """A file with JSON, or with text as it is."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def docker(root: Path, container_id: str, name: str, folder: str = "/var/lib/docker", **labels: str) -> Path:
    config = {"ID": container_id, "Name": f"/{name}", "Config": {"Hostname": "h", "Labels": labels or None}}
    return write(root, f"{folder}/containers/{container_id}/config.v2.json", config)


def containerd(root: Path, container_id: str, namespace: str = "k8s.io", **annotations: str) -> Path:
    bundle = {"ociVersion": "1.1.0", "process": {"args": ["x"]}, "annotations": annotations}
    path = f"/run/containerd/io.containerd.runtime.v2.task/{namespace}/{container_id}/config.json"
    return write(root, path, bundle)


def cri(name: str | None, pod: str, namespace: str) -> dict[str, str]:
    """containerd's annotations of a container, or, without a name, of the one that holds the pod's namespaces."""
    of_pod = {"io.kubernetes.cri.sandbox-name": pod, "io.kubernetes.cri.sandbox-namespace": namespace}
    if name is None:
        return {"io.kubernetes.cri.container-type": "sandbox", **of_pod}
    return {"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": name, **of_pod}


def crio(root: Path, container_id: str, name: str, pod: str, namespace: str) -> Path:
    annotations = {
        "io.kubernetes.container.name": name,
        "io.kubernetes.pod.name": pod,
        "io.kubernetes.pod.namespace": namespace,
    }
    path = f"/run/containers/storage/overlay-containers/{container_id}/userdata/config.json"
    return write(root, path, {"annotations": annotations})


def podman(
    root: Path, names: dict[str, str], storage: str = "/var/lib/containers/storage", file: str = "containers.json"
) -> Path:
    containers = [{"id": i, "names": [name], "image": "00" * 32, "metadata": "{}"} for i, name in names.items()]
    return write(root, f"{storage}/overlay-containers/{file}", containers)


def podman_pods(root: Path, pods: dict[str, dict[str, str]], storage: str = "/var/lib/containers/storage") -> Path:
    """Podman's database: pods, each with the names of its containers by id; "" holds those that are in no pod."""
    file = root / storage.lstrip("/") / "db.sql"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript(_PODMAN_TABLES)
        for number, (pod, containers) in enumerate(pods.items()):
            pod_id = f"{number:064x}" if pod else None
            if pod:
                connection.execute("INSERT INTO PodConfig VALUES (?, ?, '{}')", (pod_id, pod))
            rows = [(i, name, pod_id, '{"spec": {}}') for i, name in containers.items()]
            connection.executemany("INSERT INTO ContainerConfig VALUES (?, ?, ?, ?)", rows)
        connection.commit()
    return file


def kubelet(root: Path, uid: str, namespace: str, pod: str, containers: dict[str, str]) -> None:
    """Logs of a pod's containers: folders, files, and links to them."""
    links = root / "var/log/containers"
    links.mkdir(parents=True, exist_ok=True)
    for container_id, name in containers.items():
        log = write(root, f"/var/log/pods/{namespace}_{pod}_{uid}/{name}/0.log", "")
        (links / f"{pod}_{namespace}_{name}-{container_id}.log").symlink_to(log)


def passwd(root: Path, uid: int, name: str, home: str) -> None:
    write(root, "/etc/passwd", f"root:x:0:0::/root:/bin/sh\n{name}:x:{uid}:{uid}::{home}:/bin/sh\n")
