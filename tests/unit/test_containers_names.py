"""Names of containers from the files of each runtime, on made-up trees."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ebtop.kernel.containers import ContainerNames
from ebtop.kernel.containers import names as names_module
from ebtop.store.containers import Container
from tests.unit import runtime_trees as trees
from tests.unit.runtime_trees import DB, POD, POD_FOLDER, POD_SLICE, UID, WEB

ROOTLESS = "/user.slice/user-1000.slice/user@1000.service/user.slice"
needs_sqlite = pytest.mark.skipif(not hasattr(sqlite3.Connection, "deserialize"), reason="Python 3.11 and later")
DOCKER_WEB = f"/system.slice/docker-{WEB}.scope"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def look(root: Path, cgroup: str) -> Container:
    found = ContainerNames(str(root), Clock())(cgroup)
    assert found is not None
    return found


def test_docker(tmp_path: Path) -> None:
    trees.docker(tmp_path, WEB, "web")
    expected = Container("docker", WEB, "web", None, None)
    assert look(tmp_path, DOCKER_WEB) == look(tmp_path, f"/docker/{WEB}/init") == expected
    assert look(tmp_path, f"/ecs/task/{WEB}") == expected, "found by its files where the path names no runtime"


def test_docker_elsewhere(tmp_path: Path) -> None:
    trees.write(tmp_path, "/etc/docker/daemon.json", {"data-root": "/data/docker"})
    trees.docker(tmp_path, WEB, "web", "/data/docker")
    trees.docker(tmp_path, DB, "db", "/var/snap/docker/common/var-lib-docker")
    assert look(tmp_path, DOCKER_WEB).name == "web"
    assert look(tmp_path, f"/docker/{DB}").name == "db"


def test_docker_behind_a_link(tmp_path: Path) -> None:
    trees.docker(tmp_path, WEB, "web", "/large/docker")
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/docker").symlink_to(tmp_path / "large/docker")
    assert look(tmp_path, DOCKER_WEB).name == "web"


def test_docker_of_a_user(tmp_path: Path) -> None:
    trees.passwd(tmp_path, 1000, "ann", "/home/ann")
    trees.docker(tmp_path, WEB, "web", "/home/ann/.local/share/docker")
    assert look(tmp_path, f"{ROOTLESS}/docker-{WEB}.scope").name == "web"


def test_docker_for_the_kubelet(tmp_path: Path) -> None:
    labels = {
        "io.kubernetes.container.name": "app",
        "io.kubernetes.pod.name": "app-1",
        "io.kubernetes.pod.namespace": "shop",
    }
    trees.docker(tmp_path, WEB, "k8s_app_app-1_shop_uid_0", **labels)
    assert look(tmp_path, f"{POD_SLICE}/docker-{WEB}.scope") == Container("docker", WEB, "app", "app-1", "shop")


@pytest.mark.parametrize("cgroup", [f"{POD_SLICE}/cri-containerd-{WEB}.scope", f"{POD_FOLDER}/{WEB}", f"/k8s.io/{WEB}"])
def test_containerd(tmp_path: Path, cgroup: str) -> None:
    trees.containerd(tmp_path, WEB, **trees.cri("app", "app-1", "shop"))
    assert look(tmp_path, cgroup) == Container("containerd", WEB, "app", "app-1", "shop")


def test_the_container_that_holds_a_pods_namespaces(tmp_path: Path) -> None:
    trees.containerd(tmp_path, WEB, **trees.cri(None, "app-1", "shop"))
    assert look(tmp_path, f"{POD_FOLDER}/{WEB}") == Container("containerd", WEB, "POD", "app-1", "shop")


def test_containerd_of_k3s(tmp_path: Path) -> None:
    bundle = {"annotations": trees.cri("app", "app-1", "shop")}
    trees.write(tmp_path, f"/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/{WEB}/config.json", bundle)
    assert look(tmp_path, f"{POD_FOLDER}/{WEB}").name == "app"


@pytest.mark.parametrize("cgroup", [f"/system.slice/nerdctl-{WEB}.scope", f"/default/{WEB}"])
def test_nerdctl(tmp_path: Path, cgroup: str) -> None:
    trees.containerd(tmp_path, WEB, "default", **{"nerdctl/name": "web"})
    assert look(tmp_path, cgroup) == Container("containerd", WEB, "web", None, None)


def test_nerdctl_in_a_namespace_of_its_own(tmp_path: Path) -> None:
    trees.containerd(tmp_path, WEB, "staging", **{"nerdctl/name": "web"})
    assert look(tmp_path, f"/staging/{WEB}").name == "web"


def test_nerdctls_own_list(tmp_path: Path) -> None:
    trees.passwd(tmp_path, 1000, "ann", "/home/ann")
    trees.write(tmp_path, "/var/lib/nerdctl/1935db59/names/default/web", WEB)
    trees.write(tmp_path, "/home/ann/.local/share/nerdctl/1935db59/names/default/db", DB + "\n")
    assert look(tmp_path, f"/system.slice/nerdctl-{WEB}.scope").name == "web"
    assert look(tmp_path, f"{ROOTLESS}/nerdctl-{DB}.scope").name == "db"


def test_crio(tmp_path: Path) -> None:
    trees.crio(tmp_path, WEB, "app", "app-1", "shop")
    for cgroup in (f"{POD_SLICE}/crio-{WEB}.scope/container", f"{POD_FOLDER}/crio-{WEB}"):
        assert look(tmp_path, cgroup) == Container("cri-o", WEB, "app", "app-1", "shop")


def test_podman(tmp_path: Path) -> None:
    trees.podman(tmp_path, {DB: "db", WEB: "web"})
    expected = Container("podman", WEB, "web", None, None)
    assert look(tmp_path, f"/machine.slice/libpod-{WEB}.scope/container") == expected
    in_pod = look(tmp_path, f"/machine.slice/machine-libpod_pod_{POD}.slice/libpod-{WEB}.scope")
    assert in_pod == expected, "no database tells the pod's name"


IN_POD = f"/machine.slice/machine-libpod_pod_{POD}.slice/libpod-{WEB}.scope"


@needs_sqlite
def test_podmans_pods(tmp_path: Path) -> None:
    trees.podman(tmp_path, {WEB: "web", DB: "db"})
    trees.podman_pods(tmp_path, {"shop": {WEB: "web"}, "": {DB: "db"}})
    assert look(tmp_path, IN_POD) == Container("podman", WEB, "web", "shop", None)
    assert look(tmp_path, f"/machine.slice/libpod-{DB}.scope") == Container("podman", DB, "db", None, None)


@needs_sqlite
def test_podmans_pods_of_a_user(tmp_path: Path) -> None:
    storage = "/home/ann/.local/share/containers/storage"
    trees.passwd(tmp_path, 1000, "ann", "/home/ann")
    trees.podman(tmp_path, {WEB: "web"}, storage)
    trees.podman_pods(tmp_path, {"hers": {WEB: "web"}}, storage)
    trees.podman_pods(tmp_path, {"roots": {WEB: "web"}})
    assert look(tmp_path, f"{ROOTLESS}/libpod-{WEB}.scope").pod == "hers"


@needs_sqlite
def test_podmans_database_is_read_again_for_a_new_container(tmp_path: Path) -> None:
    clock = Clock()
    names = ContainerNames(str(tmp_path), clock)
    trees.podman(tmp_path, {WEB: "web", DB: "db"})
    trees.podman_pods(tmp_path, {"shop": {WEB: "web"}})
    first = names(IN_POD)
    assert first is not None
    assert first.pod == "shop"
    trees.podman_pods(tmp_path, {"shop": {WEB: "web", DB: "db"}})
    clock.now += 2
    second = names(f"/machine.slice/libpod-{DB}.scope")
    assert second is not None
    assert second.pod == "shop"


@needs_sqlite
def test_podmans_database_with_a_log_of_writes(tmp_path: Path) -> None:
    trees.podman(tmp_path, {WEB: "web"})
    file = trees.podman_pods(tmp_path, {"shop": {WEB: "web"}})
    with contextlib.closing(sqlite3.connect(file)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        assert look(tmp_path, IN_POD).pod == "shop"
    assert file.read_bytes()[18:20] == b"\2\2", "the file was only read"


@needs_sqlite
def test_reading_podmans_database_leaves_no_trace(tmp_path: Path) -> None:
    trees.podman(tmp_path, {WEB: "web"})
    file = trees.podman_pods(tmp_path, {"shop": {WEB: "web"}})
    before = file.read_bytes(), sorted(file.parent.iterdir())
    assert look(tmp_path, IN_POD).pod == "shop"
    assert (file.read_bytes(), sorted(file.parent.iterdir())) == before


@needs_sqlite
@pytest.mark.parametrize(
    "harm", ["empty", "text", "cut", "torn", "other tables", "numbers", "for ever", "huge", "fifo"]
)
def test_podmans_database_that_tells_nothing(tmp_path: Path, harm: str) -> None:
    trees.podman(tmp_path, {WEB: "web"})
    file = trees.podman_pods(tmp_path, {"shop": {WEB: "web"}})
    content = file.read_bytes()
    rows = {
        "other tables": "SELECT 1 AS ID",
        "numbers": f"SELECT '{WEB}' AS ID, 7 AS Name",
        "for ever": "WITH RECURSIVE r(ID) AS (SELECT 0 UNION ALL SELECT ID + 1 FROM r) SELECT ID, 'x' AS Name FROM r",
        "huge": f"SELECT '{WEB}' AS ID, CAST(zeroblob(900000000) AS TEXT) AS Name",
    }
    if harm in rows:
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("ALTER TABLE PodConfig RENAME TO Kept")
            connection.execute(f"CREATE VIEW PodConfig AS {rows[harm]}")
            connection.commit()
    elif harm == "fifo":
        file.unlink()
        os.mkfifo(file)
    else:
        garbled = {"empty": b"", "text": b"no database" * 500, "cut": content[:100]}
        file.write_bytes(garbled.get(harm, content[:4096] + os.urandom(len(content) - 4096)))
    assert look(tmp_path, IN_POD) == Container("podman", WEB, "web", None, None)


@needs_sqlite
def test_a_pod_of_podman_with_a_hostile_name(tmp_path: Path) -> None:
    trees.podman(tmp_path, {WEB: "web"})
    trees.podman_pods(tmp_path, {"shop\x1b[2J\n": {WEB: "web"}})
    assert look(tmp_path, IN_POD).pod == "shop\\x1b[2J\\x0a"


def test_podman_forgets_those_of_rm_at_a_reboot(tmp_path: Path) -> None:
    trees.podman(tmp_path, {WEB: "web"}, file="volatile-containers.json")
    assert look(tmp_path, f"/libpod_parent/libpod-{WEB}").name == "web"


def test_podman_of_a_user(tmp_path: Path) -> None:
    trees.passwd(tmp_path, 1000, "ann", "/home/ann")
    trees.podman(tmp_path, {WEB: "web"}, "/home/ann/.local/share/containers/storage")
    trees.podman(tmp_path, {DB: "db"})
    assert look(tmp_path, f"{ROOTLESS}/libpod-{WEB}.scope").name == "web"
    from_a_session = f"/user.slice/user-1000.slice/session-3.scope/libpod-payload-{DB}"
    assert look(tmp_path, from_a_session).name == "db", "root's, started with sudo"


def test_the_kubelets_logs_do_for_every_runtime(tmp_path: Path) -> None:
    trees.kubelet(tmp_path, UID, "shop", "app-1", {WEB: "my-app", DB: "db"})
    for cgroup, runtime in (
        (f"{POD_SLICE}/cri-containerd-{WEB}.scope", "containerd"),
        (f"{POD_SLICE}/crio-{WEB}.scope", "cri-o"),
        (f"{POD_FOLDER}/{WEB}", "kubernetes"),
    ):
        assert look(tmp_path, cgroup) == Container(runtime, WEB, "my-app", "app-1", "shop")


def test_a_container_without_a_log_has_its_pod_by_uid(tmp_path: Path) -> None:
    trees.kubelet(tmp_path, UID, "shop", "app-1", {WEB: "app"})
    found = look(tmp_path, f"{POD_SLICE}/cri-containerd-{DB}.scope")
    assert found == Container("containerd", DB, None, "app-1", "shop")
    assert found.label == DB[:12]


def test_a_container_in_a_pods_container_keeps_the_pod(tmp_path: Path) -> None:
    trees.kubelet(tmp_path, UID, "shop", "builder", {WEB: "dind"})
    found = look(tmp_path, f"{POD_SLICE}/cri-containerd-{WEB}.scope/docker/{DB}")
    assert found == Container("docker", DB, None, "builder", "shop")


def test_what_has_its_name_in_its_path(tmp_path: Path) -> None:
    assert look(tmp_path, "/lxc.payload.web/init.scope") == Container("lxc", "web", "web", None, None)
    assert look(tmp_path, "/machine.slice/machine-web.scope") == Container("nspawn", "web", "web", None, None)
    unit = look(tmp_path, "/system.slice/nginx.service")
    assert unit == Container("systemd", "nginx.service", "nginx.service", None, None)


def test_an_unknown_container_has_its_id(tmp_path: Path) -> None:
    assert look(tmp_path, f"/ecs/task/{WEB}") == Container("unknown", WEB, None, None, None)


def test_no_container(tmp_path: Path) -> None:
    names = ContainerNames(str(tmp_path), Clock())
    assert names(None) is None
    assert names("/") is None
    assert names("/user") is None


@pytest.mark.parametrize(
    "content",
    [
        "", "null", "[]", "7", '"web"', "{", "{}", '{"Name": 5}', '{"Name": ""}', '{"Name": null, "Config": []}',
        "[" * 100_000, '{"Name": "' + "x" * 300 + '"}', '{"Name": "x", "pad": "' + "x" * (1 << 20) + '"}', "\0\xff",
    ],
)  # fmt: skip
def test_files_that_tell_nothing(tmp_path: Path, content: str) -> None:
    trees.write(tmp_path, f"/var/lib/docker/containers/{WEB}/config.v2.json", content)
    trees.write(tmp_path, "/etc/docker/daemon.json", content)
    trees.write(tmp_path, "/var/lib/containers/storage/overlay-containers/containers.json", content)
    assert look(tmp_path, DOCKER_WEB).name is None
    assert look(tmp_path, f"/libpod_parent/libpod-{WEB}").name is None


@pytest.mark.parametrize("labels", [[], "x", 5, {"io.kubernetes.pod.name": ["x"]}])
def test_labels_of_another_kind(tmp_path: Path, labels: Any) -> None:
    config = {"Name": "/web", "Config": {"Labels": labels}}
    trees.write(tmp_path, f"/var/lib/docker/containers/{WEB}/config.v2.json", config)
    assert look(tmp_path, DOCKER_WEB) == Container("docker", WEB, "web", None, None)


def test_hostile_names_come_out_printable(tmp_path: Path) -> None:
    trees.docker(tmp_path, WEB, "web\x1b[2J\n\u202e")
    found = look(tmp_path, DOCKER_WEB)
    assert found.name == "web\\x1b[2J\\x0a\\u202e"


def test_links_that_lead_out_of_the_runtimes_folder_are_not_followed(tmp_path: Path) -> None:
    elsewhere = trees.docker(tmp_path, WEB, "other", "/elsewhere")
    folder = tmp_path / "var/lib/docker/containers"
    (folder / WEB).mkdir(parents=True)
    (folder / WEB / "config.v2.json").symlink_to(elsewhere)
    (folder / DB).symlink_to(elsewhere.parent)
    assert look(tmp_path, DOCKER_WEB).name is None
    assert look(tmp_path, f"/docker/{DB}").name is None


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / f"var/lib/docker/containers/{WEB}"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "config.v2.json")
    assert look(tmp_path, DOCKER_WEB).name is None
    (tmp_path / f"var/lib/docker/containers/{DB}/config.v2.json").mkdir(parents=True)
    assert look(tmp_path, f"/docker/{DB}").name is None


def test_files_that_come_after_the_cgroup(tmp_path: Path) -> None:
    clock = Clock()
    names = ContainerNames(str(tmp_path), clock)
    assert names(DOCKER_WEB) == Container("docker", WEB, None, None, None)
    trees.docker(tmp_path, WEB, "web")
    clock.now += 1
    assert names(DOCKER_WEB) == Container("docker", WEB, None, None, None), "not looked for each time"
    clock.now += 2
    assert names(DOCKER_WEB) == Container("docker", WEB, "web", None, None)


def test_what_stays_without_a_name_is_looked_for_less_and_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(names_module.docker, "names", lambda *_: asked.append(1))
    clock = Clock()
    names = ContainerNames(str(tmp_path), clock)
    for _ in range(3600):
        names(DOCKER_WEB)
        clock.now += 1
    assert 30 < len(asked) < 40


def test_a_named_container_is_not_looked_for_again(tmp_path: Path) -> None:
    trees.docker(tmp_path, WEB, "web")
    clock = Clock()
    names = ContainerNames(str(tmp_path), clock)
    before = names(DOCKER_WEB)
    trees.docker(tmp_path, WEB, "renamed")
    clock.now += 3600
    assert names(DOCKER_WEB) is before


def test_a_new_pod_is_found_soon(tmp_path: Path) -> None:
    clock = Clock()
    names = ContainerNames(str(tmp_path), clock)
    assert names(f"{POD_FOLDER}/{WEB}") == Container("kubernetes", WEB, None, None, None)
    trees.kubelet(tmp_path, UID, "shop", "app-1", {WEB: "app"})
    clock.now += 3
    assert names(f"{POD_FOLDER}/{WEB}") == Container("kubernetes", WEB, "app", "app-1", "shop")


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "_MAX_KNOWN", 50)
    names = ContainerNames(str(tmp_path), Clock())
    for number in range(500):
        names(f"/docker/{number:064x}")
        names(f"/system.slice/run-{number}.scope")
    assert len(names._known) + len(names._unnamed) <= 51
