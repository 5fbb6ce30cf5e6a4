"""The session: probes in the kernel on one side, batches of records on the other."""

from ebtop.session.live import LiveSource

__all__ = ["LiveSource"]
