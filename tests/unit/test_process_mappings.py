"""/proc/PID/maps."""

from __future__ import annotations

import os

from ebtop.process.mappings import MAPPINGS_MAX, parse_mappings, read_mappings

MAPS = b"""\
00400000-00401000 r--p 00000000 fe:01 100                                /opt/a program/bin
00401000-00402000 r-xp 00001000 fe:01 100                                /opt/a program/bin
7f0000000000-7f0000010000 r-xp 00000000 00:00 0 
7f0000100000-7f0000110000 r-xp 00002000 fe:01 101                        /usr/lib/libgone.so (deleted)
7f0000200000-7f0000210000 rwxp 00000000 00:01 102                        /memfd:jit\x1b[2J (deleted)
7f0000300000-7f0000310000 r-xp 00000000 fe:01 103                        /tmp/two\\012lines
7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""


def test_executable_mappings_only() -> None:
    mappings = parse_mappings(MAPS.splitlines(keepends=True))
    assert len(mappings) == 7
    assert mappings.find(0x400000) is None
    found = mappings.find(0x401FFF)
    assert found is not None
    assert (found.start, found.end, found.offset) == (0x401000, 0x402000, 0x1000)
    assert found.file == (os.makedev(0xFE, 1), 100, b"/opt/a program/bin", False)
    assert mappings.find(0x402000) is None


def test_kinds_of_mapped_things() -> None:
    mappings = parse_mappings(MAPS.splitlines(keepends=True))
    labels = {}
    for address in (0x401000, 0x7F0000000000, 0x7F0000100000, 0x7F0000200000, 0x7F0000300000, 0x7FFC00000000):
        found = mappings.find(address)
        assert found is not None
        labels[address] = (found.file.label, found.file.on_disk, found.file.deleted)
    assert list(labels.values()) == [
        ("bin", True, False),
        ("", False, False),
        ("libgone.so", True, True),
        ("memfd:jit\\x1b[2J", True, True),
        ("two\\x0alines", True, False),
        ("[vdso]", False, False),
    ]


def test_last_address_of_the_space() -> None:
    assert parse_mappings(MAPS.splitlines()).find((1 << 64) - 1) is None
    assert parse_mappings(MAPS.splitlines()).find(-1) is None


def test_lines_that_are_none() -> None:
    lines = [b"", b"x", b"zz-yy r-xp 0 0:0 0 /a", b"1000-2000 r-xp 0 00 0 /a", b"1000 r-xp 0 0:0 0", b"\0" * 50]
    assert len(parse_mappings(lines)) == 0


def test_a_process_with_too_many_mappings() -> None:
    lines = (b"%x-%x r-xp 00000000 00:00 0 \n" % (i << 13, (i << 13) + 4096) for i in range(1, MAPPINGS_MAX * 2))
    assert len(parse_mappings(lines)) == MAPPINGS_MAX


def test_equal_when_nothing_changed() -> None:
    assert read_mappings(os.getpid()) == read_mappings(os.getpid())
    assert parse_mappings(MAPS.splitlines()) != parse_mappings(MAPS.splitlines()[2:])
