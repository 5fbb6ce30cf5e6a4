"""The commands. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import argparse
import gc
import math
import os
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ebtop import __version__
from ebtop.errors import EbtopError, UsageError
from ebtop.hashing import leave_out_openssl
from ebtop.text import clean

if TYPE_CHECKING:
    from ebtop.export.command import OneStep
    from ebtop.probes.base import Settings
    from ebtop.probes.filters import FilterSpec
    from ebtop.store.evidence import HostFacts
    from ebtop.store.filter import Filter
    from ebtop.store.redact import Redactor, Rules

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h)?", re.ASCII)
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kmgt])?i?b?", re.ASCII | re.IGNORECASE)
_UNIT_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MAX_FILES = 999
_SCREEN_DRAIN_S = 0.25
"""The screen moves once a second: its records may come in larger, cheaper batches."""
_REPLAY_GREETING = "Space plays, [ ] { } step, @ goes to a time, < > change the speed, ( ) notes, , . spikes, H charts"
_DEMO_GREETING = "a demo: Enter goes into a row, ? explains a pane, q ends it all"
_MAX_DURATION_S = 366 * 86400.0
_MAX_FAULT_PERIOD = 1_000_000
_CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 21, 38, 39


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code of the contract: 0 done, 1 could not, 2 wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_standard_error()
    leave_out_openssl()
    _leave_deleted_directory()
    try:
        return _run(arguments)
    except UsageError as error:
        _say(error)
        return 2
    except EbtopError as error:
        _say(error)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if os.environ.get("EBTOP_TRACEBACK"):
            raise
        _say(_unexpected(error))
        return 1


def parse_duration(text: str) -> float:
    """Seconds from "30", "30s", "5m", "1.5h". Raises UsageError."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match["number"]) * _UNIT_S[match["unit"] or "s"] if match else math.nan
    if not 0 < seconds <= _MAX_DURATION_S:
        raise UsageError(f"{text!r} is not a time", "", "give seconds, or as 30s, 5m, 1h")
    return seconds


