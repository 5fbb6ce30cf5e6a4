"""One artifact inside the kernel: maps made, programs patched, verified and attached, and all of it gone again."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, NamedTuple

from ebtop.errors import EbtopError
from ebtop.kernel import accounting, attach, counters, relocation, syscall
from ebtop.kernel.artifact import Artifact, MapSpec
from ebtop.kernel.attach import Hook, Iterator, PeriodSampler, RawTracepoint, Sampler, TailCall, Tracepoint
from ebtop.kernel.environment import Environment
from ebtop.kernel.maps import Map
from ebtop.kernel.ring import Ring
from ebtop.kernel.syscall import Cmd

_LICENSE = "GPL"
_LOG_BYTES = 1 << 20
_LOG_TAIL_LINES = 6
_PROG_ATTR_SIZE = 120
_GONE_TIMEOUT_S = 2.0
_DRAIN_LIMIT = 1000


class Attachment(NamedTuple):
    """A program of the artifact and where it goes."""

    program: str
    hook: Hook


class LoadError(EbtopError):
    """The kernel refused a program or an attachment. `log` holds the tail of the verifier's words."""

    def __init__(self, what: str, why: str, fix: str = "", log: str = "") -> None:
        super().__init__(what, why, fix)
        self.log = log


class Unloaded(NamedTuple):
    """What an unload did, read back from the kernel."""

    programs: int
    maps: int
    seconds: float
    remaining_ids: tuple[str, ...]


