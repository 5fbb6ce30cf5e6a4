"""Local functions of stripped programs from .gnu_debugdata, made as RPM makes it; damaged and hostile ones too."""

from __future__ import annotations

import lzma
import random
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest
from symbols_samples import compiled, load, nm

from ebtop.symbols import mini_debug_info
from ebtop.symbols.binary import Binary


@lru_cache
def whole() -> Path:
    return compiled("mini-whole", "-pie", "-fPIE", "-rdynamic", "-Wl,-z,noseparate-code")


@lru_cache
def mini() -> bytes:
    """What rpm's find-debuginfo.sh puts into the section, before compression: functions that .dynsym does not have."""
    keep, result = whole().with_suffix(".keep"), whole().with_suffix(".mini")
    keep.write_text("\n".join(sorted(set(nm(whole())) - set(nm(whole(), "-D")))) + "\n")
    subprocess.run(["objcopy", "-S", f"--keep-symbols={keep}", whole(), result], check=True)
    return result.read_bytes()


def with_section(directory: Path, contents: bytes) -> Path:
    """The stripped program with that .gnu_debugdata."""
    section, program = directory / "section", directory / "program"
    section.write_bytes(contents)
    subprocess.run(["objcopy", "--strip-all", f"--add-section=.gnu_debugdata={section}", whole(), program], check=True)
    return program


def names(binary: Binary) -> set[str]:
    """Of the functions of the whole program, those that are named, by whatever name of theirs."""
    functions = nm(whole())
    named = {address: (binary.name(address) or b"").decode("latin-1") for address, _ in functions.values()}
    return {name for name, (address, _) in functions.items() if functions.get(named[address], (0, 0))[0] == address}


def test_local_and_exported_functions(tmp_path: Path) -> None:
    binary = load(with_section(tmp_path, lzma.compress(mini())))
    assert binary.symbols == "minidebuginfo"
    assert names(binary) == names(load(whole())) >= {"local_function", "global_function", "main"}


def test_without_it_only_exported_ones_are_known(tmp_path: Path) -> None:
    binary = load(with_section(tmp_path, b"nothing of the kind"))
    assert binary.symbols == "dynsym"
    assert "global_function" in names(binary)
    assert "local_function" not in names(binary)


@pytest.mark.parametrize("what", ["cut short", "no ELF", "bytes flipped", "too large a dictionary", "not xz"])
def test_damaged_ones_are_left_out(tmp_path: Path, what: str) -> None:
    good = lzma.compress(mini())
    bad = {
        "cut short": good[: len(good) // 2],
        "no ELF": lzma.compress(b"text " * 1000),
        "bytes flipped": bytes([b ^ 0x55 if 100 < i < 400 else b for i, b in enumerate(good)]),
        "too large a dictionary": lzma.compress(mini(), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 512 << 20}]),
        "not xz": lzma.compress(mini(), format=lzma.FORMAT_ALONE),
    }[what]
    binary = load(with_section(tmp_path, bad))
    assert binary.symbols == "dynsym"
    assert "global_function" in names(binary)


def test_a_bomb_is_given_up_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini_debug_info, "_MAX", 4 << 20)
    asked: list[int] = []
    real = lzma.LZMADecompressor

    class Counting:
        def __init__(self, *arguments: object, **settings: object) -> None:
            self._real = real(lzma.FORMAT_XZ)

        eof = False
        needs_input = False

        def decompress(self, data: bytes, length: int) -> bytes:
            part = self._real.decompress(data, length)
            asked.append(len(part))
            return part

    monkeypatch.setattr(lzma, "LZMADecompressor", Counting)
    program = with_section(tmp_path, lzma.compress(bytes(32 << 20), preset=0))
    assert load(program).symbols == "dynsym"
    assert sum(asked) <= 6 << 20


def test_random_damage(tmp_path: Path) -> None:
    inner = mini()
    chance = random.Random(3)
    for _ in range(12):
        data = bytearray(inner)
        for _ in range(chance.randrange(1, 30)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        binary = load(with_section(tmp_path, lzma.compress(bytes(data), preset=0)))
        assert binary.symbols in ("minidebuginfo", "dynsym")
        assert len(names(binary)) > 0
