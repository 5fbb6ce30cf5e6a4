"""Stacks that were named before are not named again, for as long as their names can't have changed."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ebtop.process.mappings import Mappings, read_mappings
from ebtop.store.records import Frame
from ebtop.store.unnamed import KERNEL
from ebtop.symbols.frames import NamedStack, StackCache
from ebtop.symbols.kernel import RELOAD_S, KernelSymbols
from ebtop.symbols.symbolizer import Symbolizer
from tests.unit.symbols_samples import compiled, nm

CORE = "ffffffff81000000 T _text\nffffffff81000100 t schedule\nffffffff81000200 T _etext\n"
MODULE = "ffffffffc0000000 t {name}\t[{name}]\n"
IN_SCHEDULE, IN_MODULE = 0xFFFFFFFF81000110, 0xFFFFFFFFC0000010


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kallsyms(tmp_path: Path) -> Path:
    path = tmp_path / "kallsyms"
    path.write_text(CORE + MODULE.format(name="ext4"))
    return path


@pytest.fixture
def symbolizer(clock: Clock, kallsyms: Path) -> Symbolizer:
    return Symbolizer(clock=clock, kernel=KernelSymbols(str(kallsyms), clock))


@contextmanager
def mapped(path: Path) -> Iterator[tuple[int, int]]:
    """A file mapped executable in this process: where it begins, and its inode."""
    with open(path, "rb") as file:
        memory = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)
        inode = os.fstat(file.fileno()).st_ino
    try:
        yield next(m.start for m in read_mappings(os.getpid()) if m.file.inode == inode), inode
    finally:
        memory.close()


def function_in(path: Path, base: int, name: str) -> int:
    """An address in a function of a file that is mapped as it lies on disk."""
    return base + nm(path)[name][0] + 1


def names(stack: NamedStack) -> list[str]:
    return [frame.name for frame in stack.frames]


def test_a_stack_named_before_is_the_same_one(symbolizer: Symbolizer) -> None:
    library = compiled("stacks.so", "-shared", "-fPIC")
    with mapped(library) as (base, _):
        user = [function_in(library, base, "local_function"), function_in(library, base, "global_function") + 1]
        first = symbolizer.stack(os.getpid(), user, [IN_SCHEDULE])
        assert names(first)[1:] == ["local_function", "schedule"]
        assert symbolizer.stack(os.getpid(), tuple(user), (IN_SCHEDULE,)) is first
        # The same addresses, shared out otherwise or cut, are another stack.
        assert names(symbolizer.stack(os.getpid(), user[:1], [IN_SCHEDULE])) == ["local_function", "schedule"]
        assert names(symbolizer.stack(os.getpid(), [], [IN_SCHEDULE])) == ["schedule"]
        assert symbolizer.stack(os.getpid(), user, [IN_SCHEDULE], truncated_user=True) is not first


def test_other_mappings_are_looked_at_anew(symbolizer: Symbolizer, clock: Clock) -> None:
    library = compiled("stacks.so", "-shared", "-fPIC")
    with mapped(library) as (base, _):
        address = function_in(library, base, "local_function")
        assert names(symbolizer.stack(os.getpid(), [address], [])) == ["local_function"]
    for other in ("once.so", "twice.so"):  # what was sampled before the last change still has its names
        with mapped(compiled(other, "-shared", "-fPIC")):
            clock.now += 10
            symbolizer.note_process(os.getpid())
    frames = symbolizer.stack(os.getpid(), [address], []).frames
    assert not any(frame.module == library.name for frame in frames)


def test_another_library_in_the_place_of_one_that_was_unloaded(symbolizer: Symbolizer, clock: Clock) -> None:
    first, second = compiled("stacks.so", "-shared", "-fPIC"), compiled("once.so", "-shared", "-fPIC")
    with mapped(first) as (base, _):
        one, other = (function_in(first, base, name) for name in ("local_function", "global_function"))
        symbolizer.stack(os.getpid(), [other, one], [])
    clock.now += 10
    symbolizer.note_process(os.getpid())
    assert symbolizer.stack(os.getpid(), [one], []).frames[0].module == first.name
    clock.now += 10
    with mapped(second) as (again, _):
        assert again == base, "the kernel takes the first gap that is large enough"
        assert symbolizer.stack(os.getpid(), [other], []).frames[0].module == second.name


def test_a_process_that_is_gone_may_still_be_told_of(symbolizer: Symbolizer) -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    library = compiled("stacks.so", "-shared", "-fPIC")
    with mapped(library) as (base, inode):
        address = function_in(library, base, "local_function")
        assert names(symbolizer.stack(pid, [address], [])) != ["local_function"]
        symbolizer.note_mappings(pid, Mappings(m for m in read_mappings(os.getpid()) if m.file.inode == inode))
        symbolizer.stack(os.getpid(), [address], [])  # its file is found through somebody who has it mapped
        assert names(symbolizer.stack(pid, [address], [])) == ["local_function"]


def test_modules_of_the_kernel_come_and_go(symbolizer: Symbolizer, clock: Clock, kallsyms: Path) -> None:
    assert names(symbolizer.stack(0, [], [IN_MODULE])) == ["ext4"]
    kallsyms.write_text(CORE + MODULE.format(name="nfs") + "ffffffffc0000f00 t last\t[nfs]\n")
    clock.now += 10 * RELOAD_S
    symbolizer.stack(0, [], [IN_MODULE + 0x10000000])  # an address of nobody: they are read again
    assert names(symbolizer.stack(0, [], [IN_MODULE])) == ["nfs"]


def test_a_kernel_address_without_a_name_is_looked_for_again(
    symbolizer: Symbolizer, clock: Clock, kallsyms: Path
) -> None:
    kallsyms.write_text(CORE)
    assert symbolizer.stack(0, [], [IN_MODULE]).frames == (KERNEL,)
    kallsyms.write_text(CORE + MODULE.format(name="ext4"))
    clock.now += 10 * RELOAD_S
    assert names(symbolizer.stack(0, [], [IN_MODULE])) == ["ext4"]


def test_stacks_take_so_much_memory_at_most() -> None:
    cache = StackCache(100_000)
    hot = NamedStack((Frame("hot", "native", ""),) * 30, True)
    cache.put("hot", hot)
    for i in range(5000):
        cache.put(i, NamedStack((Frame("cold", "native", ""),) * 60, True))
        assert cache.nbytes <= 100_000
        if i % 20 == 0:
            assert cache.get("hot") is hot
    assert cache.get(0) is None
    assert cache.get(4999) is not None
