"""Workloads that know their own truth.

Each is a small C program under c/, compiled on first use, that does a known thing to the kernel and prints what
it did as JSON. A test of a probe runs one and compares what the probe saw with what the workload says it did.

Byte strings (argv, file names) are printed one byte a character; `text.encode("latin-1")` gives them back.
"""
