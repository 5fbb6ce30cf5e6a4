"""The parts of the function that runs Python functions, found in files made for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ebtop.cpython.evaluators import find_evaluators
from ebtop.process.elf import ElfFile, FileReader
from ebtop.process.elf_lookup import Symbol
from tests.unit.symbols_samples import nm

# A function for each of 240 opcodes, as an interpreter by tail calls has; 16 opcodes are not in use.
_HANDLERS = "".join(
    f"__attribute__((noinline)) int op{i}(int x) {{ return x * {i} + helper(x); }}\n" for i in range(240)
)
_TABLE = ", ".join([*(f"op{i}" for i in range(240)), *["unknown"] * 16])
BY_TAIL_CALLS = f"""
__attribute__((noinline)) int helper(int x) {{ return x ^ 3; }}
{_HANDLERS}
__attribute__((noinline)) int unknown(int x) {{ return helper(x) - 1; }}
__attribute__((noinline)) int unrelated(int x) {{ return helper(x) - 2; }}
int (*const table[256])(int) = {{ {_TABLE} }};
__attribute__((noinline)) int _PyEval_EvalFrameDefault(int x) {{ return table[x & 255](x) + 1; }}
int main(int argc, char **argv) {{ return _PyEval_EvalFrameDefault(argc) + unrelated(argc); }}
"""
# The places of a computed goto; the one for opcodes that are not in use is in the cold part.
_LABELS = "".join(f"op{i}: x = x * {i + 3} + y; if (x > 900000) goto end; goto *table[x & 255];\n" for i in range(240))
_PLACES = ", ".join([*(f"&&op{i}" for i in range(240)), *["&&unused"] * 16])
BY_COMPUTED_GOTO = f"""
extern void complain(int) __attribute__((cold));
__attribute__((noinline)) int _PyEval_EvalFrameDefault(int x, int y)
{{
	static const void *const table[256] = {{ {_PLACES} }};
	goto *table[x & 255];
{_LABELS}
unused:	complain(x); complain(y); return -1;
end:	return x;
}}
__attribute__((noinline, cold)) void complain(int x) {{ __asm__ volatile("" :: "r"(x)); }}
int main(int argc, char **argv) {{ return _PyEval_EvalFrameDefault(argc, 2); }}
"""


def built(directory: Path, source: str, *flags: str) -> tuple[dict[str, tuple[int, int]], tuple[range, ...]]:
    """The functions of a program, and what is found in it when it is stripped."""
    (directory / "program.c").write_text(source)
    program = directory / "program"
    subprocess.run(["gcc", "-O2", *flags, "-o", program, directory / "program.c"], check=True)
    functions = nm(program)
    subprocess.run(["strip", program], check=True)
    with program.open("rb") as file:
        found = find_evaluators(ElfFile(FileReader(file.fileno())), Symbol(*functions["_PyEval_EvalFrameDefault"]))
    return functions, found


@pytest.mark.parametrize("flags", [("-no-pie", "-fno-pie"), ("-pie", "-fPIE")], ids=["fixed", "relocated"])
def test_a_function_for_every_opcode(tmp_path: Path, flags: tuple[str, ...]) -> None:
    functions, found = built(tmp_path, BY_TAIL_CALLS, *flags)

    def is_found(name: str) -> bool:
        address, size = functions[name]
        return any(address in part and address + size - 1 in part for part in found)

    assert all(is_found(f"op{i}") for i in range(240))
    assert is_found("unknown")
    assert is_found("_PyEval_EvalFrameDefault")
    assert not any(is_found(name) for name in ("helper", "unrelated", "main"))
    assert list(found) == sorted(found, key=lambda part: part.start)


@pytest.mark.parametrize("flags", [("-no-pie", "-fno-pie"), ("-pie", "-fPIE")], ids=["fixed", "relocated"])
def test_the_part_that_the_compiler_moved_away(tmp_path: Path, flags: tuple[str, ...]) -> None:
    functions, found = built(tmp_path, BY_COMPUTED_GOTO, *flags)
    address, size = functions["_PyEval_EvalFrameDefault"]
    assert any(address in part and address + size - 1 in part for part in found)
    cold = functions.get("_PyEval_EvalFrameDefault.cold")
    assert cold is not None, "the compiler moved nothing away: the source of this test has to be another"
    assert any(cold[0] in part for part in found)
    assert not any(functions["main"][0] in part for part in found)


def test_without_a_table_there_is_the_function_alone(tmp_path: Path) -> None:
    source = "__attribute__((noinline)) int _PyEval_EvalFrameDefault(int x) { return x * 3; }\n"
    functions, found = built(tmp_path, source + "int main(int c, char **v) { return _PyEval_EvalFrameDefault(c); }")
    address, size = functions["_PyEval_EvalFrameDefault"]
    assert found == (range(address, address + size),)
