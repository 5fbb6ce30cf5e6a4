"""Names to cgroups: the other way round, for filters."""

from __future__ import annotations

from typing import NamedTuple

from ebtop.errors import EbtopError
from ebtop.kernel.cgroups import CgroupHierarchy, directories
from ebtop.kernel.containers.paths import identify
from ebtop.store.containers import Container, ContainerLookup
from ebtop.text import clean

_MIN_ID = 6
_LISTED = 8
"""At most so many are named in one line."""


class Found(NamedTuple):
    """The cgroups that somebody means."""

    paths: tuple[str, ...]
    """Absolute, of the containers' own cgroups; what is below belongs to them."""
    said: str
    """What was taken, for people, where it is more than the one container that was named; "" otherwise."""


class _Placed(NamedTuple):
    container: Container
    path: str

    @property
    def where(self) -> str:
        """NAMESPACE/POD, or what else tells it from another of its name: Podman's pods have no namespace."""
        c = self.container
        if c.pod is None:
            return f"{c.runtime} {c.id[:12]}"
        return f"{c.namespace}/{c.pod}" if c.namespace is not None else f"{c.runtime} pod {c.pod}"


def container_cgroups(hierarchy: CgroupHierarchy, lookup: ContainerLookup, text: str) -> Found:
    """The container, or all containers of the pod, that `text` names.

    It is the beginning of an id (6 hex digits or more), else a container's name, else POD or NAMESPACE/POD.
    Raises EbtopError when there is none, or when it could be one or the other.
    """
    there = _containers(hierarchy, lookup)
    if by_id := _with_id(there, text):
        if len({placed.container.id for placed in by_id}) > 1:
            raise EbtopError(
                f"{len(by_id)} containers have an id that starts with {clean(text.lower())}", "",
                "give more of its digits",
            )  # fmt: skip
        return _found(text, by_id)
    if by_name := [placed for placed in there if placed.container.name == text]:
        return _only(text, by_name, "containers are called")
    if by_pod := _of_pod(there, text):
        return _only(text, by_pod, "pods are called")
    known = _listed(sorted({placed.container.label for placed in there}))
    raise EbtopError(
        f"no container or pod is called {clean(text)}",
        f"there is {known}" if known else "there is no container in any cgroup",
        f"give a name, NAMESPACE/POD, or {_MIN_ID} digits of an id, as `docker ps` or `crictl ps` prints them",
    )


def container_paths(hierarchy: CgroupHierarchy, lookup: ContainerLookup, text: str) -> tuple[str, ...]:
    """The same as paths that records carry, for a filter: whatever goes by that id, name, POD or NAMESPACE/POD.

    Empty when there is none now. A container that starts later has another cgroup.
    """
    there = _containers(hierarchy, lookup)
    named = [placed for placed in there if placed.container.name == text]
    matches = {placed.path: None for placed in (*_with_id(there, text), *named, *_of_pod(there, text))}
    return tuple(clean(path.removeprefix(hierarchy.mount)) for path in matches)


def _containers(hierarchy: CgroupHierarchy, lookup: ContainerLookup) -> list[_Placed]:
    """Each container with its own cgroup, which is not one further down inside of it."""
    found: list[_Placed] = []
    for path in directories(hierarchy.mount):
        inside = clean(path.removeprefix(hierarchy.mount))
        identity = identify(inside)
        if identity is None or identity.runtime == "systemd" or identity.depth != inside.count("/"):
            continue
        container = lookup(inside)
        if container is not None:
            found.append(_Placed(container, path))
    return found


def _with_id(there: list[_Placed], text: str) -> list[_Placed]:
    wanted = text.lower()
    if len(wanted) < _MIN_ID or not set(wanted) <= set("0123456789abcdef"):
        return []
    return [placed for placed in there if placed.container.id.startswith(wanted)]


def _of_pod(there: list[_Placed], text: str) -> list[_Placed]:
    namespace, _, pod = text.rpartition("/")
    return [
        placed
        for placed in there
        if placed.container.pod == pod and (not namespace or placed.container.namespace == namespace)
    ]


def _only(text: str, matches: list[_Placed], what: str) -> Found:
    """All of one place, which is a pod or a single container."""
    places = sorted({placed.where for placed in matches})
    if len(places) > 1:
        raise EbtopError(
            f"{len(places)} {what} {clean(text)}", _listed(places), "give NAMESPACE/POD, or the beginning of an id"
        )
    return _found(text, matches)


def _found(text: str, matches: list[_Placed]) -> Found:
    labels = [placed.container.label for placed in matches]
    said = f"{clean(text)} is {len(matches)} containers of {matches[0].where}: {_listed(sorted(labels))}"
    return Found(tuple(placed.path for placed in matches), said if len(matches) > 1 else "")


def _listed(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