class Module:
    """A loaded artifact. Not thread-safe: one thread drains and unloads."""

    def __init__(
        self,
        artifact: Artifact,
        attachments: Sequence[Attachment],
        environment: Environment,
        *,
        maps: Sequence[MapSpec] | None = None,
        shared: Mapping[str, Map] | None = None,
        constants: Mapping[str, int] | None = None,
        later: Sequence[Attachment] = (),
    ) -> None:
        """Load and attach, or leave nothing behind and raise LoadError.

        `maps` are the artifact's with other sizes or flags, in the same order; maps in `shared` belong to someone
        else and are used in place of the artifact's own of that name. `constants` are this module's alone, as
        "probe.name". What fills slots of program arrays may come `later`, with `attach_later`.
        """
        self.name = artifact.name
        self.artifact = artifact
        self.maps: dict[str, Map] = {}
        self._shared = set(shared or ())
        self._programs: dict[str, int] = {}
        self._links: dict[str, list[int]] = {}
        self._iterators: dict[str, int] = {}
        self._rings: dict[str, Ring] = {}
        self._later: list[tuple[Attachment, bytearray]] = []
        try:
            self._create_maps(maps or artifact.maps, shared or {})
            codes = self._fitted(environment, constants or {})
            self._later = [(attachment, codes[attachment.program]) for attachment in later]
            for attachment in attachments:
                self._load(*attachment, codes[attachment.program], environment)
            for attachment in attachments:
                self._attach(attachment, environment)
        except BaseException:
            self.close()
            raise

    def ring(self, map_name: str, layout: str) -> Ring:
        """A reader for one of the artifact's ring buffers."""
        if map_name not in self._rings:
            self._rings[map_name] = Ring(self.maps[map_name], self.artifact.layouts[layout])
        return self._rings[map_name]

    def drain(self, map_name: str, layout: str) -> list[tuple[Any, ...]]:
        """Records of one ring buffer, some thousands at most, as Ring.drain gives them."""
        return self.ring(map_name, layout).drain(_DRAIN_LIMIT)

    def pull(self) -> float:
        """Empty the kernel's side of all rings; from any thread. Returns how full the fullest was, 0..1."""
        return max((ring.pull() for ring in tuple(self._rings.values())), default=0.0)

    @property
    def waiting(self) -> bool:
        """Whether there is more to drain at once."""
        return any(ring.waiting for ring in self._rings.values())

    @property
    def dropped(self) -> int:
        """Records that were pulled and then given up, because draining fell too far behind."""
        return sum(ring.lost for ring in self._rings.values())

    def attach_later(self) -> None:
        """Load and attach what was left for later: the programs of each program array, or none of them.

        Raises LoadError, the first of them; the rest works on without.
        """
        later, self._later = self._later, []
        failed: list[LoadError] = []
        for _, group in groupby(later, lambda item: getattr(item[0].hook, "program_array", "")):
            chain = list(group)
            try:
                for (program, hook), code in chain:
                    if program not in self._programs:  # which may fill several slots
                        self._load(program, hook, code)
                for attachment, _ in chain:
                    self._attach(attachment)
            except LoadError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def detach(self) -> None:
        """Stop the programs from running; what they left in the maps can still be read."""
        _close_all([fd for links in self._links.values() for fd in links])
        self._links.clear()

    def change_sampler(self, program: str, hook: Sampler) -> None:
        """Run a program by this sampler instead of its own. Raises EbtopError and changes nothing if it can't."""
        new = self._attach_to(program, lambda fd: attach.sampler(fd, hook), hook)
        _close_all(self._links.pop(program, []))
        self._links[program] = new

    def read_iterator(self, program: str) -> bytes:
        """Everything one walk of an iterator program writes."""
        parts = []
        fd = attach.open_iterator(self._iterators[program])
        with os.fdopen(fd, "rb", buffering=0) as file:
            while part := file.read(1 << 18):
                parts.append(part)
        return b"".join(parts)

    def counters(self) -> counters.Counters:
        """Events and losses so far."""
        return counters.decode(self.maps["counters"].percpu_u64())

    @property
    def ring_fill(self) -> float:
        """Fullest of the rings that are being read, 0..1."""
        return max((ring.fill for ring in self._rings.values()), default=0.0)

    def program_fds(self) -> dict[str, int]:
        """Program name to file descriptor."""
        return dict(self._programs)

    def own_maps(self) -> dict[str, Map]:
        """The maps that go when this module goes."""
        return {name: m for name, m in self.maps.items() if name not in self._shared}

    def close(self) -> None:
        """Detach, unload and free; safe to repeat."""
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()
        self.detach()
        _close_all(list(self._iterators.values()))
        self._iterators.clear()
        _close_all(list(self._programs.values()))
        self._programs.clear()
        for bpf_map in self.own_maps().values():
            bpf_map.close()
        self.maps.clear()

    def unload(self) -> Unloaded:
        """Close, then ask the kernel by id whether every program and map is really gone."""
        programs = [accounting.program_id(fd) for fd in self._programs.values()]
        maps = [accounting.map_id(m.fd) for m in self.own_maps().values()]
        began = time.monotonic()
        self.close()
        remaining = accounting.wait_until_gone(programs, maps, _GONE_TIMEOUT_S)
        return Unloaded(len(programs), len(maps), time.monotonic() - began, remaining)

    def _create_maps(self, specs: Sequence[MapSpec], shared: Mapping[str, Map]) -> None:
        for spec in specs:
            if spec.name in shared:
                self.maps[spec.name] = shared[spec.name]
                continue
            self.maps[spec.name] = create_map(self.name, spec)

    def _fitted(self, environment: Environment, constants: Mapping[str, int]) -> dict[str, bytearray]:
        """The code of each program for this kernel and these maps."""
        fds = {i: self.maps[spec.name].fd for i, spec in enumerate(self.artifact.maps)}
        values = environment.target.resolve(self.artifact.relocations, constants)
        codes = {p.name: bytearray(relocation.replace_maps(p.code, fds)) for p in self.artifact.programs}
        for code in codes.values():
            relocation.patch(code, values)
        return codes

    def _load(self, program: str, hook: Hook, code: bytearray, environment: Environment | None = None) -> None:
        attach_type = attach_id = 0
        if isinstance(hook, Iterator):
            attach_type = hook.expected_attach_type
            assert environment is not None
            found = environment.target.btf.function(f"bpf_iter_{hook.target}")
            if found is None:
                what = f"this kernel has no {attach.describe(hook)} for bpf/{self.name}.c"
                raise LoadError(what, "not in its BTF")
            attach_id = found
        self._programs[program] = self._verified(program, hook, code, attach_type, attach_id)

    def _verified(self, program: str, hook: Hook, code: bytearray, attach_type: int, attach_id: int) -> int:
        try:
            return _prog_load(program, hook.prog_type, code, attach_type, attach_id, None)
        except OSError as first:
            log = bytearray(_LOG_BYTES)
            with contextlib.suppress(OSError):
                # Only the log of this second try is wanted; should it work after all, so much the better.
                return _prog_load(program, hook.prog_type, code, attach_type, attach_id, log)
            text = log.partition(b"\0")[0].decode("ascii", "replace").strip()
            tail = "\n".join(text.splitlines()[-_LOG_TAIL_LINES:])
            name = errno.errorcode.get(first.errno or 0, str(first.errno))
            raise LoadError(
                f"the kernel refused the program {program} of bpf/{self.name}.c", f"{name}, {first.strerror}",
                "" if text else _permission_fix(first), tail,
            ) from None  # fmt: skip

    def _attach(self, attachment: Attachment, environment: Environment | None = None) -> None:
        program, hook = attachment
        match hook:
            case RawTracepoint():
                links = self._attach_to(program, lambda fd: attach.raw_tracepoint(fd, hook), hook)
            case Tracepoint(event):
                assert environment is not None
                event_id = environment.event_id
                links = self._attach_to(program, lambda fd: attach.tracepoint(fd, event_id(event)), hook)
            case TailCall():
                links = self._attach_to(program, lambda fd: self._put(fd, hook), hook)
            case Sampler():
                links = self._attach_to(program, lambda fd: attach.sampler(fd, hook), hook)
            case PeriodSampler():
                links = self._attach_to(program, lambda fd: attach.period_sampler(fd, hook), hook)
            case Iterator():
                over = self.maps[hook.map].fd if hook.map else None
                (self._iterators[program],) = self._attach_to(program, lambda fd: attach.iterator(fd, over), hook)
                return
        self._links.setdefault(program, []).extend(links)

    def _put(self, program_fd: int, hook: TailCall) -> list[int]:
        self.maps[hook.program_array].update(struct.pack("=I", hook.slot), struct.pack("=I", program_fd))
        return []

    def _attach_to(self, program: str, attach_program: Callable[[int], list[int]], hook: Hook) -> list[int]:
        try:
            return attach_program(self._programs[program])
        except OSError as error:
            raise LoadError(
                f"can't attach bpf/{self.name}.c to {attach.describe(hook)}", error.strerror or str(error),
                _permission_fix(error),
            ) from None  # fmt: skip


