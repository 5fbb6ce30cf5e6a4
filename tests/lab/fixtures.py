"""The lab as pytest fixtures; tests/kernel/conftest.py brings them in."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab import bpf_objects
from tests.lab.actor import Actor
from tests.lab.cgroup import ChildCgroup
from tests.lab.net import NetLab


@pytest.fixture
def root() -> None:
    """A kernel test without root proves nothing: it fails, so that nobody takes it for passed."""
    if os.geteuid() != 0:
        pytest.fail("needs root: run `sudo bin/test`")


@pytest.fixture
def net_lab(root: None) -> Iterator[NetLab]:
    """Two namespaces and a wire, with packets of many segments as on real machines."""
    with NetLab() as lab:
        yield lab


@pytest.fixture
def segment_lab(root: None) -> Iterator[NetLab]:
    """The same with one segment a packet, so that a rule drops exactly the segments it names."""
    with NetLab(gso=False) as lab:
        yield lab


@pytest.fixture
def client() -> Iterator[Actor]:
    """A process for the connecting end, in the test's network namespace."""
    with Actor("ebt-client") as actor:
        yield actor


@pytest.fixture
def server() -> Iterator[Actor]:
    """A process for the listening end, in the test's network namespace."""
    with Actor("ebt-server") as actor:
        yield actor


@pytest.fixture
def child_cgroup(root: None) -> Iterator[ChildCgroup]:
    """A cgroup where containers would be."""
    with ChildCgroup() as cgroup:
        yield cgroup


@pytest.fixture
def no_bpf_left(root: None) -> Iterator[None]:
    """The test must close every BPF object that it opens in this process."""
    before = bpf_objects.held_by(os.getpid())
    yield
    left = bpf_objects.held_by(os.getpid()) - before
    assert not left, f"the test left open: {left}"
