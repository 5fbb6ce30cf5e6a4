"""Which node this is, for what is kept of it."""

from __future__ import annotations

import os
import time

from ebtop.kernel.cpus import online_cpus
from ebtop.kernel.doctor.distribution import parse_os_release
from ebtop.store.evidence import HostFacts
from ebtop.text import clean

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
_MAX_BYTES = 64 << 10


def host_facts() -> HostFacts:
    """Source: uname(2), os-release, /proc/meminfo, CLOCK_BOOTTIME, sysfs. What can't be read is "" or 0."""
    node = os.uname()
    release = next(filter(None, map(_read, _OS_RELEASE)), "")
    local = time.localtime()
    return HostFacts(
        name=clean(node.nodename),
        kernel=clean(node.release),
        machine=node.machine,
        distribution=clean(parse_os_release(release).get("PRETTY_NAME", "")),
        cpus=len(online_cpus()),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        booted_ns=time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        clock=clean(_read(_CLOCK_SOURCE).strip()),
        timezone=local.tm_zone,
        utc_offset_s=local.tm_gmtoff,
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_BYTES)
    except OSError:
        return ""
