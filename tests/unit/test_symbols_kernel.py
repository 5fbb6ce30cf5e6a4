"""kallsyms: names, modules, hidden addresses, and what is loaded later."""

from __future__ import annotations

import random
from bisect import bisect_right
from pathlib import Path

import pytest

from ebtop.store.records import Frame
from ebtop.store.unnamed import KERNEL
from ebtop.symbols.kernel import RELOAD_MAX_S, RELOAD_S, KernelSymbols
from ebtop.symbols.table import best_alias

CORE = """\
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000100 t do_one_thing
ffffffff81000200 T __do_other
ffffffff81000200 W do_other
ffffffff81000300 D some_data
ffffffff81000400 T _etext
"""
MODULES = """\
ffffffffc0002000 t later_function\t[mod_b]
ffffffffc0001000 t mod_function\t[mod_a]
ffffffffc0001080 d mod_data\t[mod_a]
"""


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def kallsyms(tmp_path: Path) -> Path:
    path = tmp_path / "kallsyms"
    path.write_text(CORE + MODULES)
    return path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def symbols(kallsyms: Path, clock: Clock) -> KernelSymbols:
    return KernelSymbols(str(kallsyms), clock)


@pytest.mark.parametrize(
    ("address", "name", "module"),
    [
        (0xFFFFFFFF81000100, "do_one_thing", ""),
        (0xFFFFFFFF810001FF, "do_one_thing", ""),
        (0xFFFFFFFF81000200, "do_other", ""),
        (0xFFFFFFFF81000350, "do_other", ""),
        (0xFFFFFFFFC0001090, "mod_function", "mod_a"),
        (0xFFFFFFFFC0002000, "later_function", "mod_b"),
    ],
)
def test_functions_by_address(symbols: KernelSymbols, address: int, name: str, module: str) -> None:
    for _ in range(2):
        assert symbols.frame(address) == Frame(name, "kernel", module)


