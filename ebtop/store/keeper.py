"""What screens need of whatever keeps the past: the live timeline, or a snapshot file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ebtop.store.evidence import Note
from ebtop.store.rows import Rates, Snapshot, StackSpan
from ebtop.store.selection import Selection
from ebtop.store.ticks import Tick
from ebtop.store.view import View

if TYPE_CHECKING:
    from ebtop.store.timeline import Kept


class Keeper(Protocol):
    """All methods may be called from any thread. `view`, `at` and `spans` may take a while."""

    def view(self, selection: Selection | None = None) -> View:
        """A look at the newest."""

    def at(self, time_ns: int, selection: Selection | None = None) -> Snapshot:
        """How it was at a moment."""

    def spans(self, seconds: float, until_ns: int | None = None, selection: Selection | None = None) -> list[StackSpan]:
        """The stacks that came in during so many seconds up to a moment, oldest first; None = the newest."""

    def rates(self) -> Rates:
        """Of everything, at the newest moment."""

    def mark(self, tick: Tick) -> None:
        """Remember this second."""

    def ticks(self) -> Sequence[Tick]:
        """Oldest first."""

    def healths(self, until_ns: int, count: int) -> Sequence[Tick]:
        """The last ticks up to a moment with all that belongs to them, so many at most, oldest first."""

    def narrowed_to(self, text: str) -> None:
        """From now on the kernel drops what is outside of this; "" = nothing."""

    def narrowed_at(self, time_ns: int) -> str:
        """What was narrowed to last before or at a moment."""

    def note(self, text: str, time_ns: int | None = None) -> None:
        """Write something down about a moment; None = now."""

    def notes(self) -> Sequence[Note]:
        """Oldest first."""

    @property
    def kept(self) -> Kept: ...
