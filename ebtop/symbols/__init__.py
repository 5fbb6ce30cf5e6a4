"""Addresses to names: the kernel, ELF files, run-time compiled code. `symbolizer.Symbolizer` is the way in."""
