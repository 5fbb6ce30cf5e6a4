"""Stacks as a pprof profile (profile.proto, gzip): for `pprof`, Parca, Pyroscope, Grafana, speedscope.

Mapping, location and function ids are 1, 2, 3.. in order, as Parca demands. Each kind of stacks has its own sample
types. A frame without a symbol is a location with its offset in the file, and its mapping has the build id, so that
others can still find its name.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence

from ebtop.export.about import About, completeness
from ebtop.export.folded_stack import CUT
from ebtop.export.protobuf import Strings, message, number, packed, varint
from ebtop.export.stack_sums import Profile, SummedStack
from ebtop.store.containers import ContainerLookup, no_containers
from ebtop.store.flame_paths import lacks_outermost
from ebtop.store.records import Frame, ModuleFacts, StackRecord

_SAMPLE_TYPES = {
    "cpu": (("samples", "count"), ("cpu", "nanoseconds")),
    "offcpu": (("waits", "count"), ("offcpu", "nanoseconds")),
    "faults": (("fault_samples", "count"), ("faults", "count")),
}
"""By kind: the number of samples, and what they weigh."""
_UNNAMED = re.compile(r"\[.*\+0x(?P<offset>[0-9a-f]{1,16})(\(\))?\]")
_KERNEL_FILE = "[kernel.kallsyms]"
"""What perf calls the kernel's own code, and pprof knows as not to be looked for on disk."""
_GZIP_LEVEL = 6

# Fields of the messages in profile.proto.
_SAMPLE_TYPE, _SAMPLE, _MAPPING, _LOCATION, _FUNCTION, _STRING_TABLE = 1, 2, 3, 4, 5, 6
_TIME_NANOS, _DURATION_NANOS, _PERIOD_TYPE, _PERIOD, _COMMENT, _DEFAULT_SAMPLE_TYPE = 9, 10, 11, 12, 13, 14


def pprof(
    profiles: Sequence[Profile],
    about: About,
    modules: Sequence[ModuleFacts] = (),
    containers: ContainerLookup = no_containers,
) -> bytes:
    """A whole file. Completeness, losses and limits are its comments (`pprof -comments`)."""
    return gzip.compress(_Encoder(profiles, modules, containers).encode(about), _GZIP_LEVEL, mtime=0)


