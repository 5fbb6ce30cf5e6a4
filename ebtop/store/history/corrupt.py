"""What is said of kept data that can not be read."""

from __future__ import annotations

from ebtop.errors import EbtopError


class CorruptData(EbtopError):
    """Bytes that the codec did not write, or that were changed since."""

    def __init__(self, why: str) -> None:
        super().__init__("kept data can not be read", why, "record it again")
