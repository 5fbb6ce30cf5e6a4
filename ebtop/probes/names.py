"""The names people choose probes by; importing this costs nothing."""

DEFAULT = ("cpu", "exec", "tcp", "retransmits", "connects")
