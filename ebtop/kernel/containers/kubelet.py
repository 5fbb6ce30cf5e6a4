"""The kubelet: names of pods and their containers from its folders of logs, the same with every runtime.

    /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log     a link for each container
    /var/log/pods/NAMESPACE_POD_UID/CONTAINER              a folder for each pod

No such name holds an underscore.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ebtop.kernel.containers.files import Files, Names, text_of

_LOG = re.compile(r"([^_]+)_([^_]+)_(.+)-([0-9a-f]{64})\.log")
_MIN_AGE_S = 1.0


class KubeletLogs:
    """Both folders, listed again for what was not found, but not more than once a second."""

    def __init__(self, files: Files, clock: Callable[[], float]) -> None:
        self._files = files
        self._clock = clock
        self._containers: dict[str, Names] = {}
        self._pods: dict[str, Names] = {}
        self._listed_at: float | None = None

    def container(self, container_id: str) -> Names | None:
        """By the container's id; None for what has no log, as the one that holds a pod's namespaces."""
        if container_id not in self._containers:
            self._list()
        return self._containers.get(container_id)

    def pod(self, uid: str) -> Names | None:
        """By the pod's uid; the container's name stays open."""
        if uid not in self._pods:
            self._list()
        return self._pods.get(uid)

    def _list(self) -> None:
        now = self._clock()
        if self._listed_at is not None and now < self._listed_at + _MIN_AGE_S:
            return
        self._listed_at = now
        self._containers, self._pods = {}, {}
        for entry in self._files.entries("/var/log/containers"):
            if match := _LOG.fullmatch(entry):
                pod, namespace, name, container_id = match.groups()
                self._containers[container_id] = Names(text_of(name), text_of(pod), text_of(namespace))
        for entry in self._files.entries("/var/log/pods"):
            namespace, _, rest = entry.partition("_")
            pod, _, uid = rest.partition("_")
            if uid:
                self._pods[uid] = Names(None, text_of(pod), text_of(namespace))