def parse_size(text: str) -> int:
    """Bytes from "500M", "1.5G", "65536"; units are powers of 1024. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{text!r} is not a size", "", "give bytes, or as 500M, 2G")
    return int(float(match["number"]) * _UNIT_BYTES[(match["unit"] or "").lower()])


def _run(arguments: list[str]) -> int:
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments.insert(0, "live")
    if arguments[0] in ("export", "diff"):
        from ebtop.export.arguments import with_times

        arguments = with_times(arguments)
    if arguments[:2] == ["baseline", "save"] and not {"-h", "--help"} & set(arguments):
        from ebtop.baselines import as_record

        arguments = as_record(_baselines(), arguments[2:])
    before, command = _split(arguments) if arguments[0] == "record" else (arguments, None)
    options = _parser(before[0]).parse_args(before)
    if options.command == "doctor":
        from ebtop.kernel import doctor

        return doctor.main(options.json)
    # Records come by the ten thousand and are never part of a cycle: looking for one among them costs a tenth of all.
    gc.set_threshold(20_000, 20, 20)
    if options.command == "replay":
        return _replay(options)
    if options.command == "baseline":
        return _baseline(options)
    if options.command in ("export", "diff"):
        return _export(options)
    settings = _settings(options)
    if options.command == "demo":
        return _demo(options, settings)
    chosen, filter_spec = _chosen(options.filter), _filter(options)
    if options.command == "trace":
        return _trace(options, settings, filter_spec, chosen)
    if options.command == "record":
        return _record(options, settings, filter_spec, chosen, command)
    return _live(options, settings, filter_spec, chosen)


def _trace(options: argparse.Namespace, settings: Settings, filter_spec: FilterSpec, chosen: Filter | None) -> int:
    from ebtop.probes import parse_names
    from ebtop.trace import TraceOptions, trace

    probes = parse_names(options.probes)
    duration = parse_duration(options.duration) if options.duration is not None else None
    interval = parse_duration(options.interval) if options.interval is not None else None
    _require_privileges()
    return trace(TraceOptions(probes, options.json, duration, interval, settings, filter_spec, chosen))


def _record(
    options: argparse.Namespace,
    settings: Settings,
    filter_spec: FilterSpec,
    chosen: Filter | None,
    command: tuple[str, ...] | None,
) -> int:
    from ebtop.probes import parse_names
    from ebtop.record import RecordOptions, record

    export = _export_of(options)
    probes = parse_names(options.probes or ("cpu" if export is not None and export.of_stacks else _default_probes()))
    duration = parse_duration(options.duration) if options.duration is not None else None
    max_bytes = parse_size(options.max_size)
    if not 1 <= options.rotate <= _MAX_FILES:
        raise UsageError(f"can't rotate {options.rotate} files", "", f"give --rotate 1 to {_MAX_FILES}")
    if command is not None and not command:
        raise UsageError("there is no command behind --", "", "as in: ebtop record -o FILE -- make test")
    if command and (filter_spec.pids or duration is not None):
        raise UsageError("a command has a pid and a duration of its own", "", "leave out --pid and --duration")
    if export is not None and options.rotate > 1:
        raise UsageError(f"{options.output} can't be rotated", "it is written at the end", "rotate a .ebtop file")
    _require_privileges()
    wanted = RecordOptions(
        Path(options.output), probes, duration, max_bytes, options.rotate, options.force, _redactor(options.no_redact),
        clean(options.title), command=command or (), settings=settings, filter_spec=filter_spec, chosen=chosen,
    )  # fmt: skip
    if export is None:
        return record(wanted)
    with tempfile.TemporaryDirectory(prefix="ebtop-") as folder:
        file = Path(folder, "recording.ebtop")
        code = record(wanted._replace(output=file, shown=options.output))
        export.write(file)
        return code


def _export_of(options: argparse.Namespace) -> OneStep | None:
    """What to write at the end, where the output is no snapshot file. Raises UsageError, EbtopError."""
    if options.format is None and options.output.endswith(".ebtop"):
        return None
    from ebtop.export.command import OneStep

    return OneStep(options.output, options.format, force=options.force)


def _replay(options: argparse.Namespace) -> int:
    _require_terminal()
    from ebtop.store.file.reader import SnapshotFile
    from ebtop.store.file.replay import FileSource, FileTimeline
    from ebtop.store.user_names import SHOWN
    from ebtop.ui import app

    file = SnapshotFile(Path(options.file))
    SHOWN.show(file.users)
    _use_clock_of(file.host)
    source = FileSource(file)
    from ebtop.store.filter import FilterSelection

    chosen = _parsed(options.filter)
    return app.run(
        source, FileTimeline(file), asked_for=file.collection.filters,
        selection=FilterSelection(chosen, source.containers) if chosen is not None else None, ascii_only=options.ascii,
        mouse=False if options.no_mouse else None, theme=options.theme, greeting=_REPLAY_GREETING,
    )  # fmt: skip


def _use_clock_of(host: HostFacts) -> None:
    """Show times as that node's clocks did, as its logs have them."""
    name = "".join(filter(str.isalnum, host.timezone))[:8] or "UTC"
    hours, seconds = divmod(abs(host.utc_offset_s) % 86400, 3600)
    os.environ["TZ"] = f"<{name}>{'-' if host.utc_offset_s > 0 else '+'}{hours:02}:{seconds // 60:02}"
    time.tzset()


def _export(options: argparse.Namespace) -> int:
    from ebtop.export.arguments import options_of
    from ebtop.export.command import diff, export

    chosen = options_of(options, _redactor(options.no_redact))
    gc.disable()  # it reads, writes and ends
    try:
        if options.command == "export":
            return export(Path(options.file), chosen)
        from ebtop.baselines import find

        before, after = (find(_baselines(), text) for text in (options.before, options.after))
        return diff(before, after, chosen)
    finally:
        gc.enable()


def _baseline(options: argparse.Namespace) -> int:
    from ebtop import baselines

    folder = _baselines()
    if options.action == "list" and options.name is None:
        return baselines.show(folder)
    if options.action == "rm" and options.name is not None:
        return baselines.forget(folder, options.name)
    raise UsageError(f"ebtop baseline {options.action} takes another number of names", "", "see ebtop baseline --help")


def _baselines() -> Path:
    from ebtop.ui.folders import baselines_folder

    return baselines_folder()


def _redactor(off: bool) -> Redactor | None:
    """What masks secrets in files; None = they are written as they are."""
    from ebtop.store.redact import Redactor

    rules = _redaction_rules(off)
    return Redactor(rules) if rules is not None else None


def _redaction_rules(off: bool) -> Rules | None:
    """What the user adds to what is masked; None = nothing is masked."""
    from ebtop.store.redact import load_rules
    from ebtop.ui.folders import config_folder

    return None if off else load_rules(config_folder() / "redact.toml")


