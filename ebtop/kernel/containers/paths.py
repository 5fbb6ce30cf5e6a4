"""What a cgroup's path says: which container it is inside, by its id.

Runtimes put the id into the name of the container's cgroup, in one of two manners, whatever the cgroup version:

    systemd driver    PREFIX-ID.scope below a slice           docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope
    cgroupfs driver   PREFIX-ID or ID below a folder          /docker/ID, /kubepods/besteffort/podUID/ID

Everything here is text in, text out; no file is read.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ebtop.text import clean

_ID = r"(?P<id>[0-9a-f]{64})"
_BY_ID = re.compile(rf"(?:(?P<prefix>.+)[-:])?{_ID}(?:\.scope)?")
_RUNTIMES = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "libpod": "podman",
    "libpod-payload": "podman",
}
_NOT_INSIDE = frozenset(("crio-conmon", "libpod-conmon", "conmon"))
"""Processes that watch over a container from outside."""
_PODMAN_PARENT = "libpod_parent"
"""Of Podman's pods, whose ids look like those of containers."""
_POD_UID = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-f])")
"""Of a pod from the API server, or, after the hash of its manifest, from a file (etcd, kube-apiserver)."""
_LXC = re.compile(r"lxc\.payload[.-](?P<name>.+)")
_LXC_PARENTS = frozenset(("lxc", "lxc.payload"))
_NSPAWN = re.compile(r"machine-(?!(?:qemu|lxc)\\x2d)(?P<name>.+)\.scope|systemd-nspawn@(?P<unit>.+)\.service")
"""libvirt names its machines machine-qemu\\x2dNUMBER\\x2dNAME.scope."""
_UNIT = re.compile(r".+\.(?:service|scope)")
_SLICE = re.compile(r".+\.slice")
_USER = re.compile(r"/user-(\d+)\.slice(?:/|$)")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


class Identity(NamedTuple):
    """A container as its cgroup's path names it. `None` = the path does not tell."""

    runtime: str | None
    id: str
    name: str | None = None
    """Where the path holds a name instead of an id (LXC, systemd)."""
    pod_uid: str | None = None
    """With hyphens, as the API server prints it."""
    parent: str = ""
    """The name of the cgroup above, which is containerd's namespace in some layouts."""
    user: int | None = None
    """Whose rootless runtime it is."""
    depth: int = 0
    """How many components of the path lead to the container's own cgroup."""


def identify(cgroup: str) -> Identity | None:
    """The innermost container of a path such as records carry; else the systemd unit; None for neither."""
    parts = cgroup.split("/")[1:]
    for depth in range(len(parts), 0, -1):
        if found := _container(parts, depth):
            user = _USER.search("/" + "/".join(parts[:depth]))
            uid = _POD_UID.findall("/".join(parts[:depth]))
            return found._replace(
                pod_uid=uid[-1].replace("_", "-") if uid else None,
                user=int(user[1]) if user and len(user[1]) < 11 else None,
                depth=depth,
            )
    return _unit(parts)


def _container(parts: list[str], depth: int) -> Identity | None:
    """The container whose cgroup the first `depth` parts are."""
    part = parts[depth - 1]
    parent = parts[depth - 2] if depth > 1 else ""
    if match := _BY_ID.fullmatch(part):
        # With a parent in systemd's form and a driver that does not know it: "kubepods-...slice:cri-containerd:ID".
        prefix = (match["prefix"] or "").rpartition(":")[2]
        if prefix in _NOT_INSIDE or (parent == _PODMAN_PARENT and not prefix):
            return None
        runtime = _RUNTIMES.get(prefix or parent)
        return Identity(runtime, match["id"], parent=parent)
    if match := _LXC.fullmatch(part):
        return Identity("lxc", match["name"], match["name"])
    if parent in _LXC_PARENTS:
        return Identity("lxc", part, part)
    if match := _NSPAWN.fullmatch(part):
        name = _unescaped(match["name"] or match["unit"])
        return Identity("nspawn", name, name)
    return None


def _unit(parts: list[str]) -> Identity | None:
    """The innermost service or scope, else the innermost slice."""
    for pattern in (_UNIT, _SLICE):
        for depth in range(len(parts), 0, -1):
            if pattern.fullmatch(parts[depth - 1]):
                unit = parts[depth - 1]
                return Identity("systemd", unit, unit, depth=depth)
    return None


def _unescaped(name: str) -> str:
    """systemd writes what its names may not hold as \\xNN."""
    return clean(_ESCAPE.sub(lambda match: chr(int(match[1], 16)), name))
