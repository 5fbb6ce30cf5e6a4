"""What the compiler makes of one C file: bytecode, maps, record layouts and relocations. Fits any kernel."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from typing import NamedTuple

from ebtop.kernel.relocation import Relocation

FORMAT = 5
"""Raised whenever what is stored, or how a program expects to be loaded, changes."""


class ArtifactError(ValueError):
    """Bytes that are not an artifact of this format."""


class MapSpec(NamedTuple):
    """A map as the C source declares it; the loader may give it another size."""

    name: str
    type: int
    """enum bpf_map_type."""
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class Program(NamedTuple):
    """A program before relocation; an instruction that loads map i has i as its immediate."""

    name: str
    code: bytes


class Layout(NamedTuple):
    """How a C struct lies in memory: field names and a struct format of the same order, padding included."""

    fields: tuple[str, ...]
    format: str

    @property
    def size(self) -> int:
        return struct.calcsize(self.format)


class Artifact(NamedTuple):
    """One compiled C file."""

    name: str
    maps: tuple[MapSpec, ...]
    programs: tuple[Program, ...]
    layouts: dict[str, Layout]
    """By struct name; keys and values of maps under `MAP.key` and `MAP.value`."""
    relocations: tuple[Relocation, ...]

    def dump(self) -> bytes:
        """The artifact as bytes for a file: a checksum on a line of its own, then JSON."""
        body = json.dumps(
            {
                "format": FORMAT,
                "name": self.name,
                "maps": self.maps,
                "programs": [(p.name, base64.b64encode(p.code).decode()) for p in self.programs],
                "layouts": self.layouts,
                "relocations": self.relocations,
            }
        ).encode()
        return _checksum(body) + b"\n" + body

    @classmethod
    def parse(cls, data: bytes) -> Artifact:
        """The artifact in a file's bytes. Raises ArtifactError on anything else than what `dump` writes."""
        checksum, _, body = data.partition(b"\n")
        if checksum != _checksum(body):
            raise ArtifactError("damaged, or not an artifact")
        try:
            raw = json.loads(body)
            if raw["format"] != FORMAT:
                raise ArtifactError(f"format {raw['format']}, not {FORMAT}")
            return cls(
                str(raw["name"]),
                tuple(MapSpec(str(m[0]), *(int(v) for v in m[1:])) for m in raw["maps"]),
                tuple(Program(str(n), base64.b64decode(c, validate=True)) for n, c in raw["programs"]),
                {str(n): Layout(tuple(f), str(fmt)) for n, (f, fmt) in raw["layouts"].items()},
                tuple(Relocation(*(str(part) for part in r)) for r in raw["relocations"]),
            )
        except ArtifactError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(str(error) or type(error).__name__) from None


def _checksum(body: bytes) -> bytes:
    """A flipped bit would otherwise be bytecode for the kernel."""
    return hashlib.sha256(body).hexdigest().encode()
