"""Hashes without OpenSSL."""

from __future__ import annotations

import hashlib
import subprocess
import sys

HASHED = """
from ebtop.hashing import leave_out_openssl
leave_out_openssl()
import hashlib, hmac, secrets
print(hashlib.sha256(b"ebtop").hexdigest())
print(any("libcrypto" in line for line in open("/proc/self/maps")))
"""


def test_the_same_hashes_without_the_library() -> None:
    done = subprocess.run([sys.executable, "-c", HASHED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [hashlib.sha256(b"ebtop").hexdigest(), "False"]
    assert done.stderr == ""


def test_nothing_happens_where_hashes_are_in_use() -> None:
    code = "import hashlib\n" + HASHED
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == hashlib.sha256(b"ebtop").hexdigest()
    assert done.stderr == ""
