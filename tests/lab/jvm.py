"""A program that tells of itself as HotSpot does, with generated code that is known: c/jvm_program.c."""

from __future__ import annotations

import subprocess
from pathlib import Path
from subprocess import PIPE, Popen

_SOURCES = Path(__file__).parent / "c"
CODE = ("interpreter", "run", "hidden", "native", "adapter")
"""What the program generates, in the order of its addresses."""


def program(directory: Path, layout: int) -> Path:
    """Build it with the tables of JDK 17 or 25. Raises CalledProcessError."""
    library, made = directory / "libjvm.so", directory / "java"
    tables = ["gcc", f"-DLAYOUT={layout}", "-shared", "-fPIC", "-o", library, _SOURCES / "jvm_tables.c"]
    subprocess.run(tables, check=True)
    link = [library, f"-Wl,-rpath,{directory}"]
    subprocess.run(["gcc", "-o", made, _SOURCES / "jvm_program.c", *link], check=True)
    return made


class Running:
    """The program, with its code in place."""

    def __init__(self, program: Path) -> None:
        self.process = Popen([program], stdin=PIPE, stdout=PIPE, text=True, bufsize=1)
        self.pid = self.process.pid
        self.code: dict[str, int] = {}

    def start(self) -> None:
        self.code = dict(zip(CODE, [int(word, 16) for word in self._ask("s").split()], strict=True))

    def add(self) -> int:
        """Generate one more method; returns where it is."""
        return int(self._ask("n").split()[0], 16)

    def do(self, command: str) -> None:
        assert self._ask(command) == "done\n"

    def _ask(self, command: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command)
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
