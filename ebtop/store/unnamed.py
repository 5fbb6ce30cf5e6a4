"""Frames without a name: how they are written, why they have none, and what would give them one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ebtop.store.records import Frame, ModuleFacts

UNKNOWN = Frame("[unknown]", "unknown", "")
"""The address is in no mapping of its process."""
ENDED = Frame("[process ended]", "unknown", "")
"""The process was gone before its mappings were read."""
KERNEL = Frame("[kernel]", "kernel", "")
"""A kernel address that /proc/kallsyms has no function for, or hides."""
_FUNCTION = "()]"
_JIT = "[JIT "
_JIT_HELP = {
    "node": "Start node with --perf-basic-prof; with --interpreted-frames-native-stack too, functions that are not "
    "compiled have names as well.",
    "java": "It is named by its JVM's code cache where that can be read: a JVM other than HotSpot, or one older than "
    "JDK 9, has to write /tmp/perf-PID.map (`jcmd PID Compiler.perfmap`, or an agent).",
    "dotnet": "Start it with DOTNET_PerfMapEnabled=1.",
    "python": "Start Python (3.12 or newer) with -X perf.",
    "php": "Set opcache.jit_debug=0x10 (perf map) in php.ini.",
    "ruby": "Start Ruby with --yjit-perf.",
    "luajit": "LuaJIT has no perf map; builds with LUAJIT_USE_PERFTOOLS have.",
    "erl": "Start Erlang with +JPperf true.",
    "beam": "Start Erlang with +JPperf true.",
    "julia": "Start Julia with ENABLE_JITPROFILING=1.",
    "wasmtime": "Start it with --profile=perfmap.",
    "qemu": "Start it with -perfmap.",
}
"""Beginnings of program names."""


class Unnamed(NamedTuple):
    """Why a frame has no name. Whole sentences."""

    why: str
    mend: str
    """What would help; "" = nothing would."""


def unnamed_frame(module: str, offset: int, *, is_function: bool = False) -> Frame:
    """Code of a file that no symbol names: [libz.so.1+0x5e90], and where `offset` is a function's begin
    [libz.so.1+0x5d10()]. The offset is an address in the ELF file, as addr2line takes it."""
    return Frame(f"[{module.strip('[]')}+{offset:#x}{_FUNCTION if is_function else ']'}", "unknown", module)


def is_address_only(frame: Frame) -> bool:
    """Whether a frame has no name and not even a function, only a file and an address, which says nothing to people."""
    return frame.kind == "unknown" and bool(frame.module) and not frame.name.endswith(_FUNCTION)


def jit_frame(program: str) -> Frame:
    """Code that was made at run time by a program and that nothing names."""
    return Frame(f"{_JIT}{program or 'unknown'}]", "jit", "")


def why_unnamed(frame: Frame, modules: Iterable[ModuleFacts]) -> Unnamed | None:
    """None for a frame that has a name. `modules`: what is known of files, as `Timeline.modules` has it."""
    if frame.kind == "jit" and frame.name.startswith(_JIT):
        return _of_jit(frame.name[len(_JIT) : -1])
    if frame == KERNEL:
        return Unnamed(
            "/proc/kallsyms has no function at this address: the kernel hides its addresses (kptr_restrict), or the "
            "module or BPF program was unloaded meanwhile.",
            "If no kernel function has a name: sysctl -w kernel.kptr_restrict=0, or run with CAP_SYSLOG.",
        )
    if frame.kind != "unknown":
        return None
    if frame == ENDED:
        return Unnamed(
            "The process ended before its mappings could be read, so nothing says which file the address lies in.",
            "Programs that live for a few milliseconds are looked at as they start, up to a hundred a second.",
        )
    if not frame.module:
        return Unnamed(
            "The address lies in none of the process's mappings: the code is not mapped any more, or the walk of the "
            "stack went wrong here.",
            "",
        )
    return _of_file(frame, [facts for facts in modules if facts.name == frame.module])


def _of_jit(program: str) -> Unnamed:
    own = next((text for name, text in _JIT_HELP.items() if program.startswith(name)), "")
    return Unnamed(
        f"{program} made this code at run time; it is in no file, and no perf map names it.",
        own or "Have it write a perf map, /tmp/perf-PID.map, if it can.",
    )


def _of_file(frame: Frame, facts: list[ModuleFacts]) -> Unnamed:
    name = frame.module
    if not facts:
        return Unnamed(f"The functions of {name} at this address have no name.", "")
    if len({each.symbols for each in facts}) > 1:
        paths = "; ".join([f"{each.path} ({each.symbols})" for each in facts[:4]])
        return Unnamed(f"Several files are called {name}, and not all have symbols: {paths}.", "")
    symbols, _, reason = facts[0].symbols.partition(": ")
    if symbols == "unreadable":
        why = f"{facts[0].path} could not be read{': ' if reason else ''}{reason}."
        return Unnamed(why, "Files are read as root sees them, through /proc/PID/root and /proc/PID/map_files.")
    if symbols in ("none", "dynsym", "minidebuginfo"):
        has = {
            "none": f"{name} is stripped: it has no symbols at all.",
            "dynsym": f"{name} is stripped: only the functions that it exports have names, and this is none of them.",
            "minidebuginfo": f"{name} has MiniDebugInfo, and it names no function at this address.",
        }[symbols]
        return Unnamed(has, _debug_symbols(facts[0]))
    return Unnamed(
        f"{name} has symbols, but none covers this address: hand-written assembler, or code that a linker added.", ""
    )


def _debug_symbols(facts: ModuleFacts) -> str:
    where = f"/usr/lib/debug/.build-id/{facts.build_id[:2]}/{facts.build_id[2:]}.debug" if facts.build_id else ""
    packages = "Install its debug symbols (Debian, Ubuntu: the -dbgsym package; Fedora, RHEL: dnf debuginfo-install)"
    return f"{packages}; they are found as {where}." if where else f"{packages}; without a build id by name."
