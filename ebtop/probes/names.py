"""The names people choose probes by; importing this costs nothing."""

DEFAULT = ("cpu", "exec", "tcp", "retransmits", "connects")

ON_DEMAND = ("offcpu", "faults")
"""Those that cost more than the screen takes without being asked."""
