"""What an export says of itself: where and when it was taken, what it is about, and what is missing."""

from __future__ import annotations

from typing import Any, NamedTuple

from ebtop import __version__
from ebtop.export.stack_sums import Profile
from ebtop.export.timestamps import rfc3339
from ebtop.store.evidence import Note
from ebtop.units import count, duration, plural, share

SCHEMA = 1
"""Of the header objects; goes up when a field changes its meaning."""


class Loss(NamedTuple):
    """Records that were not delivered."""

    probe: str
    reason: str
    records: int


class About(NamedTuple):
    """Goes into every format. Text is printable."""

    host: str = ""
    kernel: str = ""
    distribution: str = ""
    cpus: int = 0
    from_ns: int = 0
    """The span that the export covers, wall clock; 0 = not known."""
    until_ns: int = 0
    chosen: str = ""
    """The filter; "" = everything."""
    recorded: str = ""
    """What the kernel filtered while recording; "" = nothing."""
    losses: tuple[Loss, ...] = ()
    limits: tuple[str, ...] = ()
    """What the probes could not see there, one line each, and what of the file is missing."""
    notes: tuple[Note, ...] = ()
    masked: int | None = None
    """Secrets that were masked; None = masking was off."""
    title: str = ""

    @property
    def seconds(self) -> float:
        return max(0, self.until_ns - self.from_ns) / 1e9

    @property
    def lost(self) -> int:
        return sum(loss.records for loss in self.losses)

    @property
    def heading(self) -> str:
        """One line: whose, when, how long."""
        parts = [self.title or (f"ebtop on {self.host}" if self.host else "ebtop")]
        if self.from_ns:
            parts.append(f"{rfc3339(self.from_ns)[:19]}Z")
        if self.seconds:
            parts.append(duration(self.seconds))
        return ", ".join(parts)

    def lines(self, profile: Profile | None = None) -> list[str]:
        """What a reader has to know to trust the figures, for people."""
        return [*self.facts(profile), *self.limits, self.masked_line]

    def facts(self, profile: Profile | None = None) -> list[str]:
        """Of these where it is from and how complete it is."""
        lines = [self.heading]
        if self.host or self.kernel:
            node = ", ".join(part for part in (self.distribution, f"{self.cpus} CPUs" if self.cpus else "") if part)
            lines.append(f"node {self.host or '?'}, Linux {self.kernel or '?'}{f', {node}' if node else ''}")
        if self.chosen:
            lines.append(f"only what passes the filter {self.chosen}")
        if self.recorded:
            lines.append(f"recorded was only {self.recorded}")
        if profile is not None:
            lines.append(completeness(profile))
        lines.append(self.loss_line)
        return lines

    @property
    def masked_line(self) -> str:
        if self.masked is None:
            return "secrets were not masked"
        return f"{plural(self.masked, 'secret')} masked"

    @property
    def loss_line(self) -> str:
        if not self.losses:
            return "nothing was lost"
        parts = [f"{loss.probe} {count(loss.records)} ({loss.reason})" for loss in self.losses]
        return f"{plural(self.lost, 'record')} lost, counts are a floor: {', '.join(parts)}"

    def header(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "schema": SCHEMA,
            "ebtop": __version__,
            "host": self.host or None,
            "kernel": self.kernel or None,
            "distribution": self.distribution or None,
            "cpus": self.cpus or None,
            "clock": "UTC",
            "from": rfc3339(self.from_ns) if self.from_ns else None,
            "to": rfc3339(self.until_ns) if self.until_ns else None,
            "title": self.title or None,
            "filter": self.chosen or None,
            "recorded": self.recorded or None,
            "lost": self.lost,
            "losses": [loss._asdict() for loss in self.losses],
            "limits": list(self.limits),
            "notes": [{"time": rfc3339(note.time_ns), "text": note.text} for note in self.notes],
            "secrets_masked": self.masked,
        }


def completeness(profile: Profile) -> str:
    """How much of a profile is whole: 4,900 samples of on-CPU time, 97 % of it with whole stacks, ..."""
    if not profile.weight:
        return f"no samples of {profile.title}"
    whole = share(profile.whole_weight, profile.weight)
    rest = "" if profile.whole_weight == profile.weight else ", the rest marked [cut]"
    return f"{plural(profile.samples, 'sample')} of {profile.title}, {whole} of it with whole stacks{rest}"
