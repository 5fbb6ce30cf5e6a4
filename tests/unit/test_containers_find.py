"""Names to cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebtop.errors import EbtopError
from ebtop.kernel.cgroups import CgroupHierarchy
from ebtop.kernel.containers import ContainerNames, Found, container_cgroups, container_paths
from ebtop.store.containers import Container
from tests.unit import runtime_trees as trees
from tests.unit.runtime_trees import DB, WEB

PODS = {"shop/app-1": "a1", "shop/app-2": "a2", "bank/app-1": "b1"}
"""Three pods, each with the containers app and proxy, and one that holds its namespaces."""


def container_id(pod: str, kind: str) -> str:
    return (PODS[pod] + {"app": "01", "proxy": "02", "POD": "00"}[kind]).ljust(64, "f")


def pod_cgroup(pod: str, kind: str) -> str:
    return f"/kubepods/besteffort/pod{PODS[pod] * 16}/{container_id(pod, kind)}"


@pytest.fixture
def node(tmp_path: Path) -> tuple[CgroupHierarchy, ContainerNames]:
    """Two containers of Docker, three pods, some services."""
    mount, root = tmp_path / "cgroup", tmp_path / "root"
    paths = ["/system.slice/ssh.service", f"/docker/{WEB}/init", f"/docker/{DB}", f"/docker/{DB}/docker/{'e' * 64}"]
    paths.append(f"/machine.slice/libpod-conmon-{WEB}.scope")
    trees.docker(root, WEB, "web")
    trees.docker(root, DB, "db")
    for pod in PODS:
        namespace, name = pod.split("/")
        for kind in ("app", "proxy", "POD"):
            paths.append(pod_cgroup(pod, kind))
            annotations = trees.cri(None if kind == "POD" else kind, name, namespace)
            trees.containerd(root, container_id(pod, kind), **annotations)
    for path in paths:
        (mount / path.lstrip("/")).mkdir(parents=True)
    return CgroupHierarchy(str(mount), ""), ContainerNames(str(root))


Node = tuple[CgroupHierarchy, ContainerNames]


@pytest.mark.parametrize("text", ["web", WEB, WEB[:6], WEB[:12].upper()])
def test_a_container_by_name_or_id(node: Node, text: str) -> None:
    assert container_cgroups(*node, text) == Found((f"{node[0].mount}/docker/{WEB}",), "")


def test_a_container_of_a_pod_by_id(node: Node) -> None:
    found = container_cgroups(*node, container_id("bank/app-1", "proxy")[:8])
    assert found == Found((node[0].mount + pod_cgroup("bank/app-1", "proxy"),), "")


@pytest.mark.parametrize("text", ["shop/app-2", "app-2"])
def test_a_pod_is_all_its_containers(node: Node, text: str) -> None:
    found = container_cgroups(*node, text)
    expected = {node[0].mount + pod_cgroup("shop/app-2", kind) for kind in ("app", "proxy", "POD")}
    assert set(found.paths) == expected
    assert found.said == f"{text} is 3 containers of shop/app-2: POD, app, proxy"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("app", "3 containers are called app: bank/app-1, shop/app-1, shop/app-2; give NAMESPACE/POD, or the beg"),
        ("app-1", "2 pods are called app-1: bank/app-1, shop/app-1; give NAMESPACE/POD, or the beginning of an id"),
        ("shop/app-3", "no container or pod is called shop/app-3: there is "),
        ("/app-3", "no container or pod is called /app-3: there is "),
        ("ssh.service", "no container or pod is called ssh.service: there is "),
        (WEB[:5], f"no container or pod is called {WEB[:5]}: there is POD, app, db, eeeeeeeeeeee, proxy, web; give a "),
        ("\x1b[31m", "no container or pod is called \\x1b[31m: "),
        ("", "no container or pod is called : there is "),
    ],
)
def test_what_names_none_or_several(node: Node, text: str, said: str) -> None:
    with pytest.raises(EbtopError) as caught:
        container_cgroups(*node, text)
    assert caught.value.line().startswith(said)


def test_a_beginning_that_two_containers_share(node: Node) -> None:
    Path(node[0].mount, "docker", WEB[:10] + "0" * 54).mkdir()
    with pytest.raises(EbtopError, match=r"^2 containers have an id that starts with ababab; give more of its digits$"):
        container_cgroups(*node, "ababab")


def test_two_containers_of_one_name_outside_of_pods(node: Node) -> None:
    Path(node[0].mount, "lxc.payload.web").mkdir()
    with pytest.raises(EbtopError, match=r"^2 containers are called web: docker abababababab, lxc web; "):
        container_cgroups(*node, "web")


def test_pods_without_a_namespace(node: Node) -> None:
    hierarchy, _ = node
    places = {f"/libpod_parent/libpod-{WEB}": "podman", f"/docker/{DB}": "docker"}

    def lookup(cgroup: str | None) -> Container | None:
        runtime = places.get(cgroup or "")
        return Container(runtime, WEB, "web", "shop", None) if runtime else None

    for path in places:
        Path(hierarchy.mount, path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    with pytest.raises(EbtopError, match=r"^2 containers are called web: docker pod shop, podman pod shop; "):
        container_cgroups(hierarchy, lookup, "web")


def test_a_name_of_hex_digits(node: Node) -> None:
    Path(node[0].mount, "lxc.payload.decade").mkdir()
    assert container_cgroups(*node, "decade").paths == (f"{node[0].mount}/lxc.payload.decade",)


def test_no_containers_at_all(tmp_path: Path) -> None:
    with pytest.raises(EbtopError, match=r"^no container or pod is called web: there is no container in any cgroup; "):
        container_cgroups(CgroupHierarchy(str(tmp_path), ""), ContainerNames(str(tmp_path)), "web")


def test_paths_for_a_filter(node: Node) -> None:
    """Whatever goes by the name, in the form of records' paths."""
    assert container_paths(*node, "web") == (f"/docker/{WEB}",)
    assert set(container_paths(*node, "app")) == {pod_cgroup(pod, "app") for pod in PODS}
    assert len(container_paths(*node, "app-1")) == 6
    assert len(container_paths(*node, "bank/app-1")) == 3
    assert container_paths(*node, "nothing") == ()
