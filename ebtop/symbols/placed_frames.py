"""Frames of places in files: named without knowing anything of the process that was sampled."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from ebtop.cpython.build import Build
from ebtop.process.mappings import Mappings
from ebtop.process.places import OFFSET_BITS, PLACE_IN_FILE, Files, KnownFile, split
from ebtop.store.records import Frame
from ebtop.store.unnamed import ENDED, UNKNOWN, is_address_only
from ebtop.symbols.binaries import Binaries
from ebtop.symbols.binary import Binary
from ebtop.symbols.file_frames import cached_frame, unnamed
from ebtop.symbols.frames import FrameCache
from ebtop.symbols.interpreters import Walking
from ebtop.symbols.new_modules import NewModules
from ebtop.symbols.spans import Spans

_LOOK_AGAIN_S = 1.0
_FILES_MAX = 4096
_FILE_BYTES = 300
_PLACES_MAX, _PLACE_BYTES = 16384, 110
_PYTHONS_MAX = 256


class _Found(NamedTuple):
    """A file, and what its symbols said when they were last looked at."""

    file: KnownFile
    serial: int
    """As in `Binary`; 0: it could not be read."""
    looked_at: float
    """By time.monotonic."""


class PlacedPython(NamedTuple):
    """CPython in a file."""

    build: Build
    evaluators: tuple[range, ...]
    """Places in the function that runs Python functions."""

    def evaluates(self, place: int) -> bool:
        """Whether a place lies in the function that runs Python functions."""
        return any(place in part for part in self.evaluators)


class PlacedFrames:
    """Places to frames. One thread only."""

    def __init__(self, files: Files, binaries: Binaries, modules: NewModules, frames: FrameCache) -> None:
        self._files = files
        self._binaries = binaries
        self._modules = modules
        self._frames = frames
        self._known: dict[int, Frame] = {}
        """By place; all are forgotten when there are too many, as the cache of frames has them as well."""
        self._functions = Spans()
        """By place as well."""
        self._pythons: dict[int, PlacedPython] = {}
        """By what places in the file begin with."""
        self._new_pythons: dict[int, Walking] = {}
        self._found: dict[int, _Found] = {}
        """By the number of the file."""

    @property
    def memory_bytes(self) -> int:
        return len(self._found) * _FILE_BYTES + len(self._known) * _PLACE_BYTES + self._functions.nbytes

    def python(self, user: Sequence[int]) -> PlacedPython | None:
        """The CPython whose code a stack of places leads through, as far as that is known."""
        if self._pythons:
            for prefix in {place >> OFFSET_BITS for place in user}:
                if prefix in self._pythons:
                    return self._pythons[prefix]
        return None

    def runs_known_python(self, mappings: Mappings) -> bool:
        """Whether one of these is of a file of which the kernel was told that it holds CPython."""
        known = {found.file.mapping.file for number, found in self._found.items() if _prefix(number) in self._pythons}
        return any(mapping.file in known for mapping in mappings)

    def new_pythons(self) -> dict[int, Walking]:
        """How to walk what runs Python by the numbers of the files, what is new since the last time; see Walking."""
        new, self._new_pythons = self._new_pythons, {}
        return new

    def addresses(self, user: Sequence[int], mappings: Mappings) -> Sequence[int]:
        """A stack with the addresses in a process for places in its files, as far as it has those mapped."""
        if not user or max(user) < PLACE_IN_FILE:
            return user
        return [self._address(at, mappings) if at >= PLACE_IN_FILE else at for at in user]

    def frames(self, user: Sequence[int]) -> tuple[list[Frame], bool]:
        """The functions of a stack of which nobody knows the process, and whether they will always be these."""
        known = self._known
        frames = [known.get(place) or self.frame(place) for place in user]
        return frames, all(map(known.__contains__, user))

    def frame(self, place: int) -> Frame:
        """The function at a place. What will always be this one is known from then on."""
        if place < PLACE_IN_FILE:
            return ENDED
        frame = self._functions.find(place)
        if frame is not None:
            return self._remember(place, frame)
        number, offset = split(place)
        found = self._find(number)
        if found is None:
            return UNKNOWN
        file = found.file.mapping.file
        frame = self._frames.get((found.serial, file.label, offset)) if found.serial else None
        if frame is None:
            binary = self._look_at(number, found.file) if found.serial else None
            if binary is None:
                return unnamed(file, offset)
            frame = cached_frame(self._frames, binary, file, offset)
            self._note_function(binary, place, frame)
        return self._remember(place, frame)

    def _remember(self, place: int, frame: Frame) -> Frame:
        if len(self._known) >= _PLACES_MAX:
            self._known.clear()
        self._known[place] = frame
        return frame

    def _note_function(self, binary: Binary, place: int, frame: Frame) -> None:
        """Most places that are new lie in functions that are not."""
        address = binary.address(split(place)[1])
        if address is not None and not is_address_only(frame):
            begin, end = binary.extent(address)
            self._functions.add(place - (address - begin), place + (end - address), frame)

    def _find(self, number: int) -> _Found | None:
        found = self._found.get(number)
        if found is not None and (found.serial or time.monotonic() - found.looked_at < _LOOK_AGAIN_S):
            return found
        file = found.file if found is not None else self._files.get(number)
        if file is None:
            return None
        self._look_at(number, file)
        return self._found[number]

    def _look_at(self, number: int, file: KnownFile) -> Binary | None:
        """The symbols of a file, which are read again where there was no room for them meanwhile."""
        fd = self._files.take_open(number)
        try:
            binary = self._binaries.of_file(file, fd)
        finally:
            if fd is not None:
                os.close(fd)
        self._modules.note(file.mapping.file, binary, lambda: "it was gone before it was read")
        if number not in self._found and len(self._found) >= _FILES_MAX:
            del self._found[next(iter(self._found))]
        if binary is not None and binary.cpython is not None:
            self._note_python(number, file, binary, binary.cpython)
        self._found[number] = _Found(file, binary.serial if binary is not None else 0, time.monotonic())
        return binary

    def _note_python(self, number: int, file: KnownFile, binary: Binary, build: Build) -> None:
        address = binary.address(file.mapping.offset)
        if address is None or _prefix(number) in self._pythons:
            return
        if len(self._pythons) >= _PYTHONS_MAX:
            del self._pythons[next(iter(self._pythons))]
        shift = address - file.mapping.offset
        to_place = (_prefix(number) << OFFSET_BITS) - shift
        evaluators = tuple(range(part.start + to_place, part.stop + to_place) for part in build.evaluators)
        self._pythons[_prefix(number)] = PlacedPython(build, evaluators)
        if build.layout is not None:
            self._new_pythons[number] = Walking(build.runtime - shift, build.layout)

    def _address(self, place: int, mappings: Mappings) -> int:
        number, offset = split(place)
        found = self._find(number)
        if found is not None:
            for mapping in mappings:
                at = offset - mapping.offset
                if mapping.file == found.file.mapping.file and 0 <= at < mapping.end - mapping.start:
                    return mapping.start + at
        return place


def _prefix(number: int) -> int:
    """What all places in a file begin with."""
    return (PLACE_IN_FILE >> OFFSET_BITS) + number
