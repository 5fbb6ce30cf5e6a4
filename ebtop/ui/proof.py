"""What unloading did, in words."""

from __future__ import annotations

from collections.abc import Sequence

from ebtop.store.source import UnloadProof
from ebtop.units import duration, plural


def proof_text(proof: UnloadProof) -> str:
    """One line: what was unloaded, how long it took, what is left."""
    text = f"{proof.probe} unloaded in {_summary([proof])}"
    return f"{text}; kept: {proof.kept}" if proof.kept else text


def proofs_text(proofs: Sequence[UnloadProof]) -> str:
    """The same for several probes together."""
    return f"{plural(len(proofs), 'probe')} unloaded in {_summary(proofs)}"


def _summary(proofs: Sequence[UnloadProof]) -> str:
    remaining = [name for proof in proofs for name in proof.remaining_ids]
    programs, maps = sum(proof.programs for proof in proofs), sum(proof.maps for proof in proofs)
    named = f" ({', '.join(remaining)})" if remaining else ""
    return (
        f"{duration(sum(proof.seconds for proof in proofs))}: "
        f"{plural(programs, 'program')}, {plural(maps, 'map')}, {len(remaining)} left{named}"
    )
