"""The only code that imports bcc. Runs as a child process of its own, for as long as one compilation takes.

bcc maps LLVM (100 MB), is not safe in threads, changes the working directory and prints to file descriptors 1
and 2. All of that ends with this process.

Usage: python -I compile_child.py RESULT_FD <<< '{"source": "...", "flags": [...], "tree": "/path"}'
The result, JSON on RESULT_FD: {"maps": [...], "programs": [[name, base64]...], "bcc": version} with the layouts
of keys and values as bcc describes them. What the compiler has to say goes to file descriptor 2.
"""

from __future__ import annotations

import base64
import ctypes as ct
import importlib.util
import json
import os
import sys
import warnings
from typing import Any

BCC_LOCATIONS = ("/usr/lib/python3/dist-packages/bcc", "/usr/lib/python3.{minor}/site-packages/bcc")


def find_bcc() -> str | None:
    """The directory of the distribution's bcc package."""
    for pattern in BCC_LOCATIONS:
        for minor in (sys.version_info.minor, *range(20, 5, -1)):
            path = pattern.format(minor=minor)
            if os.path.exists(f"{path}/__init__.py"):
                return path
    return None


def _import_bcc() -> Any:
    directory = find_bcc()
    if directory is None:
        sys.exit(127)
    warnings.simplefilter("ignore")
    spec = importlib.util.spec_from_file_location(
        "bcc", f"{directory}/__init__.py", submodule_search_locations=[directory]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bcc"] = module
    spec.loader.exec_module(module)
    return module


def _describe_maps(lib: Any, module: Any) -> list[dict[str, Any]]:
    """Every map the module declares; `fd` is how the code names it."""
    for name in ("key_desc_id", "leaf_desc_id"):
        getattr(lib, f"bpf_table_{name}").restype = ct.c_char_p
    numbers = ("type", "fd", "key_size", "leaf_size", "max_entries", "flags")
    for name in (*(f"{n}_id" for n in numbers), "key_desc_id", "leaf_desc_id"):
        getattr(lib, f"bpf_table_{name}").argtypes = [ct.c_void_p, ct.c_size_t]
    lib.bpf_table_name.restype = ct.c_char_p
    lib.bpf_table_name.argtypes = [ct.c_void_p, ct.c_size_t]
    maps = []
    for index in range(lib.bpf_num_tables(module)):
        entry = {name: getattr(lib, f"bpf_table_{name}_id")(module, index) for name in numbers}
        entry["name"] = lib.bpf_table_name(module, index).decode()
        for what in ("key", "leaf"):
            description = getattr(lib, f"bpf_table_{what}_desc_id")(module, index)
            entry[f"{what}_layout"] = json.loads(description) if description else None
        maps.append(entry)
    return maps


def main() -> None:
    result_fd = int(sys.argv[1])
    request = json.load(sys.stdin)
    os.environ["BCC_KERNEL_SOURCE"] = request["tree"]
    os.dup2(2, 1)
    bcc = _import_bcc()
    try:
        bpf = bcc.BPF(text=request["source"], cflags=request["flags"])
    except Exception as error:  # bcc raises bare Exception for a source that does not compile
        print(error, file=sys.stderr)
        sys.exit(1)
    lib, module = bcc.lib, ct.c_void_p(bpf.module)
    lib.bpf_function_name.restype = ct.c_char_p
    lib.bpf_function_name.argtypes = [ct.c_void_p, ct.c_size_t]
    programs = []
    for index in range(lib.bpf_num_functions(module)):
        name = lib.bpf_function_name(module, index)
        programs.append((name.decode(), base64.b64encode(bpf.dump_func(name)).decode()))
    with os.fdopen(result_fd, "w") as result:
        json.dump({"maps": _describe_maps(lib, module), "programs": programs, "bcc": bcc.__version__}, result)
    sys.stdout.flush()
    os._exit(0)  # bcc's clean-up detaches what was never attached, slowly


if __name__ == "__main__":
    main()