def create_map(owner: str, spec: MapSpec, inner: Map | None = None) -> Map:
    """Raises LoadError, said by the artifact `owner`."""
    try:
        return Map(spec, inner)
    except OSError as error:
        raise LoadError(
            f"the kernel refused the map {spec.name} of bpf/{owner}.c ({spec.max_entries} entries)",
            error.strerror or str(error), _permission_fix(error),
        ) from None  # fmt: skip


def _prog_load(
    name: str, prog_type: int, code: bytearray, attach_type: int, attach_id: int, log: bytearray | None
) -> int:
    license_ = bytearray(_LICENSE.encode() + b"\0")
    attr = syscall.attr(
        "=IIQQIIQII16sII", prog_type, len(code) // 8, syscall.pointer(code), syscall.pointer(license_),
        1 if log else 0, len(log) if log else 0, syscall.pointer(log) if log else 0,
        0, 0, name.encode()[:15], 0, attach_type, size=_PROG_ATTR_SIZE,
    )  # fmt: skip
    if attach_id:
        struct.pack_into("=I", attr, 108, attach_id)
    return syscall.bpf(Cmd.PROG_LOAD, attr)


def _close_all(fds: list[int]) -> None:
    """Close in parallel: the kernel waits 70-95 ms for each perf tracepoint, with no lock of ours held."""
    if len(fds) > 1:
        with ThreadPoolExecutor(min(8, len(fds))) as pool:
            list(pool.map(os.close, fds))
    else:
        for fd in fds:
            os.close(fd)


def _permission_fix(error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        return "run as root, and see what `ebtop doctor` says about lockdown and capabilities"
    if error.errno == errno.ENOMEM:
        return "give it less memory with smaller maps, or free some"
    return ""
