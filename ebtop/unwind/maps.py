"""The maps of bpf/unwind.h, which all probes with stacks share and user space fills."""

from __future__ import annotations

SHARED_MAPS = (
    "unwind_table",
    "unwind_tables",
    "unwind_uses",
    "unwind_mappings",
    "unwind_processes",
    "unwind_files",
    "unwind_file_numbers",
    "unwind_strangers",
    "unwind_control",
    "unwind_cache",
    "unwind_cached",
    "unwind_raw",
)
INNER = {"unwind_tables": "unwind_table"}
"""Arrays of maps, and the shared map that those in it are like."""
MAPPINGS = 32 << 10
SIZES = {"unwind_mappings": MAPPINGS}
"""Maps with other sizes than the C file says."""
