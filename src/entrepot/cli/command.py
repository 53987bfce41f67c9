"""What every command shares: its flags, its settings, and how it says what it did."""

import argparse
import os
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

import msgspec

from entrepot.compose.settings import DEFINITIONS, Settings, load_settings
from entrepot.core.errors import BadInput
from entrepot.core.periods import Period, parse_period

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse gives it no other name

Run = Callable[[argparse.Namespace], int]

_FLAG = "setting_"
_NAMED_MAX = 10


def add_command(subparsers: "Subparsers", name: str, about: str, run: Run) -> argparse.ArgumentParser:
    """The parser of a command, with the flags that every command has."""
    parser = subparsers.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    add_setting(parser, "home")
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_group(subparsers: "Subparsers", name: str, about: str) -> "Subparsers":
    """Where the commands of a group are added: `entrepot name …`."""
    group = subparsers.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    return group.add_subparsers(title="commands", metavar="COMMAND", required=True)


def add_setting(parser: argparse.ArgumentParser, name: str, flag: str | None = None) -> None:
    """Adds a flag that wins over every other source of a setting."""
    (definition,) = [item for item in DEFINITIONS if item.name == name]
    parser.add_argument(
        flag or f"--{name.replace('_', '-')}",
        dest=_FLAG + name,
        metavar="…",
        help=f"{definition.about} ({definition.variable}; default {definition.default})",
    )


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings with what the command line said about them. Raises: BadInput."""
    flags = {
        name.removeprefix(_FLAG): value
        for name, value in vars(args).items()
        if name.startswith(_FLAG) and value is not None
    }
    return load_settings(os.environ, flags)


def period_of(text: str) -> Period:
    """The period a command was given. Raises: BadInput."""
    try:
        return parse_period(text)
    except ValueError as error:
        raise BadInput(str(error), param="period") from None


def show(args: argparse.Namespace, document: object, lines: Iterable[str]) -> None:
    """Prints the document with --json, else the lines."""
    if args.json:
        sys.stdout.write(msgspec.json.encode(document, order="deterministic").decode() + "\n")
        return
    for line in lines:
        sys.stdout.write(line + "\n")


def none_issued(
    what: str, command: str, period: str | None, owner: str, asked: str | None, declared: Collection[str]
) -> str:
    """Why there are none of the documents, or what issues some. asked: the only owner whose were asked for."""
    if asked and asked not in declared:
        are_few = 0 < len(declared) <= _NAMED_MAX
        named = f"declared are {', '.join(sorted(declared))}" if are_few else f"a world file declares {owner}s"
        return f"no {owner} {asked!r}; {named}"
    of = f"{f' of {period}' if period else ''}{f' for {asked}' if asked else ''}"
    return f"no {what}{of}; `entrepot {command} {period or '2024-03'}` issues those of a month"


def check_output(args: argparse.Namespace) -> None:
    """Ends the program where a document would go to a terminal that cannot show it, or beside JSON."""
    if not args.out and (args.json or (args.format == "pdf" and sys.stdout.isatty())):
        args.parser.error("--out FILE says where the document goes")


def check_export(args: argparse.Namespace) -> None:
    """Ends the program where an export would go to stdout beside JSON."""
    if args.out is None and args.json:
        args.parser.error("--json prints a document, so the export needs --out FILE")


def hand_over(args: argparse.Namespace, what: str, content: bytes) -> None:
    """Writes a document to --out, and says so, or to stdout. Raises: BadInput."""
    if not args.out:
        sys.stdout.buffer.write(content)
        return
    path = Path(args.out)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}", param="out") from None
    document = {what: args.number, "format": args.format, "language": args.language, "file": str(path)}
    show(args, document, [f"wrote {path}, {len(content):,} bytes"])


def progress(text: str) -> None:
    """Shows how far long work is, on a terminal only: one line that the next one replaces; "" clears it."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def folding(count: int) -> None:
    """Shows how many records of the log were folded so far."""
    progress(f"folding the log: {count:,} records")


def reading(count: int) -> None:
    """Shows how many usage records were read so far."""
    progress(f"{count:,} records read")


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows as lines with aligned columns. right: the columns that hold numbers."""
    if not rows:
        return []
    widths = [max(_columns(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            " " * (width - _columns(cell)) + cell if column in right else cell + " " * (width - _columns(cell))
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _columns(text: str) -> int:
    """How wide a terminal shows it: Chinese and Japanese signs take two columns."""
    return len(text) if text.isascii() else sum(1 + (east_asian_width(sign) in "WF") for sign in text)
