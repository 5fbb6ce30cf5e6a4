"""Which code computes hashes."""

from __future__ import annotations

import sys
from importlib.util import find_spec

_OPENSSL = "_hashlib"
_OWN = ("_md5", "_sha1", "_sha3", "_blake2")
_OWN_SHA2 = (("_sha2",), ("_sha256", "_sha512"))
"""Since Python 3.12, and before."""


def leave_out_openssl() -> None:
    """Have `hashlib` use Python's own code: OpenSSL's takes 3.5 MB of memory, and little is hashed here.

    Does nothing where hashlib is in use already, or Python was built without code of its own (Fedora).
    """
    if "hashlib" in sys.modules or _OPENSSL in sys.modules:
        return
    if all(map(find_spec, _OWN)) and any(all(map(find_spec, names)) for names in _OWN_SHA2):
        sys.modules[_OPENSSL] = None  # type: ignore[assignment]
