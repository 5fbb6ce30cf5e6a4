"""bpf/*.c to artifacts: one short-lived bcc child for each, results cached.

A cache entry is named after a hash of everything the result depends on: the C source with its headers, the
compiler (bcc and LLVM libraries), the architecture and the artifact format. It does not depend on the kernel.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ebtop.errors import EbtopError
from ebtop.kernel import compile_child, header_tree, relocation
from ebtop.kernel.artifact import FORMAT, Artifact, ArtifactError, Layout, MapSpec, Program

Log = Callable[[str], None]

_CHILD = Path(__file__).with_name("compile_child.py")
_LAYOUT_PREFIX = "layout_"
_INCLUDE = re.compile(r'^#include "(?P<name>[\w./-]+)"[^\n]*\n', re.MULTILINE)
_DIAGNOSTIC = re.compile(
    r"^(?P<file>[\w./-]+):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<message>.+)$", re.MULTILINE
)
_FLAGS = ("-Wno-macro-redefined", "-Wno-pointer-sign", "-Wno-unused-value")
# bcc replaces these by bpf_probe_read() unless it finds them in /proc/kallsyms with an address: on another kernel, in
# a container, or for another user than root the same source would become another program.
_PROLOGUE = "".join(f"#undef bpf_probe_read_{name}\n" for name in ("kernel", "kernel_str", "user", "user_str"))
_TIMEOUT_S = 120
_MEMORY = "/dev/shm"
_SCALARS = {
    "char": "b", "signed char": "b", "unsigned char": "B", "_Bool": "?", "bool": "?",
    "short": "h", "unsigned short": "H", "int": "i", "unsigned int": "I",
    "long": "q", "unsigned long": "Q", "long long": "q", "unsigned long long": "Q",
    "u8": "B", "u16": "H", "u32": "I", "u64": "Q", "s8": "b", "s16": "h", "s32": "i", "s64": "q",
}  # fmt: skip


def source_directory() -> Path:
    """bpf/ of the checkout, or the copy inside an installed package."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package.parent / "bpf", package / "bpf"):
        if (candidate / "ebtop.h").exists():
            return candidate
    raise EbtopError("the BPF sources are missing", f"no bpf/ebtop.h beside {package}", "install ebtop again")


def cache_directory() -> Path:
    """Where artifacts are kept: $XDG_CACHE_HOME or /var/cache for root, ~/.cache for others."""
    base = os.environ.get("XDG_CACHE_HOME") or ("/var/cache" if os.geteuid() == 0 else os.path.expanduser("~/.cache"))
    return Path(base) / "ebtop" / "bpf"


def splice(name: str, directory: Path, replace: Mapping[str, str] | None = None) -> str:
    """The C source with its own headers written in, and #line marks so that messages name the real places.

    bcc rewrites map accesses in the main file only. `replace` puts another header in the place of one
    named, one of `directory` or an absolute path.
    """
    included: set[str] = set()

    def read(file_name: str) -> str:
        included.add(file_name)
        try:
            text = (directory / file_name).read_text(encoding="utf-8")
        except OSError as error:
            raise EbtopError(f"{file_name} can't be read", error.strerror or "", "install ebtop again") from None

        def insert(match: re.Match[str]) -> str:
            header = (replace or {}).get(match["name"], match["name"])
            after = text.count("\n", 0, match.end()) + 1
            if not (directory / header).exists():
                return match[0]
            body = "" if header in included else read(header)
            return f'#line 1 "{header}"\n{body}\n#line {after} "{file_name}"\n'

        return _INCLUDE.sub(insert, text)

    return f'#line 1 "{name}"\n{read(name)}'


def compiler_identity() -> str:
    """What names the compiler without starting it: bcc's module and the LLVM libraries it would map."""
    directory = compile_child.find_bcc()
    parts = [platform.machine(), sys.byteorder, str(FORMAT)]
    libraries = (*Path("/usr/lib").glob("*/libbcc.so*"), *Path("/usr/lib64").glob("libbcc.so*"))
    for path in sorted({str(p) for p in (*libraries, *([Path(directory, "version.py")] if directory else []))}):
        with contextlib.suppress(OSError):
            info = os.stat(path)
            parts.append(f"{path}:{info.st_size}:{info.st_mtime_ns}")
    return "\n".join(parts)


class Compiler:
    """Artifacts by name, from the cache where possible."""

    def __init__(self, directory: Path | None = None, cache: Path | None = None, log: Log = lambda _: None) -> None:
        """`log` gets one line for what a person may want to know: that something is being built, or not cached."""
        self._directory = directory or source_directory()
        self._cache = cache or cache_directory()
        self._log = log
        self._said_unwritable = False

    def artifact(self, name: str, replace: Mapping[str, str] | None = None) -> Artifact:
        """The artifact of bpf/NAME.c. Raises EbtopError when it must be built and can't be."""
        source = splice(f"{name}.c", self._directory, replace)
        built_with = "\0".join((source, *_FLAGS, compiler_identity()))
        # A variant beside the others: whoever changes between them does not build each time.
        label = "+".join([name, *(Path(header).stem for _, header in sorted((replace or {}).items()))])
        path = self._cache / f"{label}-{hashlib.sha256(built_with.encode()).hexdigest()[:24]}.json"
        try:
            return Artifact.parse(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            self._log(f"{path} can't be read ({error.strerror}), building {name} again")
        except ArtifactError as error:
            self._log(f"{path} is not usable ({error}), building {name} again")
        self._log(f"building bpf/{name}.c")
        artifact = compile_source(name, source)
        self._store(path, label, artifact)
        return artifact

    def _store(self, path: Path, label: str, artifact: Artifact) -> None:
        """Write whole or not at all; a cache that can't be written costs time, nothing else."""
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                temporary = file.name
                file.write(artifact.dump())
            os.replace(temporary, path)
            for old in path.parent.glob(f"{label}-*.json"):
                if old != path:
                    old.unlink(missing_ok=True)
        except OSError as error:
            if not self._said_unwritable:
                self._said_unwritable = True
                self._log(f"{path.parent} can't be written ({error.strerror}): what is built now is built every time")
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)


