"""ebtop: what a Linux node is doing right now, from eBPF, in one terminal."""

__version__ = "0.1.0"
