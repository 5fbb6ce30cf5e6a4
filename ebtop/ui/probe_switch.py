"""Takes probes out of the kernel and puts them back, in threads of its own, and tells what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from ebtop.errors import EbtopError
from ebtop.store.source import Source, UnloadProof
from ebtop.ui.proof import proof_text, proofs_text
from ebtop.units import duration

Tell = Callable[[str, str, str, "UnloadProof | None"], None]
"""Called from any thread with probe ("" = several), text, style, and the proof of an unloading."""


class ProbeSwitch:
    def __init__(self, source: Source, tell: Tell) -> None:
        self._source = source
        self._tell = tell
        self._busy: set[str] = set()

    def plan(self, probes: list[str]) -> tuple[bool, list[str]]:
        """Whether these probes would be unloaded (any of them is loaded) or loaded, and which of them."""
        states = {probe.name: probe.state for probe in self._source.health().probes}
        known = [probe for probe in probes if probe in states and probe not in self._busy]
        loaded = [probe for probe in known if states[probe] in ("on", "loading")]
        return bool(loaded), loaded or known

    def loaded_on_demand(self) -> list[str]:
        """Probes that are loaded although they were not asked for at the start."""
        known = self._source.probe_names
        return [
            probe.name
            for probe in self._source.health().probes
            if probe.state in ("on", "loading") and probe.name not in known and not probe.name.startswith("(")
        ]

    def begin(self, probes: list[str]) -> None:
        """These are being worked on; done when they have been told of."""
        self._busy.update(probes)

    def done(self, probe: str) -> None:
        self._busy.discard(probe)

    def unload(self, probes: list[str]) -> None:
        """Blocking."""
        proofs = []
        for probe in probes:
            try:
                proofs.append(self._source.unload(probe))
            except EbtopError as error:
                self._tell(probe, error.line(), "bad", None)
            else:
                style = "bad" if proofs[-1].remaining_ids else "good"
                self._tell(probe, proof_text(proofs[-1]), style, proofs[-1])
        if len(proofs) > 1:
            style = "bad" if any(proof.remaining_ids for proof in proofs) else "good"
            self._tell("", proofs_text(proofs), style, None)

    def load(self, probes: list[str]) -> None:
        """Blocking."""
        for probe in probes:
            began = time.monotonic()
            try:
                self._source.load(probe)
            except EbtopError as error:
                self._tell(probe, error.line(), "bad", None)
            else:
                self._tell(probe, f"{probe} loaded in {duration(time.monotonic() - began)}", "good", None)
