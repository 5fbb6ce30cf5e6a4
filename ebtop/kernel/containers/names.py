"""Cgroup paths to containers, remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from ebtop.kernel.containers import containerd, crio, docker, podman
from ebtop.kernel.containers.files import Files, Names
from ebtop.kernel.containers.kubelet import KubeletLogs
from ebtop.kernel.containers.paths import Identity, identify
from ebtop.kernel.containers.podman_pods import PodmanPods
from ebtop.store.containers import Container
from ebtop.store.user_names import UserNames

_MAX_KNOWN = 20_000
"""Paths; when there are more, all are forgotten and found again."""
_FIRST_RETRY_S, _LAST_RETRY_S = 2.0, 120.0
_NAMED_BY_PATH = frozenset(("systemd", "lxc", "nspawn"))
_SOME_CRI, _UNKNOWN = "kubernetes", "unknown"
"""Runtimes of containers that are a pod's or nobody's, where neither path nor files tell which it is."""


class _Unnamed(NamedTuple):
    """A container whose names are not known yet: its files may come after its cgroup."""

    container: Container
    retry_at: float
    pause_s: float


class ContainerNames:
    """A ContainerLookup, from any thread. Reads files of the runtimes; asks none of them anything.

    A container inside a container (Docker in a pod, a cluster in Docker) counts as the inner one; the pod is the
    innermost that the path names. Files of runtimes that run inside a container are not looked for.
    """

    def __init__(self, root: str = "/", clock: Callable[[], float] = time.monotonic) -> None:
        """`root` is where the files are; not "/" in tests only."""
        self._files = Files(root)
        self._clock = clock
        self._users = UserNames(self._files.path("/etc/passwd"))
        self._kubelet = KubeletLogs(self._files, clock)
        self._podman_pods = PodmanPods(self._files, clock)
        self._known: dict[str | None, Container | None] = {None: None}
        self._unnamed: dict[str, _Unnamed] = {}
        self._lock = threading.Lock()

    def __call__(self, cgroup: str | None) -> Container | None:
        """The container or unit that a cgroup belongs to. One without a name yet is looked up again after a while."""
        try:
            return self._known[cgroup]
        except KeyError:
            assert cgroup is not None
            return self._find(cgroup)

    def _find(self, cgroup: str) -> Container | None:
        now = self._clock()
        before = self._unnamed.get(cgroup)
        if before is not None and now < before.retry_at:
            return before.container
        with self._lock:
            identity = identify(cgroup)
            if len(self._known) + len(self._unnamed) >= _MAX_KNOWN:
                self._known = {None: None}
                self._unnamed = {}
            container = self._describe(identity) if identity is not None else None
            if container is None or container.name is not None:
                self._unnamed.pop(cgroup, None)
                self._known[cgroup] = container
            else:
                pause = min(before.pause_s * 2, _LAST_RETRY_S) if before is not None else _FIRST_RETRY_S
                self._unnamed[cgroup] = _Unnamed(container, now + pause, pause)
            return container

    def _describe(self, identity: Identity) -> Container:
        if identity.runtime in _NAMED_BY_PATH:
            return self._container(identity, identity.runtime, Names(identity.name))
        if identity.pod_uid is not None and (names := self._kubelet.container(identity.id)):
            return self._container(identity, identity.runtime, names)
        runtime, names = self._ask_files(identity)
        if identity.pod_uid is not None and names.pod is None and (pod := self._kubelet.pod(identity.pod_uid)):
            names = Names(names.name, pod.pod, pod.namespace)
        return self._container(identity, runtime, names)

    def _container(self, identity: Identity, runtime: str | None, names: Names) -> Container:
        unknown = _SOME_CRI if identity.pod_uid is not None else _UNKNOWN
        return Container(runtime or unknown, identity.id, names.name, names.pod, names.namespace)

    def _ask_files(self, identity: Identity) -> tuple[str | None, Names]:
        """Of the runtime that the path names, or of each that it may be."""
        home = self._users.home(identity.user) if identity.user else None
        ask: dict[str, Callable[[], Names | None]] = {
            "docker": lambda: docker.names(self._files, identity.id, home),
            "containerd": lambda: containerd.names(self._files, identity.id, identity.parent, home),
            "cri-o": lambda: crio.names(self._files, identity.id),
            "podman": lambda: podman.names(self._files, self._podman_pods, identity.id, home),
        }
        for runtime in [identity.runtime] if identity.runtime is not None else list(ask):
            if (names := ask[runtime]()) is not None:
                return runtime, names
        return identity.runtime, Names(None)
