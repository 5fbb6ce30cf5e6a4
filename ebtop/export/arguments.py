"""The arguments of `ebtop export` and `ebtop diff`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ebtop.errors import UsageError
from ebtop.export.command import DIFF_FORMATS, ExportOptions
from ebtop.export.formats import FORMATS
from ebtop.export.output import STANDARD_OUTPUT
from ebtop.export.stack_sums import KINDS
from ebtop.store.filter import Filter, parse
from ebtop.store.filter.expression import Value, quoted
from ebtop.store.redact import Redactor

_TIMES = ("--from", "--to")


def add_export(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE", help="a snapshot, NAME.ebtop")
    command.add_argument(
        "--format", metavar="FORMAT",
        help="; ".join(f"{each.name} ({each.endings[0]}): {each.help}" for each in FORMATS.values()),
    )  # fmt: skip
    _add_shared(command)


def add_diff(command: argparse.ArgumentParser) -> None:
    command.add_argument("before", metavar="BEFORE", help="a snapshot, or the name of a baseline")
    command.add_argument("after", metavar="AFTER", help="a snapshot, or the name of a baseline")
    command.add_argument("--format", metavar="FORMAT", help=f"{', '.join(DIFF_FORMATS)} (md)")
    _add_shared(command)


def with_times(arguments: Sequence[str]) -> list[str]:
    """`--from -5m` as `--from=-5m`: argparse would take -5m for another option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in _TIMES and argument[:1] == "-" and argument[1:2].isdecimal():
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def options_of(given: argparse.Namespace, redactor: Redactor | None) -> ExportOptions:
    """Raises UsageError."""
    return ExportOptions(
        given.output, given.format, _chosen(given), given.start, given.end, given.kind, redactor, given.force
    )


def _add_shared(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-o", "--output", metavar="OUT", default=STANDARD_OUTPUT,
        help="a file, whose ending says the format where --format does not; - for pipes (default)",
    )  # fmt: skip
    command.add_argument("--from", dest="start", metavar="TIME", help="from -5m, +30s, 14:03:20, or RFC 3339")
    command.add_argument("--to", dest="end", metavar="TIME", help="until then")
    command.add_argument("--kind", default="", choices=KINDS, help="of stacks, for formats with room for one (cpu)")
    command.add_argument("--force", action="store_true", help="replace the file if it exists")
    command.add_argument("--no-redact", action="store_true", help="write secrets in command lines as they are")
    group = command.add_argument_group("filters", "values of one kind are alternatives")
    group.add_argument("--filter", metavar="EXPR", action="append", default=[], help="only what passes")
    group.add_argument("--pid", metavar="N,..", action="append", default=[], help="only these processes")
    group.add_argument("--comm", metavar="NAME", action="append", default=[], help="only tasks of this name")
    group.add_argument("--cgroup", metavar="PATH", action="append", default=[], help="only this cgroup and below")
    group.add_argument("--container", metavar="NAME|ID", action="append", default=[], help="only this container or pod")


def _chosen(given: argparse.Namespace) -> Filter | None:
    """All of it as one filter; None = everything."""
    texts = [text for text in given.filter if text.strip()]
    for text in texts:
        parse(text)  # an error is about what was typed
    for part in (part for text in given.pid for part in text.split(",")):
        if not part.strip().isdecimal():
            raise UsageError(f"{part!r} is not a pid", "", "give --pid N,..")
    pids = [part.strip() for text in given.pid for part in text.split(",")]
    texts += [f"pid:{','.join(pids)}"] if pids else []
    for field, names in (("comm", given.comm), ("cgroup", given.cgroup)):
        texts += [f"{field}:{','.join(_quoted(name) for name in names)}"] if names else []
    if given.container:
        names = ",".join(map(_quoted, given.container))
        texts.append(f"container:{names} or pod:{names}")
    if not texts:
        return None
    return parse(texts[0] if len(texts) == 1 else " ".join(f"({text})" for text in texts))


def _quoted(name: str) -> str:
    return quoted(Value(name, "*" in name))
