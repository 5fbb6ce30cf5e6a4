from __future__ import annotations

import random

import pytest

from ebtop.kernel import artifact as artifact_module
from ebtop.kernel.artifact import Artifact, ArtifactError, Layout, MapSpec, Program
from ebtop.kernel.relocation import Relocation

SAMPLE = Artifact(
    "sample",
    (MapSpec("events", 27, 0, 0, 4096, 0), MapSpec("counters", 6, 4, 8, 5, 1)),
    (Program("on_event", bytes(range(256))), Program("empty", b"")),
    {"event": Layout(("time", "comm"), "=Q16s4x"), "counters.value": Layout((), "=")},
    (Relocation("OFFSET", "task_struct", "tgid"),),
)


def test_what_is_dumped_comes_back() -> None:
    assert Artifact.parse(SAMPLE.dump()) == SAMPLE


def test_layout_size() -> None:
    assert SAMPLE.layouts["event"].size == 28


def test_no_flipped_bit_gets_through() -> None:
    """Within base64 a flipped bit is still well-formed, and would be other bytecode."""
    whole = SAMPLE.dump()
    draw = random.Random(1)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << draw.randrange(8)
        with pytest.raises(ArtifactError):
            Artifact.parse(bytes(damaged))


def test_no_cut_file_gets_through() -> None:
    whole = SAMPLE.dump()
    for length in range(len(whole)):
        with pytest.raises(ArtifactError):
            Artifact.parse(whole[:length])


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b"null", b"not json", b'{"format": %d}' % artifact_module.FORMAT, b"\xff\xfe"]
)
def test_well_formed_files_of_another_kind_are_refused(body: bytes) -> None:
    with pytest.raises(ArtifactError):
        Artifact.parse(artifact_module._checksum(body) + b"\n" + body)


def test_another_format_is_refused_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(artifact_module, "FORMAT", 1)
        old = SAMPLE.dump()
    with pytest.raises(ArtifactError, match=f"^format 1, not {artifact_module.FORMAT}$"):
        Artifact.parse(old)
