"""A control group of the test's own, in whatever hierarchy this machine has."""

from __future__ import annotations

import errno
import itertools
import os
import time
from pathlib import Path
from types import TracebackType

from tests.lab.process import TIMEOUT_S

_serial = itertools.count()


def hierarchies() -> dict[int, Path]:
    """Where cgroups can be made: {1: mount point of the v1 memory controller, 2: of the v2 hierarchy}, or one of them.

    Source: /proc/self/mountinfo.
    """
    found: dict[int, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        mount_point = Path(before.split()[4])
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            found.setdefault(2, mount_point)
        elif kind == "cgroup" and "memory" in options.split(","):
            found.setdefault(1, mount_point)
    return found


class ChildCgroup:
    """A new cgroup directly below a root, or in `parent`; removed with the `with` block, when its processes are gone.

    `version` 1 or 2; by default the hierarchy that containers use here: v1 where the memory controller is v1.
    """

    def __init__(self, version: int | None = None, parent: ChildCgroup | None = None) -> None:
        roots = hierarchies()
        self.version = parent.version if parent else version or min(roots)
        self.name = f"ebt-{os.getpid()}-{next(_serial)}"
        self.root = roots[self.version]
        self.directory = (parent.directory if parent else self.root) / self.name
        self.directory.mkdir()

    @property
    def path(self) -> str:
        """As /proc/PID/cgroup shows it."""
        return f"/{self.directory.relative_to(self.root)}"

    @property
    def id(self) -> int:
        """What the kernel calls it (cgroup->kn->id)."""
        return self.directory.stat().st_ino

    def add(self, pid: int) -> None:
        """Move a process in."""
        (self.directory / "cgroup.procs").write_text(str(pid))

    def enter(self) -> None:
        """Move the caller in: what a Workload takes as `enter`."""
        self.add(0)

    def __enter__(self) -> ChildCgroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove it. The kernel refuses until the last process has left, which takes a moment after its end."""
        deadline = time.monotonic() + TIMEOUT_S
        while not self._removed():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.directory} still has processes")
            time.sleep(0.005)

    def _removed(self) -> bool:
        try:
            self.directory.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True