def _split(arguments: list[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """The arguments before --, and the command behind it; None = there is no --."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], tuple(arguments[at + 1 :])


def _demo(options: argparse.Namespace, settings: Settings) -> int:
    from ebtop.demo.launch import Demo
    from ebtop.probes import parse_names

    parse_names(options.probes)
    seconds = parse_duration(options.seconds) if options.seconds is not None else None
    _require_terminal()
    _require_privileges()

    with Demo() as demo:
        if seconds is not None:
            leave = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
            leave.daemon = True
            leave.start()
        code = _live(options, settings, demo.filter_spec, notes=demo.notes, greeting=_DEMO_GREETING)
    in_time = seconds is not None and not leave.is_alive() and code == 128 + signal.SIGTERM
    return 0 if in_time else code


def _live(
    options: argparse.Namespace,
    settings: Settings,
    filter_spec: FilterSpec,
    chosen: Filter | None = None,
    notes: Sequence[str] = (),
    greeting: str = "",
) -> int:
    """The screen on what `filter_spec` says, filtered by `chosen` at first; `notes` go to its log."""
    from ebtop.probes import parse_names
    from ebtop.probes.names import ON_DEMAND

    probes = parse_names(options.probes)
    _require_terminal()
    _require_privileges()
    from ebtop.session import LiveSource
    from ebtop.store.filter import FilterSelection
    from ebtop.store.timeline import Timeline
    from ebtop.ui import app
    from ebtop.ui.freezing import Freezer

    source = LiveSource(
        probes, replace(settings, tcp_openings=False), filter_spec, drain_s=_SCREEN_DRAIN_S, on_demand=ON_DEMAND
    )
    for note in notes:
        source.log(note)
    timeline = Timeline()
    freezer = Freezer(source, timeline, _redaction_rules(options.no_redact))
    return app.run(
        source, timeline, timeline.ingest, asked_for=filter_spec.describe(),
        selection=FilterSelection(chosen, source.containers) if chosen is not None else None, ascii_only=options.ascii,
        mouse=False if options.no_mouse else None, theme=options.theme, log=source.log, freezer=freezer,
        greeting=greeting,
    )  # fmt: skip


def _settings(options: argparse.Namespace) -> Settings:
    from ebtop.kernel.attach import max_sample_rate
    from ebtop.probes.base import Settings
    from ebtop.unwind import user_stacks

    limit = max_sample_rate()
    if not 1 <= options.rate <= limit:
        raise UsageError(f"can't sample {options.rate} times a second", f"this kernel takes 1 to {limit}", "see --rate")
    latency = options.min_latency
    if not 0 <= latency <= _MAX_DURATION_S * 1000:
        raise UsageError(f"{latency} is not a latency in milliseconds", "", "give 0 or more")
    block, period = options.min_block, options.fault_period
    if not 0 <= block <= _MAX_DURATION_S * 1000:
        raise UsageError(f"{block} is not a time in milliseconds", "", "give 0 or more")
    if not 1 <= period <= _MAX_FAULT_PERIOD:
        raise UsageError(f"can't look at one page fault in {period}", "", f"give 1 to {_MAX_FAULT_PERIOD}")
    return Settings(
        hertz=options.rate,
        min_latency_ms=latency,
        min_block_ns=round(block * 1e6),
        fault_period=period,
        user_stacks=user_stacks(options.unwind),
    )


def _filter(options: argparse.Namespace) -> FilterSpec:
    from ebtop.kernel.cgroups import CgroupHierarchy, subtree_ids
    from ebtop.probes.filters import FilterSpec

    pids: set[int] = set()
    for part in (p for text in options.pid for p in text.split(",")):
        if not part.strip().isdecimal() or not 0 < int(part) < 1 << 22:
            raise UsageError(f"{part!r} is not a pid", "", "give --pid N,..")
        pids.add(int(part))
    comms = {part for text in options.comm for part in text.split(",") if part}
    cgroups = list(options.cgroup)
    for path in cgroups:
        subtree_ids(CgroupHierarchy.detect(), path)
    if options.container:
        cgroups += _containers(options.container)
    if options.children and not pids:
        raise UsageError("--children needs --pid", "", "name the parents with --pid N,..")
    return FilterSpec(frozenset(pids), options.children, frozenset(comms), tuple(cgroups))


def _chosen(texts: list[str]) -> Filter | None:
    """What all of these expressions let through; None = everything."""
    from ebtop.kernel.cgroups import CgroupHierarchy, subtree_ids

    chosen = _parsed(texts)
    pushed = chosen.pushed() if chosen is not None else None
    for path in pushed.cgroups if pushed is not None else ():
        subtree_ids(CgroupHierarchy.detect(), path)
    return chosen


def _parsed(texts: list[str]) -> Filter | None:
    """These expressions together; None where there is none."""
    from ebtop.store.filter import parse

    filters = [parse(text) for text in texts if text.strip()]
    if not filters:
        return None
    return filters[0] if len(filters) == 1 else parse(" ".join(f"({f.text})" for f in filters if f))


def _containers(names: list[str]) -> list[str]:
    """Cgroups of containers and pods; says what was taken where it is more than was named."""
    from ebtop.kernel.cgroups import CgroupHierarchy
    from ebtop.kernel.containers import ContainerNames, container_cgroups

    lookup, hierarchy = ContainerNames(), CgroupHierarchy.detect()
    found = [container_cgroups(hierarchy, lookup, name) for name in names]
    for said in (f.said for f in found if f.said):
        print(f"ebtop: {said}", file=sys.stderr)
    return [path for f in found for path in f.paths]


def _parser(called: str) -> argparse.ArgumentParser:
    """`called` is the command; what only others need is not imported."""
    parser = _Parser(
        prog="ebtop",
        description="What this node is doing right now, from eBPF: CPU stacks, execs, TCP, retransmits, slow connects.",
        epilog="Without a command: live. `ebtop COMMAND --help` says more.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ebtop {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    live = commands.add_parser("live", help="the screen on this node (default)", allow_abbrev=False)
    demo = commands.add_parser("demo", help="the screen on a gentle workload of its own", allow_abbrev=False)
    demo.add_argument("--seconds", metavar="T", help="leave after T: seconds, or 30s, 5m")
    replay = commands.add_parser("replay", help="the screen on a recording; needs no root", allow_abbrev=False)
    replay.add_argument("file", metavar="FILE", help="a .ebtop file")
    replay.add_argument("--filter", metavar="EXPR", action="append", default=[], help="show only what passes")
    for command in (live, demo):
        command.add_argument(
            "--probes", metavar="LIST", default=_default_probes(), help=f"which, of {_probes()} (%(default)s)"
        )
    for command in (live, demo, replay):
        command.add_argument("--ascii", action="store_true", help="draw with ASCII only")
        command.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")
        command.add_argument("--theme", metavar="NAME", default="", help="colours: a name or a TOML file")
    trace = commands.add_parser("trace", help="lines on standard output", allow_abbrev=False)
    trace.add_argument("probes", metavar="PROBE[,PROBE...]", help=f"which probes ({_probes()})")
    trace.add_argument("--json", action="store_true", help="one JSON object a line")
    trace.add_argument("--duration", metavar="T", help="stop after T: seconds, or 30s, 5m")
    trace.add_argument("--interval", metavar="T", help="print stacks every T, not only at the end")
    record = commands.add_parser(
        "record", help="into a file, without a screen", allow_abbrev=False,
        usage="ebtop record -o FILE [--duration T] [--max-size SIZE] [--rotate N] [FILTERS] [-- COMMAND ARGS...]",
        description="Records what the probes see into a file that `ebtop replay` and sqlite3 open. With a command: "
        "that and all it starts, to its end; its exit code is that of ebtop.",
    )  # fmt: skip
    record.add_argument(
        "-o", "--output", metavar="FILE", required=True,
        help="the file, NAME.ebtop; or cpu.svg, cpu.pb.gz, report.html ...: as `export` writes them, at the end",
    )  # fmt: skip
    record.add_argument("--format", metavar="FORMAT", help="as of `export`, where the file's name does not say it")
    record.add_argument("--probes", metavar="LIST", help=f"which, of {_probes()} ({_default_probes()})")
    record.add_argument("--duration", metavar="T", help="end after T: seconds, or 30s, 5m, 2h")
    record.add_argument(
        "--max-size", metavar="SIZE", default="1G", help="end when the file is so large: 500M, 2G (%(default)s)"
    )
    record.add_argument(
        "--rotate", metavar="N", type=int, default=1,
        help="go on in a new file instead; N files together take --max-size, the oldest goes",
    )  # fmt: skip
    record.add_argument("--title", metavar="TEXT", default="", help="what it is about")
    record.add_argument("--force", action="store_true", help="replace the file if it exists")
    for command in (live, demo, record):
        _add_redact(command)
    for command in (live, trace, record):
        _add_filters(command)
    for command in (live, demo, trace, record):
        command.add_argument("--rate", metavar="HZ", type=int, default=49, help="CPU samples a second (%(default)s)")
        command.add_argument(
            "--min-latency", metavar="MS", type=float, default=100.0,
            help="connects that took at least this long (%(default)g; 0 = all)",
        )  # fmt: skip
        command.add_argument(
            "--min-block", metavar="MS", type=float, default=0.0,
            help="offcpu: count what is blocked for at least this long (%(default)g)",
        )  # fmt: skip
        command.add_argument(
            "--fault-period", metavar="N", type=int, default=61,
            help="faults: look at one minor page fault in N (%(default)s)",
        )  # fmt: skip
        command.add_argument(
            "--unwind", choices=("tables", "frame-pointers"), default="",
            help="how user stacks are walked: by tables made from .eh_frame (default on x86-64), or by frame pointers",
        )  # fmt: skip
    export = commands.add_parser("export", help="a snapshot as what others read; needs no root", allow_abbrev=False)
    diff = commands.add_parser("diff", help="what is different between two snapshots", allow_abbrev=False)
    if called in ("export", "diff"):
        from ebtop.export.arguments import add_diff, add_export

        add_export(export)
        add_diff(diff)
    baseline = commands.add_parser(
        "baseline", help="keep recordings of a healthy node by name", allow_abbrev=False,
        usage="ebtop baseline save NAME [--duration T] [OPTIONS of record]\n       ebtop baseline list\n"
        "       ebtop baseline rm NAME",
        description="Records a minute, and keeps it by name: `ebtop diff NAME incident.ebtop` compares with it.",
    )  # fmt: skip
    baseline.add_argument("action", choices=("save", "list", "rm"), help="what to do")
    baseline.add_argument("name", nargs="?", help="of the baseline")
    doctor = commands.add_parser("doctor", help="can this node run it; what to do if not", allow_abbrev=False)
    doctor.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def _add_redact(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-redact", action="store_true", help="leave secrets in command lines as they are in files")


def _add_filters(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("filters", "applied in the kernel; values of one kind are alternatives")
    group.add_argument(
        "--filter", metavar="EXPR", action="append", default=[],
        help="only what passes; the kernel decides what it can: 'comm:nginx lat>100ms', 'type:exec ret!=0', "
        "'port:443 not addr:10.0.0.0/8'; the README has all fields",
    )  # fmt: skip
    group.add_argument("--pid", metavar="N,..", action="append", default=[], help="only these processes")
    group.add_argument("--children", action="store_true", help="and what those processes fork")
    group.add_argument("--comm", metavar="NAME", action="append", default=[], help="only tasks of this name")
    group.add_argument("--cgroup", metavar="PATH", action="append", default=[], help="only this cgroup and below")
    group.add_argument("--container", metavar="NAME|ID", action="append", default=[], help="only this container or pod")


class _Parser(argparse.ArgumentParser):
    """argparse with one line of error, as all commands have."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, "", f"see `{self.prog} --help`")


def _default_probes() -> str:
    from ebtop.probes.names import DEFAULT

    return ",".join(DEFAULT)


def _probes() -> str:
    from ebtop.probes.names import DEFAULT, ON_DEMAND

    return ",".join((*DEFAULT, *ON_DEMAND))


def _require_terminal() -> None:
    if not (os.isatty(0) and os.isatty(1)):
        raise EbtopError("the screen needs a terminal", "input or output is not one", "use `ebtop trace` in pipes")


def _require_privileges() -> None:
    capabilities = 0
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                capabilities = int(line.split()[1], 16)
    has = {bit for bit in (_CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF) if capabilities >> bit & 1}
    if not (_CAP_SYS_ADMIN in has or {_CAP_PERFMON, _CAP_BPF} <= has):
        raise EbtopError(
            "loading BPF programs is not allowed for this user",
            "it needs root, or the capabilities CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN",
            "run it with sudo",
        )


def _say(error: EbtopError) -> None:
    """One line; arguments are quoted in it, and may hold anything."""
    print(f"ebtop: {clean(error.line())}", file=sys.stderr)


def _unexpected(error: Exception) -> EbtopError:
    """What is said when ebtop itself is wrong; by now everything is unloaded."""
    *_, last = traceback.extract_tb(error.__traceback__)
    why = f"{type(error).__name__}: {error} ({os.path.basename(last.filename)}:{last.lineno})"
    return EbtopError("this is a bug in ebtop", why, "please report it, with what EBTOP_TRACEBACK=1 adds")


def _open_standard_error() -> None:
    """Where it is closed, the next file opened would get its number, and messages would go there."""
    try:
        os.fstat(2)
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != 2:
            os.dup2(null, 2)
            os.close(null)
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _leave_deleted_directory() -> None:
    """A working directory that no longer exists makes unrelated things fail later, with strange words."""
    try:
        os.getcwd()
    except OSError:
        os.chdir("/")
