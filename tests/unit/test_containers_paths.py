"""Paths of cgroups as the runtimes make them, with either driver and on either version."""

from __future__ import annotations

import pytest

from ebtop.kernel.containers.paths import identify
from tests.unit.runtime_trees import DB, POD, POD_FOLDER, POD_SLICE, UID, WEB

USER = "/user.slice/user-1000.slice/user@1000.service"
STATIC_POD = "7de8b9d1c9a7f2a0a0cbb3e4c1f0aa55"


@pytest.mark.parametrize(
    ("path", "runtime", "container_id"),
    [
        (f"/system.slice/docker-{WEB}.scope", "docker", WEB),
        (f"/system.slice/docker-{WEB}.scope/init", "docker", WEB),
        (f"/docker/{WEB}", "docker", WEB),
        (f"/docker/{WEB}/system.slice/ssh.service", "docker", WEB),
        (f"/limited.slice/docker-{WEB}.scope", "docker", WEB),
        (f"/ecs/0123456789abcdef0123456789abcdef/{WEB}", None, WEB),
        (f"/system.slice/docker.service/system.slice:docker:{WEB}", "docker", WEB),
        (f"{USER}/user.slice/docker-{WEB}.scope", "docker", WEB),
        (f"{POD_SLICE}/docker-{WEB}.scope", "docker", WEB),
        (f"{POD_SLICE}/cri-containerd-{WEB}.scope", "containerd", WEB),
        (f"/system.slice/containerd.service/kubepods-podx.slice:cri-containerd:{WEB}", "containerd", WEB),
        (f"{POD_FOLDER}/{WEB}", None, WEB),
        (f"/k8s.io/{WEB}", None, WEB),
        (f"/default/{WEB}", None, WEB),
        (f"/system.slice/nerdctl-{WEB}.scope", "containerd", WEB),
        (f"{POD_SLICE}/crio-{WEB}.scope", "cri-o", WEB),
        (f"{POD_SLICE}/crio-{WEB}.scope/container", "cri-o", WEB),
        (f"{POD_FOLDER}/crio-{WEB}", "cri-o", WEB),
        (f"/machine.slice/libpod-{WEB}.scope", "podman", WEB),
        (f"/machine.slice/libpod-{WEB}.scope/container", "podman", WEB),
        (f"/machine.slice/machine-libpod_pod_{POD}.slice/libpod-{WEB}.scope", "podman", WEB),
        (f"/libpod_parent/libpod-{WEB}", "podman", WEB),
        (f"/libpod_parent/{POD}/libpod-{WEB}", "podman", WEB),
        (f"{USER}/user.slice/libpod-{WEB}.scope/container", "podman", WEB),
        (f"{USER}/app.slice/web.service/libpod-payload-{WEB}", "podman", WEB),
        ("/lxc.payload.web", "lxc", "web"),
        ("/lxc.payload.web/system.slice/nginx.service", "lxc", "web"),
        ("/lxc.payload/web/init.scope", "lxc", "web"),
        ("/lxc.payload-web", "lxc", "web"),
        ("/lxc/101/ns/system.slice", "lxc", "101"),
        ("/machine.slice/machine-debian\\x2d12.scope/payload/init.scope", "nspawn", "debian-12"),
        ("/machine.slice/systemd-nspawn@build.service/payload", "nspawn", "build"),
    ],
)
def test_the_container_of_a_path(path: str, runtime: str | None, container_id: str) -> None:
    found = identify(path)
    assert found is not None
    assert (found.runtime, found.id) == (runtime, container_id)


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/nginx.service", "nginx.service"),
        ("/system.slice/nginx.service/worker", "nginx.service"),
        ("/init.scope", "init.scope"),
        ("/system.slice", "system.slice"),
        ("/user.slice/user-1000.slice", "user-1000.slice"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        (f"{USER}/app.slice/editor.scope", "editor.scope"),
        (f"{USER}/app.slice", "user@1000.service"),
        ("/machine.slice/machine-qemu\\x2d1\\x2ddebian.scope/libvirt/vcpu0", "machine-qemu\\x2d1\\x2ddebian.scope"),
        (f"/machine.slice/libpod-conmon-{WEB}.scope", f"libpod-conmon-{WEB}.scope"),
        (f"/system.slice/crio-conmon-{WEB}.scope", f"crio-conmon-{WEB}.scope"),
        (f"/system.slice/docker-{WEB[:-1]}.scope", f"docker-{WEB[:-1]}.scope"),
        (f"/system.slice/run-docker-{WEB}.mount", "system.slice"),
        (f"{USER}/app.slice/web.service/runtime", "web.service"),
    ],
)
def test_what_is_in_no_container_belongs_to_a_unit(path: str, unit: str) -> None:
    found = identify(path)
    assert found is not None
    assert (found.runtime, found.id, found.name) == ("systemd", unit, unit)


