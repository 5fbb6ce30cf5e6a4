"""Start the workload, say how to look at nothing else, end it."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import ebtop
from ebtop.demo.cgroup import remove
from ebtop.errors import EbtopError
from ebtop.probes.filters import FilterSpec

_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from ebtop.demo.supervisor import main; sys.exit(main())"
_START_S, _END_S = 60.0, 10.0


class Demo:
    """The workload while the `with` block runs.

    with Demo() as demo:
        LiveSource(filter_spec=demo.filter_spec)
    """

    def __init__(self) -> None:
        """Raises EbtopError where the workload can't be had: it needs root. Nothing is left then."""
        root = Path(ebtop.__file__).parents[1]
        # A session of its own: what the terminal sends to ebtop's process group is not for the workload.
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-c", _CODE, str(root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.pid = self._supervisor.pid
        """The supervisor's; the workers are its children."""
        self.cgroup = ""
        """Path of the workload's cgroup; "" where none can be made."""
        self.notes: tuple[str, ...] = ()
        """What is different on this node, one line each."""
        try:
            self._read_answer()
        except BaseException:
            self.close()
            raise

    @property
    def filter_spec(self) -> FilterSpec:
        """The workload and nothing else."""
        if self.cgroup:
            return FilterSpec(cgroups=(self.cgroup,))
        return FilterSpec(pids=frozenset([self.pid]), children=True)

    def __enter__(self) -> Demo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it; returns when nothing is left. Safe to call twice."""
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        with contextlib.suppress(OSError):
            self._supervisor.stdin.close()
        try:
            self._supervisor.wait(_END_S)
        except subprocess.TimeoutExpired:
            # Its workers end with it.
            self._supervisor.kill()
            self._supervisor.wait()
        self._supervisor.stdout.close()
        if self.cgroup:
            remove(self.cgroup)

    def _read_answer(self) -> None:
        assert self._supervisor.stdout is not None
        line = b""
        if select.select([self._supervisor.stdout], [], [], _START_S)[0]:
            line = self._supervisor.stdout.readline()
        try:
            answer = json.loads(line)
        except ValueError:
            code = self._supervisor.poll()
            why = f"its supervisor ended with {code}" if code is not None else "its supervisor does not answer"
            raise EbtopError("the demo's workload did not start", why, "try again") from None
        if "error" in answer:
            raise EbtopError(*answer["error"])
        self.cgroup, self.notes = answer["cgroup"], tuple(answer["notes"])