class _Encoder:
    def __init__(
        self, profiles: Sequence[Profile], modules: Sequence[ModuleFacts], containers: ContainerLookup
    ) -> None:
        self._profiles = profiles
        self._containers = containers
        self._facts = {module.name: module for module in modules}
        """Of two files of one name the one seen last."""
        self._strings = Strings()
        self._mappings: dict[str, _Mapping] = {}
        self._functions: dict[tuple[str, str, int], int] = {}
        self._locations: dict[Frame, bytes] = {}
        """The varint of the id, by frame."""
        self._location_data: list[bytes] = []
        self._labels: dict[tuple[int, str, str, str | None, str, str], bytes] = {}

    def encode(self, about: About) -> bytes:
        types = [each for profile in self._profiles for each in _types(profile)] or [_SAMPLE_TYPES["cpu"][0]]
        samples: list[bytes] = []
        before = 0
        for profile in self._profiles:
            own = len(_types(profile))
            zeros_before, zeros_after = b"\0" * before, b"\0" * (len(types) - before - own)
            before += own
            for stack in profile.stacks:
                value = varint(stack.record.samples) + (varint(stack.weight) if own > 1 else b"")
                samples.append(self._sample(stack, zeros_before + value + zeros_after))
        return b"".join([*self._tables(types), *samples, *self._rest(about)])

    def _sample(self, stack: SummedStack, values: bytes) -> bytes:
        record, known = stack.record, self._locations
        ids = [known.get(frame) or self._location(frame) for frame in reversed(record.frames)]
        if lacks_outermost(record):
            ids.append(self._location(Frame(CUT, "cut", "")))
        return message(_SAMPLE, packed(1, ids) + message(2, values) + self._label(record))

    def _location(self, frame: Frame) -> bytes:
        found = self._locations.get(frame)
        if found is None:
            found = self._locations[frame] = varint(len(self._locations) + 1)
            self._location_data.append(self._location_of(frame, len(self._locations)))
        return found

    def _location_of(self, frame: Frame, location_id: int) -> bytes:
        mapping = self._mapping(frame)
        offset = _UNNAMED.fullmatch(frame.name) if frame.kind == "unknown" and frame.module else None
        address = int(offset["offset"], 16) if offset else 0
        if mapping is not None:
            mapping.limit = max(mapping.limit, address + 1)
            mapping.named = mapping.named and not offset
        key = (frame.name, frame.file, frame.line)
        function_id = self._functions.setdefault(key, len(self._functions) + 1)
        # One with a build id is named by whoever has the symbols: a line would stand in the way of that.
        line = b"" if offset and mapping and mapping.build_id else message(4, number(1, function_id))
        return number(1, location_id) + number(2, mapping.id if mapping else 0) + number(3, address) + line

    def _mapping(self, frame: Frame) -> _Mapping | None:
        if frame.kind == "kernel":
            name = f"[{frame.module}]" if frame.module not in ("", "kernel", "vmlinux") else _KERNEL_FILE
        elif frame.module and frame.kind != "interpreted":
            name = frame.module
        else:
            return None
        mapping = self._mappings.get(name)
        if mapping is None:
            facts = self._facts.get(name)
            path, build_id = (facts.path, facts.build_id) if facts else (name, "")
            mapping = self._mappings[name] = _Mapping(len(self._mappings) + 1, path or name, build_id)
        return mapping

    def _label(self, record: StackRecord) -> bytes:
        key = (record.pid, record.comm, record.thread, record.cgroup, record.state, record.waker)
        found = self._labels.get(key)
        if found is None:
            container = self._containers(record.cgroup)
            texts = {
                "pid": str(record.pid), "comm": record.comm, "thread": record.thread or record.comm,
                "state": record.state, "waker": record.waker,
            }  # fmt: skip
            if container is not None and container.runtime != "systemd":
                texts |= {"container": container.name or container.id, "pod": container.pod or ""}
                texts["namespace"] = container.namespace or ""
            found = self._labels[key] = b"".join(
                [
                    message(3, number(1, self._strings(name)) + number(2, self._strings(text)))
                    for name, text in texts.items()
                    if text
                ]
            )
        return found

    def _tables(self, types: list[tuple[str, str]]) -> list[bytes]:
        return [message(_SAMPLE_TYPE, self._value_type(*each)) for each in types]

    def _rest(self, about: About) -> list[bytes]:
        """What comes after the samples, which have filled the tables; the strings last."""
        strings = self._strings
        data = [message(_MAPPING, mapping.encode(strings)) for mapping in self._mappings.values()]
        data += [message(_LOCATION, each) for each in self._location_data]
        for (name, file, start_line), function_id in self._functions.items():
            fields = number(1, function_id) + number(2, strings(name)) + number(3, strings(name))
            data.append(message(_FUNCTION, fields + number(4, strings(file)) + number(5, start_line)))
        data += [number(_TIME_NANOS, about.from_ns), number(_DURATION_NANOS, max(0, about.until_ns - about.from_ns))]
        cpu = next((profile for profile in self._profiles if profile.kind == "cpu"), None)
        if cpu and cpu.timed:
            data += [message(_PERIOD_TYPE, self._value_type("cpu", "nanoseconds")), number(_PERIOD, cpu.periods[0])]
            data.append(number(_DEFAULT_SAMPLE_TYPE, strings("cpu")))
        comments = [*about.lines(), *map(completeness, self._profiles)]
        data.append(packed(_COMMENT, [varint(strings(line)) for line in comments]))
        data += [message(_STRING_TABLE, text) for text in strings.all()]
        return data

    def _value_type(self, kind: str, unit: str) -> bytes:
        return number(1, self._strings(kind)) + number(2, self._strings(unit))


def _types(profile: Profile) -> tuple[tuple[str, str], ...]:
    """Of a kind's stacks; CPU samples of an unknown period have no time."""
    types = _SAMPLE_TYPES.get(profile.kind, ((profile.kind, "count"),))
    return types if profile.kind != "cpu" or profile.timed else types[:1]


class _Mapping:
    """A file that code lies in. Addresses are offsets in the file: where it was mapped to is not known."""

    def __init__(self, mapping_id: int, path: str, build_id: str) -> None:
        self.id = mapping_id
        self.build_id = build_id
        self.limit = 1
        self.named = True
        self._path = path

    def encode(self, strings: Strings) -> bytes:
        return (
            number(1, self.id)
            + number(3, -(-self.limit // 4096) * 4096)
            + number(5, strings(self._path))
            + number(6, strings(self.build_id))
            + number(7, self.named)
        )