@pytest.mark.parametrize("path", ["/", "", "/user", "/docker", "/lxc", f"/libpod_parent/{POD}", "/docker/buildkit/xyz"])
def test_paths_of_neither(path: str) -> None:
    assert identify(path) is None


@pytest.mark.parametrize(
    ("path", "container_id"),
    [
        (f"{POD_SLICE}/cri-containerd-{WEB}.scope/docker/{DB}", DB),
        (f"/docker/{WEB}/kubelet.slice/kubelet-kubepods.slice/cri-containerd-{DB}.scope", DB),
        (f"/lxc.payload.host/system.slice/docker-{DB}.scope", DB),
        (f"/system.slice/docker-{WEB}.scope/libpod_parent/libpod-conmon-{DB}", WEB),
    ],
)
def test_the_innermost_container_counts(path: str, container_id: str) -> None:
    found = identify(path)
    assert found is not None
    assert found.id == container_id


@pytest.mark.parametrize(
    ("path", "uid"),
    [
        (f"{POD_SLICE}/cri-containerd-{WEB}.scope", UID),
        (f"{POD_FOLDER}/{WEB}", UID),
        (f"{POD_SLICE}/cri-containerd-{WEB}.scope/docker/{DB}", UID),
        (f"/kubepods/besteffort/pod{STATIC_POD}/{WEB}", STATIC_POD),
        (f"/kubepods.slice/kubepods-pod{STATIC_POD}.slice/crio-{WEB}.scope", STATIC_POD),
        (f"/machine.slice/machine-libpod_pod_{POD}.slice/libpod-{WEB}.scope", None),
        (f"/docker/{WEB}", None),
    ],
)
def test_the_pod_of_a_path(path: str, uid: str | None) -> None:
    found = identify(path)
    assert found is not None
    assert found.pod_uid == uid


@pytest.mark.parametrize(
    ("path", "user"),
    [
        (f"{USER}/user.slice/libpod-{WEB}.scope", 1000),
        (f"/user.slice/user-12.slice/session-3.scope/libpod-payload-{WEB}", 12),
        (f"/system.slice/docker-{WEB}.scope/user.slice/user-7.slice", None),
        (f"/machine.slice/libpod-{WEB}.scope", None),
    ],
)
def test_whose_rootless_container_it_is(path: str, user: int | None) -> None:
    found = identify(path)
    assert found is not None
    assert found.user == user


def test_how_deep_the_containers_own_cgroup_is() -> None:
    for path, depth in ((f"/docker/{WEB}", 2), (f"/docker/{WEB}/a/b", 2), ("/lxc.payload.web/x", 1), ("/lxc/w/ns", 2)):
        found = identify(path)
        assert found is not None
        assert found.depth == depth


def test_a_unit_name_can_not_smuggle_an_escape_in() -> None:
    found = identify("/machine.slice/machine-a\\x1b[31m.scope")
    assert found is not None
    assert found.name == "a\\x1b[31m"
