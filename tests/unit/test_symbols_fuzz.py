"""Whatever bytes come from files and processes: names or none, never an exception, never without end."""

from __future__ import annotations

import lzma
import struct

from hypothesis import example, given
from hypothesis import strategies as st
from symbols_samples import image

from ebtop.process.elf import BytesReader, ElfError, ElfFile
from ebtop.store.records import Frame
from ebtop.symbols.binary import Binary
from ebtop.symbols.demangle import demangle
from ebtop.symbols.mini_debug_info import mini_debug_info
from ebtop.symbols.perf_map import PerfMap

_LETTERS = "_ZNKLSTIJXERPOFAMDBCUGHhvtsrc0123456789aboidzwy$.xé"
_GRAMMAR = st.text(alphabet=_LETTERS, max_size=200)
_ADDRESSES = st.integers(0, (1 << 64) - 1)


@given(
    st.one_of(_GRAMMAR, st.text(max_size=50)), st.sampled_from(["_Z", "_ZN", "_ZNK", "_R", "_RNv", "_RINvC1a1b", ""])
)
@example("ZZZZZZZZ", "_Z")
@example("IJIJIJIJ", "_ZN1a")
def test_demangling_any_text(text: str, prefix: str) -> None:
    symbol = prefix + text
    name = demangle(symbol)
    assert bool(name) == bool(symbol)
    assert "\0" not in name or "\0" in symbol
    assert len(name) < 20_000


@given(
    st.lists(st.tuples(_ADDRESSES, st.integers(0, 1 << 33), st.binary(max_size=40)), max_size=30),
    st.binary(),
    _ADDRESSES,
)
def test_perf_maps_of_any_lines(entries: list[tuple[int, int, bytes]], junk: bytes, address: int) -> None:
    perf_map = PerfMap()
    perf_map.extend(junk)
    for start, size, name in entries:
        perf_map.extend(b"%x %x %s\n" % (start, size, name))
    for at in (address, *[start for start, _, _ in entries]):
        frame = perf_map.frame(at & (1 << 64) - 1)
        assert frame is None or (isinstance(frame, Frame) and frame.name.isprintable())


@given(
    st.lists(st.tuples(st.integers(0, 0x2300), st.binary(min_size=1, max_size=9)), max_size=12), st.integers(0, 0x2400)
)
def test_elf_files_with_any_bytes_changed(changes: list[tuple[int, bytes]], length: int) -> None:
    data = bytearray(image([("first", 0x1100, 0x10), ("second", 0x1200, 0x10)]))
    for at, new in changes:
        data[at : at + len(new)] = new
    for whole in (bytes(data), bytes(data[:length])):
        try:
            binary = Binary(ElfFile(BytesReader(whole)))
        except ElfError:
            continue
        for address in (0, 0x1100, 0x1800, (1 << 64) - 1):
            binary.name(address)
            binary.address(address)


@given(st.binary(max_size=300), st.booleans())
def test_mini_debug_info_of_any_bytes(data: bytes, compressed: bool) -> None:
    contents = lzma.compress(data, preset=0) if compressed else data
    assert mini_debug_info(_with_section(contents)) is None


def _with_section(contents: bytes) -> ElfFile:
    """An ELF file whose code section is called .gnu_debugdata and holds that."""
    data = bytearray(image([]))
    labels = data.index(b"\0.text\0.symtab\0")
    (sections,) = struct.unpack_from("<Q", data, 40)
    at = len(data)
    data += b"\0.gnu_debugdata\0" + contents
    # The names of sections lie at the end now, and the first section is what came with them.
    struct.pack_into("<QQ", data, sections + 4 * 64 + 24, at, 16)
    struct.pack_into("<I", data, sections + 64, 1)
    struct.pack_into("<QQ", data, sections + 64 + 24, at + 16, len(contents))
    assert labels
    return ElfFile(BytesReader(bytes(data)))