def test_functions_of_a_kernel_larger_than_is_looked_at_at_once(tmp_path: Path) -> None:
    """Some have two names, and those of one may be the last of a piece and the first of the next."""
    functions = [(0xFFFFFFFF81000000 + 16 * (n - n % 3 // 2), f"function_{n:05}" + "_long" * 20) for n in range(3000)]
    path = tmp_path / "kallsyms"
    lines = [f"{address:016x} {'Dt'[n % 7 > 0]} {name}\n" for n, (address, name) in enumerate(functions)]
    path.write_text("".join(lines))
    symbols = KernelSymbols(str(path))
    named = {address: name for n, (address, name) in enumerate(functions) if n % 7}
    for address, name in random.Random(3).sample(sorted(named.items()), 1000):
        aliases = [name for n, (at, name) in enumerate(functions) if at == address and n % 7]
        assert symbols.frame(address + 3).name == best_alias([a.encode() for a in aliases]).decode()


def test_functions_that_were_seen_before_end_where_others_begin(tmp_path: Path) -> None:
    """In whatever order addresses are asked for, also of functions that others and data lie between."""
    draw = random.Random(3)
    starts = sorted(draw.sample(range(0xFFFFFFFF81000000, 0xFFFFFFFF81080000, 16), 2000))
    kinds = [draw.choice("tTwWdD") for _ in starts]
    kinds[0] = "T"
    (tmp_path / "kallsyms").write_text("".join(f"{a:x} {k} f_{a:x}\n" for a, k in zip(starts, kinds, strict=True)))
    functions = [start for start, kind in zip(starts, kinds, strict=True) if kind in "tTwW"]
    symbols = KernelSymbols(str(tmp_path / "kallsyms"))
    for _ in range(20_000):
        address = draw.choice(functions) + draw.randrange(-300, 300)
        begin = functions[bisect_right(functions, address) - 1] if address >= functions[0] else None
        expected = KERNEL if begin is None else Frame(f"f_{begin:x}", "kernel", "")
        assert symbols.frame(address) == expected


def test_own_symbols_that_are_not_sorted_are_found(tmp_path: Path) -> None:
    path = tmp_path / "kallsyms"
    path.write_text("".join(reversed(CORE.splitlines(keepends=True))) + MODULES)
    symbols = KernelSymbols(str(path))
    assert symbols.frame(0xFFFFFFFF81000101) == Frame("do_one_thing", "kernel", "")
    assert symbols.frame(0xFFFFFFFFC0001090) == Frame("mod_function", "kernel", "mod_a")


@pytest.mark.parametrize("address", [0, 0x400000, 0xFFFFFFFF80FFFFFF, 0xFFFFFFFF82000000, 0xFFFFFFFFC0100000])
def test_addresses_that_are_nobodys(symbols: KernelSymbols, address: int) -> None:
    assert symbols.frame(address) == KERNEL


def test_hidden_addresses_are_said_with_the_remedy(kallsyms: Path, clock: Clock) -> None:
    lines = [f"{0:016x} {line.split(' ', 1)[1]}" for line in CORE.splitlines()]
    kallsyms.write_text("\n".join(lines) + "\n")
    symbols = KernelSymbols(str(kallsyms), clock)
    assert symbols.frame(0xFFFFFFFF81000100) == KERNEL
    assert symbols.restricted
    assert "kptr_restrict" in symbols.error
    assert "sysctl" in symbols.fix
    kallsyms.write_text(CORE)
    clock.now += RELOAD_S
    assert symbols.frame(0xFFFFFFFF81000100).name == "do_one_thing"
    assert not symbols.restricted


@pytest.mark.parametrize("content", [None, "no symbols\n", "zz T name\n"])
def test_unreadable_file_is_no_exception(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "kallsyms"
    if content is not None:
        path.write_text(content)
    symbols = KernelSymbols(str(path))
    assert symbols.frame(0xFFFFFFFF81000100) == KERNEL
    assert symbols.restricted
    assert symbols.error


def test_what_is_loaded_later_is_found_after_a_while(kallsyms: Path, symbols: KernelSymbols, clock: Clock) -> None:
    address = 0xFFFFFFFFC0200010
    assert symbols.frame(address) == KERNEL
    with kallsyms.open("a") as file:
        file.write("ffffffffc0200000 t bpf_prog_0123456789abcdef_trace\t[bpf]\n")
    assert symbols.frame(address) == KERNEL
    clock.now += RELOAD_S
    assert symbols.frame(address) == Frame("bpf_prog_0123456789abcdef_trace", "kernel", "bpf")
    assert symbols.frame(0xFFFFFFFF81000100).name == "do_one_thing"


def test_new_neighbour_takes_over_addresses(kallsyms: Path, symbols: KernelSymbols, clock: Clock) -> None:
    address = 0xFFFFFFFFC0002110
    assert symbols.frame(address).name == "later_function"
    with kallsyms.open("a") as file:
        file.write("ffffffffc0002100 t bpf_prog_new\t[bpf]\n")
    clock.now += RELOAD_S
    assert symbols.frame(0xFFFFFFFFC0300000) == KERNEL
    assert symbols.frame(address).name == "bpf_prog_new"


def test_readings_get_rare_while_nothing_changes(
    symbols: KernelSymbols, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = []
    read = KernelSymbols._read
    monkeypatch.setattr(KernelSymbols, "_read", lambda self, offset: (readings.append(clock.now), read(self, offset)))
    for _ in range(1000):
        symbols.frame(0xFFFFFFFFC0300000)
        clock.now += 1
    assert 1000 / RELOAD_MAX_S <= len(readings) <= 1000 / RELOAD_MAX_S + 6


def test_names_are_made_printable(tmp_path: Path) -> None:
    path = tmp_path / "kallsyms"
    path.write_bytes(b"ffffffff81000000 T bad\x1b[2J\xff\n")
    name = KernelSymbols(str(path)).frame(0xFFFFFFFF81000000).name
    assert name.isprintable()
    assert name.startswith("bad\\x1b")