def compile_source(name: str, source: str) -> Artifact:
    """Compile one spliced source in a child. Raises EbtopError with the C file, line and message."""
    relocations = relocation.scan(source)
    try:
        with tempfile.TemporaryDirectory(prefix="ebtop-build-", dir=_scratch_directory()) as tree:
            header_tree.write(tree, {"relocations.h": relocation.header(relocations)})
            flags = [*_FLAGS, f"-I{tree}/include"]
            result = _run_child({"source": _PROLOGUE + source, "flags": flags, "tree": tree}, name)
    except OSError as error:
        raise EbtopError(
            f"bpf/{name}.c can't be built", str(error), "give TMPDIR a directory with some space, or free some"
        ) from None
    layouts: dict[str, Layout] = {}
    maps: list[MapSpec] = []
    position: dict[int, int] = {}
    for entry in result["maps"]:
        map_name = entry["name"]
        if map_name.startswith(_LAYOUT_PREFIX):
            layouts[map_name.removeprefix(_LAYOUT_PREFIX)] = layout(entry["leaf_layout"], entry["leaf_size"])
            continue
        position[entry["fd"]] = len(maps)
        maps.append(
            MapSpec(
                map_name, entry["type"], entry["key_size"], entry["leaf_size"], entry["max_entries"], entry["flags"]
            )
        )
        for what, field in (("key", "key"), ("value", "leaf")):
            if isinstance(entry[f"{field}_layout"], list):
                layouts[f"{map_name}.{what}"] = layout(entry[f"{field}_layout"], entry[f"{field}_size"])
    programs = tuple(Program(n, relocation.replace_maps(base64.b64decode(c), position)) for n, c in result["programs"])
    return Artifact(name, tuple(maps), programs, layouts, tuple(relocations))


def _scratch_directory() -> str:
    """Where temporary files go; memory where no disk takes any. Raises OSError when there is no such place."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        if os.access(_MEMORY, os.W_OK):
            return _MEMORY
        raise


def layout(description: list[Any], size: int) -> Layout:
    """bcc's description of a struct as a struct format. Raises EbtopError for what ebtop's records never hold.

    `size` 0: not known, whatever the fields take.
    """
    names, parts = [], ["="]
    for field in description[1]:
        name, kind, count = field[0], field[1], field[2][0] if len(field) > 2 and isinstance(field[2], list) else 0
        if name.startswith("__pad_"):
            parts.append(f"{count}x")
            continue
        names.append(name)
        if kind in ("char", "unsigned char", "u8") and count:
            parts.append(f"{count}s")
        elif isinstance(kind, str) and kind in _SCALARS:
            parts.append(f"{count or ''}{_SCALARS[kind]}" if not count else _SCALARS[kind] * count)
            names.extend(f"{name}_{i}" for i in range(1, count))
        elif isinstance(kind, list) and field is description[1][-1]:  # before others, its padding would be unknown
            inner = layout(kind, 0)
            names[-1:] = [f"{name}_{inner_name}" for inner_name in inner.fields]
            parts.append(inner.format.removeprefix("="))
        else:
            raise EbtopError("a record can't be decoded", f"{description[0]}.{name} has the type {kind}", "report this")
    result = Layout(tuple(names), "".join(parts))
    if result.size < size:
        result = Layout(result.fields, f"{result.format}{size - result.size}x")
    if size and result.size != size:
        raise EbtopError("a record can't be decoded", f"{description[0]} has {size} bytes, not {result.size}")
    return result


def _run_child(request: dict[str, Any], name: str) -> dict[str, Any]:
    # Not a pipe: the result may be more than one holds, and is read only when the child has ended.
    with os.fdopen(os.memfd_create("ebtop-artifact"), "rb") as result:
        with subprocess.Popen(
            [sys.executable, "-I", str(_CHILD), str(result.fileno())],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            pass_fds=(result.fileno(),), cwd="/",
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"},
            start_new_session=True,  # Ctrl-C is for ebtop, which ends when this short build has
        ) as child:  # fmt: skip
            try:
                _, errors = child.communicate(json.dumps(request).encode(), timeout=_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                raise EbtopError(f"building bpf/{name}.c took over {_TIMEOUT_S} s", "", "try again") from None
        result.seek(0)
        output = result.read()
    if child.returncode == 0 and output:
        parsed: dict[str, Any] = json.loads(output)
        return parsed
    raise _build_error(name, child.returncode, errors.decode("utf-8", "replace"))


def _build_error(name: str, status: int, errors: str) -> EbtopError:
    if status == 127:
        return EbtopError(
            f"bpf/{name}.c can't be built", "bcc is not installed", "apt-get install python3-bpfcc (dnf: python3-bcc)"
        )
    match = _DIAGNOSTIC.search(errors)
    if match is not None:
        return EbtopError(f"bpf/{name}.c does not compile", f"{match['file']}:{match['line']}: {match['message']}")
    if "could not open bpf map" in errors:
        return EbtopError(f"bpf/{name}.c can't be built", "bcc makes maps while it compiles", "build it as root, once")
    last = errors.strip().splitlines()[-1:] or [f"the compiler ended with status {status}"]
    return EbtopError(f"bpf/{name}.c can't be built", last[0])
