"""What libraries print goes to the log, not to the terminal."""

from __future__ import annotations

import os
import subprocess
import sys

_PROGRAM = """
import os, sys
from ebtop.captured_output import CapturedOutput
lines = []
with CapturedOutput(lines.append):
    os.write(2, b"from C\\x1b[2J\\nsecond ")
    os.write(1, b"line\\n")
    os.system("echo from a child >&2")
    print("on the terminal", file=sys.__stderr__, flush=True)
os.write(2, b"after\\n")
print(lines)
"""


def test_descriptors_1_and_2_are_captured_and_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, env=dict(os.environ))
    assert done.stderr == "on the terminal\nafter\n"
    assert done.stdout == "['from C\\\\x1b[2J', 'second line', 'from a child']\n"
